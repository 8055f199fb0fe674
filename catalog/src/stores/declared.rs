//! What SQL may declare: the rules of `CREATE LOCATION`.
//!
//! The operator names the roots below which SQL may declare remote locations, and says how they are
//! reached. SQL says which of the places below them it uses, and with whose credentials. A local
//! location lies in one of the operator's: it gives a name and no more reach.
//!
//! Never: an option by which SQL would choose the host that the server talks to.

use std::sync::Arc;

use object_store::ObjectStore;
use url::Url;

use super::options::Options;
use super::{Address, Location, Stores, address};
use crate::error::{Error, Result};
use crate::secrets::SecretKey;

/// Options that SQL may give, by the schemes that know them, and whether they are secret.
const KEYS: [(&[&str], &str, bool); 12] = [
    (&["s3", "s3a"], "region", false),
    (&["s3", "s3a"], "access_key_id", false),
    (&["s3", "s3a"], "secret_access_key", true),
    (&["s3", "s3a"], "session_token", true),
    (&["s3", "s3a"], "request_payer", false),
    (&["az", "abfs", "abfss"], "account_key", true),
    (&["az", "abfs", "abfss"], "sas_token", true),
    (&["az", "abfs", "abfss"], "client_id", false),
    (&["az", "abfs", "abfss"], "client_secret", true),
    (&["gs"], "service_account_key", true),
    (&["s3", "s3a", "gs", "az", "abfs", "abfss"], "skip_signature", false),
    (&["az", "abfs", "abfss"], "disable_tagging", false),
];

impl Stores {
    /// Whether SQL may declare a location there, with these options; each says whether its value is a
    /// secret of the catalog.
    pub(crate) fn check_declarable<'a>(
        &self,
        url: &str,
        options: impl Iterator<Item = (&'a str, bool)>,
    ) -> Result<()> {
        let refused =
            |reason: String| Error::LocationMalformed { location: url.to_owned(), reason };
        let scheme = match address(url)? {
            Address::Local(_) => {
                self.resolve(url)?;
                String::new()
            }
            Address::Remote { full, .. } => {
                if !self.is_below_a_root(url)? {
                    return Err(Error::LocationUndeclarable { location: url.to_owned() });
                }
                full.scheme().to_owned()
            }
        };
        for (key, is_secret) in options {
            let known = KEYS
                .iter()
                .find(|(schemes, name, _)| *name == key && schemes.contains(&scheme.as_str()));
            match known {
                None => {
                    let takes: Vec<&str> = KEYS
                        .iter()
                        .filter(|(schemes, ..)| schemes.contains(&scheme.as_str()))
                        .map(|(_, name, _)| *name)
                        .collect();
                    let takes =
                        if takes.is_empty() { "no option".to_owned() } else { takes.join(", ") };
                    return Err(refused(format!(
                        "SQL cannot set \"{key}\" there; it takes {takes}, the rest is the operator's"
                    )));
                }
                Some((_, _, true)) if !is_secret => {
                    return Err(refused(format!(
                        "\"{key}\" must name a secret: {key} = SECRET name, made by CREATE SECRET"
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn is_below_a_root(&self, text: &str) -> Result<bool> {
        let Address::Remote { url, path, .. } = address(text)? else { return Ok(false) };
        let warehouse = self.warehouse();
        // Neither in the warehouse nor around it.
        let meets_warehouse = warehouse.url == url
            && (path.prefix_matches(&warehouse.path) || warehouse.path.prefix_matches(&path));
        let below = |(root, above): &(_, object_store::path::Path)| {
            *root == url && path.prefix_matches(above)
        };
        Ok(!meets_warehouse && self.roots.iter().any(below))
    }

    /// The store of a location that SQL declared, with the operator's own settings for the bucket
    /// beneath.
    pub(crate) fn open_declared(
        &self,
        text: &str,
        options: &Options,
    ) -> Result<Arc<dyn ObjectStore>> {
        let refused = || Error::LocationUndeclarable { location: text.to_owned() };
        if !self.is_below_a_root(text)? {
            return Err(refused());
        }
        for (key, value) in options.iter() {
            // It becomes a part of the host's name.
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if key == "region" && (value.is_empty() || !value.chars().all(plain)) {
                let reason = format!("\"{value}\" is not a region");
                return Err(Error::LocationMalformed { location: text.to_owned(), reason });
            }
        }
        let url = Url::parse(text).map_err(|_| refused())?;
        self.settings.open_for_sql(&url, options)
    }

    /// The place of `wanted` if it lies below `declared`, a location that SQL declared.
    pub(crate) fn place_below(
        &self,
        declared: &str,
        wanted: &str,
        store: impl FnOnce() -> Result<Arc<dyn ObjectStore>>,
    ) -> Result<Option<Location>> {
        let (Address::Remote { url, path, .. }, Address::Remote { url: root, path: above, .. }) =
            (address(wanted)?, address(declared)?)
        else {
            return Ok(None);
        };
        if url != root || !path.prefix_matches(&above) || !self.is_below_a_root(declared)? {
            return Ok(None);
        }
        Ok(Some(Location { store: store()?, url, path }))
    }

    /// The operator's key for secrets.
    pub fn secret_key(&self) -> Result<&SecretKey> {
        self.secret_key.as_ref().ok_or_else(|| Error::SecretKey {
            reason: "secrets cannot be kept: the server has no secret key".to_owned(),
        })
    }
}
