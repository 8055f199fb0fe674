//! Endpoints, regions and credentials of remote stores: where they come from and which there are.
//!
//! A store's own options win over the environment's. Credentials are taken from one of the two as a
//! whole: a key of the one and a token of the other would be nobody's.
//!
//! Never: a key that is passed over; a value in a message or in a debug form.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use crate::error::{Error, Result};

/// Values by name, secrets among them: the debug form tells the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for Options {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(options: I) -> Self {
        Self(options.into_iter().collect())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A key of one kind of store.
pub(super) trait Key: FromStr + AsRef<str> + Copy + Eq {
    /// How its environment variables begin.
    const PREFIX: &'static str;
    /// Names to suggest for a mistyped one.
    const NAMES: &'static [&'static str];

    /// Whether it says who asks.
    fn is_credential(&self) -> bool;

    /// Whether the URL says it.
    fn is_in_url(&self) -> bool;
}

impl Key for AmazonS3ConfigKey {
    const PREFIX: &'static str = "AWS_";
    const NAMES: &'static [&'static str] = &[
        "access_key_id",
        "allow_http",
        "conditional_put",
        "connect_timeout",
        "endpoint",
        "proxy_url",
        "region",
        "request_payer",
        "role_arn",
        "secret_access_key",
        "session_token",
        "skip_signature",
        "timeout",
        "virtual_hosted_style_request",
        "web_identity_token_file",
    ];

    fn is_credential(&self) -> bool {
        matches!(
            self,
            Self::AccessKeyId
                | Self::SecretAccessKey
                | Self::Token
                | Self::WebIdentityTokenFile
                | Self::RoleArn
                | Self::ContainerCredentialsRelativeUri
                | Self::ContainerCredentialsFullUri
                | Self::SkipSignature
        )
    }

    fn is_in_url(&self) -> bool {
        matches!(self, Self::Bucket)
    }
}

impl Key for AzureConfigKey {
    const PREFIX: &'static str = "AZURE_";
    const NAMES: &'static [&'static str] = &[
        "account_key",
        "account_name",
        "allow_http",
        "client_id",
        "client_secret",
        "connect_timeout",
        "endpoint",
        "federated_token_file",
        "proxy_url",
        "sas_token",
        "skip_signature",
        "tenant_id",
        "timeout",
        "use_azure_cli",
        "use_emulator",
    ];

    fn is_credential(&self) -> bool {
        matches!(
            self,
            Self::AccessKey
                | Self::ClientId
                | Self::ClientSecret
                | Self::SasKey
                | Self::Token
                | Self::FederatedTokenFile
                | Self::UseAzureCli
                | Self::SkipSignature
        )
    }

    fn is_in_url(&self) -> bool {
        matches!(self, Self::ContainerName)
    }
}

impl Key for GoogleConfigKey {
    const PREFIX: &'static str = "GOOGLE_";
    const NAMES: &'static [&'static str] = &[
        "allow_http",
        "application_credentials",
        "base_url",
        "connect_timeout",
        "proxy_url",
        "service_account",
        "service_account_key",
        "skip_signature",
        "timeout",
    ];

    fn is_credential(&self) -> bool {
        matches!(
            self,
            Self::ServiceAccount
                | Self::ServiceAccountKey
                | Self::ApplicationCredentials
                | Self::SkipSignature
        )
    }

    fn is_in_url(&self) -> bool {
        matches!(self, Self::Bucket)
    }
}

/// What holds for the store at `url`: its own options, and what the environment says beside them.
pub(super) fn in_force<K: Key>(
    url: &str,
    own: &Options,
    environment: &Options,
) -> Result<Vec<(K, String)>> {
    let own = own
        .iter()
        .map(|(name, value)| Ok((key::<K>(url, name)?, value.to_owned())))
        .collect::<Result<Vec<_>>>()?;
    let has_credentials = own.iter().any(|(key, _)| key.is_credential());
    let from_environment = environment.iter().filter_map(|(name, value)| {
        let name = name.starts_with(K::PREFIX).then(|| name.to_ascii_lowercase())?;
        // Other programs have variables with the same beginning: AWS_PAGER.
        let key = name.parse::<K>().ok().filter(|key| !key.is_in_url())?;
        let overruled = own.iter().any(|(other, _)| *other == key);
        let foreign = has_credentials && key.is_credential();
        (!overruled && !foreign).then(|| (key, value.to_owned()))
    });
    let environment: Vec<_> = from_environment.collect();
    Ok(environment.into_iter().chain(own).collect())
}

