//! Opening a bucket or a container.
//!
//! Never: a store that waits without end. A request is given up after `timeout` (30 s unless an
//! option says otherwise), and is sent again for at most [`RETRY_TIMEOUT`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::{Position, Url};

use super::options::{Options, in_force, over};
use super::settled::SettledStore;
use crate::error::{Error, Result};

const RETRIES_MAX: usize = 10;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the operator says of remote stores.
#[derive(Debug, Default)]
pub(super) struct Settings {
    environment: Options,
    /// By scheme and authority.
    own: BTreeMap<String, Options>,
}

impl Settings {
    /// `own` is keyed by the URL of a bucket or container. Every key is checked, whether the store is
    /// used or not.
    pub(super) fn new(environment: Options, own: BTreeMap<String, Options>) -> Result<Self> {
        let mut settings = Self { environment, own: BTreeMap::new() };
        for (text, options) in own {
            let refused = |reason: &str| Error::StoreOption {
                store: text.clone(),
                reason: reason.to_owned(),
            };
            let url = Url::parse(&text).map_err(|_| refused("it is not a URL"))?;
            if !matches!(url.path(), "" | "/") || url.query().is_some() {
                return Err(refused("it names more than a bucket or container"));
            }
            settings.check(&text, &url, &options)?;
            settings.own.insert(key(&url), options);
        }
        Ok(settings)
    }

    fn check(&self, text: &str, url: &Url, options: &Options) -> Result<()> {
        let environment = &self.environment;
        match url.scheme() {
            "s3" | "s3a" => in_force::<AmazonS3ConfigKey>(text, options, environment).map(drop),
            "gs" => in_force::<GoogleConfigKey>(text, options, environment).map(drop),
            "az" | "abfs" | "abfss" => {
                in_force::<AzureConfigKey>(text, options, environment).map(drop)
            }
            _ => Err(Error::StoreOption {
                store: text.to_owned(),
                reason: "only s3, gs, az and abfs stores have options".to_owned(),
            }),
        }
    }

    /// Opens the store of a URL. No request is made.
    pub(super) fn open(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let none = Options::default();
        let own = self.own.get(&key(url)).unwrap_or(&none);
        self.open_with(url, own)
    }

    /// The same with what SQL says over what the operator says of the store.
    pub(super) fn open_for_sql(&self, url: &Url, said: &Options) -> Result<Arc<dyn ObjectStore>> {
        let none = Options::default();
        let own = self.own.get(&key(url)).unwrap_or(&none);
        let options = match url.scheme() {
            "s3" | "s3a" => over::<AmazonS3ConfigKey>(own, said),
            "gs" => over::<GoogleConfigKey>(own, said),
            _ => over::<AzureConfigKey>(own, said),
        };
        self.open_with(url, &options)
    }

    /// The same with options in place of the operator's own for this store.
    fn open_with(&self, url: &Url, own: &Options) -> Result<Arc<dyn ObjectStore>> {
        let store = key(url);
        let environment = &self.environment;
        let failed = |error| unopened(&store, &error);
        let opened: Arc<dyn ObjectStore> = match url.scheme() {
            "s3" | "s3a" => {
                let builder = AmazonS3Builder::new().with_url(&store).with_retry(retry());
                let options = in_force(&store, own, environment)?;
                let set = |builder: AmazonS3Builder, (key, value)| builder.with_config(key, value);
                Arc::new(options.into_iter().fold(builder, set).build().map_err(failed)?)
            }
            "gs" => {
                let builder = GoogleCloudStorageBuilder::new().with_url(&store).with_retry(retry());
                let options = in_force(&store, own, environment)?;
                let set = |builder: GoogleCloudStorageBuilder, (key, value)| {
                    builder.with_config(key, value)
                };
                Arc::new(options.into_iter().fold(builder, set).build().map_err(failed)?)
            }
            "memory" => return Ok(Arc::new(InMemory::new())),
            _ => {
                let builder = MicrosoftAzureBuilder::new().with_url(&store).with_retry(retry());
                let options = in_force(&store, own, environment)?;
                let set =
                    |builder: MicrosoftAzureBuilder, (key, value)| builder.with_config(key, value);
                Arc::new(options.into_iter().fold(builder, set).build().map_err(failed)?)
            }
        };
        Ok(Arc::new(SettledStore::new(opened)))
    }
}

/// Scheme and authority: what has options of its own. Two spellings of one store are one: nothing that
/// is refused in the one may be had in the other.
pub(super) fn key(url: &Url) -> String {
    let names_account = !url.username().is_empty();
    let scheme = match url.scheme() {
        "s3a" => "s3",
        "abfs" | "abfss" if !names_account => "az",
        "abfs" => "abfss",
        other => other,
    };
    format!("{scheme}://{}", &url[Position::BeforeUsername..Position::BeforePath])
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
        backoff: BackoffConfig { max_backoff: PAUSE_MAX, ..BackoffConfig::default() },
    }
}

fn unopened(store: &str, reason: &impl fmt::Display) -> Error {
    Error::StoreOption { store: store.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn settings(url: &str, own: &[(&str, &str)]) -> Result<Settings> {
        let own = BTreeMap::from([(url.to_owned(), options(own))]);
        Settings::new(Options::default(), own)
    }

    #[test]
    fn every_kind_of_store_opens_by_its_own_options() {
        for (url, own) in [
            ("s3://bucket", &[("region", "eu-west-1"), ("skip_signature", "true")][..]),
            ("s3a://bucket/", &[("endpoint", "https://localhost"), ("skip_signature", "true")]),
            ("gs://bucket", &[("skip_signature", "true")]),
            ("az://container", &[("account_name", "a"), ("skip_signature", "true")]),
            ("abfss://container@a.dfs.core.windows.net", &[("skip_signature", "true")]),
        ] {
            let settings = settings(url, own).unwrap();
            settings.open(&Url::parse(url).unwrap().join("/path").unwrap()).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why_and_tells_no_value() {
        for (url, own) in [
            ("s3://bucket", &[("access_key_id", "canary")][..]),
            ("az://container", &[("account_name", "a"), ("account_key", "canary!")]),
            ("az://container", &[("account_key", "canary")]),
            ("gs://bucket", &[("service_account_key", "canary")]),
        ] {
            let settings = settings(url, own).unwrap();
            let error = settings.open(&Url::parse(url).unwrap()).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
            assert!(error.starts_with(&format!("cannot open store \"{url}\": ")), "{error}");
        }
        for (url, reason) in [
            ("bucket", "it is not a URL"),
            ("s3://bucket/path", "it names more than a bucket or container"),
            ("https://example.com", "only s3, gs, az and abfs stores have options"),
            ("memory://x", "only s3, gs, az and abfs stores have options"),
        ] {
            let error = settings(url, &[]).unwrap_err().to_string();
            assert_eq!(error, format!("cannot open store \"{url}\": {reason}"));
        }
    }
}