/// Options over others. Credentials replace those of the others as a whole.
pub(super) fn over<K: Key>(below: &Options, above: &Options) -> Options {
    let keys: Vec<K> = above.iter().filter_map(|(name, _)| name.parse().ok()).collect();
    let has_credentials = keys.iter().any(Key::is_credential);
    let replaced = |key: K| keys.contains(&key) || has_credentials && key.is_credential();
    let stays = |name: &str| !name.parse::<K>().is_ok_and(replaced);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    below.iter().filter(|(name, _)| stays(name)).chain(above.iter()).map(owned).collect()
}

fn key<K: Key>(url: &str, name: &str) -> Result<K> {
    let refused = |reason| Error::StoreOption { store: url.to_owned(), reason };
    match name.parse::<K>() {
        Ok(key) if key.is_in_url() => {
            Err(refused(format!("key \"{name}\" cannot be set: the URL says it")))
        }
        Ok(key) => Ok(key),
        Err(_) => {
            let near = K::NAMES.iter().find(|known| alike(known, name));
            let meant = near.map(|name| format!("; did you mean \"{name}\"?"));
            Err(refused(format!("unknown key \"{name}\"{}", meant.unwrap_or_default())))
        }
    }
}

/// Whether two names share most of their letters, in whatever order.
fn alike(known: &str, name: &str) -> bool {
    let mut rest: Vec<char> = known.chars().collect();
    let mut others = 0;
    for letter in name.to_ascii_lowercase().chars() {
        match rest.iter().position(|other| *other == letter) {
            Some(index) => drop(rest.swap_remove(index)),
            None => others += 1,
        }
    }
    (rest.len() + others) * 4 <= known.len()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn s3(own: &[(&str, &str)], environment: &[(&str, &str)]) -> Vec<(AmazonS3ConfigKey, String)> {
        in_force("s3://bucket", &options(own), &options(environment)).unwrap()
    }

    #[test]
    fn own_options_win_over_the_environment() {
        let environment = [("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", "http://localhost:1")];
        let found = s3(&[("region", "us-east-1")], &environment);
        let region: Vec<_> =
            found.iter().filter(|(key, _)| *key == AmazonS3ConfigKey::Region).collect();
        assert_eq!(region, [&(AmazonS3ConfigKey::Region, "us-east-1".to_owned())]);
        assert!(found.contains(&(AmazonS3ConfigKey::Endpoint, "http://localhost:1".to_owned())));
    }

    #[test]
    fn credentials_of_two_sources_are_not_mixed() {
        let environment = [
            ("AWS_ACCESS_KEY_ID", "theirs"),
            ("AWS_SECRET_ACCESS_KEY", "theirs"),
            ("AWS_SESSION_TOKEN", "theirs"),
        ];
        let found = s3(&[("access_key_id", "ours"), ("secret_access_key", "ours")], &environment);
        assert!(found.iter().all(|(_, value)| value == "ours"), "{found:?}");
        assert_eq!(s3(&[("region", "us-east-1")], &environment).len(), 4);
    }

    #[test]
    fn credentials_of_sql_replace_those_of_the_operator_as_a_whole() {
        let own =
            options(&[("aws_session_token", "theirs"), ("endpoint", "e"), ("aws_region", "r")]);
        let said = options(&[("access_key_id", "ours"), ("region", "s")]);
        let found = over::<AmazonS3ConfigKey>(&own, &said);
        let expected = options(&[("access_key_id", "ours"), ("endpoint", "e"), ("region", "s")]);
        assert!(found == expected, "{found:?}");
        assert!(over::<AmazonS3ConfigKey>(&own, &options(&[])) == own);
    }

    #[test]
    fn variables_of_other_programs_and_other_stores_are_not_options() {
        let environment = [("AWS_PAGER", "less"), ("GOOGLE_BUCKET", "x"), ("AWS_BUCKET", "other")];
        assert_eq!(s3(&[], &environment), []);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_and_no_value() {
        for (name, reason) in [
            ("regoin", "unknown key \"regoin\"; did you mean \"region\"?"),
            ("bucket", "key \"bucket\" cannot be set: the URL says it"),
            ("nonsense", "unknown key \"nonsense\""),
        ] {
            let own = options(&[(name, "canary")]);
            let error = in_force::<AmazonS3ConfigKey>("s3://bucket", &own, &Options::default());
            let error = error.unwrap_err().to_string();
            assert_eq!(error, format!("cannot open store \"s3://bucket\": {reason}"));
        }
    }

    #[test]
    fn the_debug_form_holds_no_value() {
        let text = format!("{:?}", options(&[("secret_access_key", "canary")]));
        assert_eq!(text, "{\"secret_access_key\"}");
    }
}
