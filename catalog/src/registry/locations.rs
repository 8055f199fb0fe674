//! Locations that SQL declares, beside those of the operator.
//!
//! Never: a location that the operator's rules do not allow at this moment, whatever the catalog says.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::ObjectStore;
use parking_lot::Mutex;
use uuid::Uuid;

use super::Catalog;
use crate::entry::{Definition, Entry, Kind, OptionValue};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::stores::{Location, Options};

/// Stores of locations that were used, by the location's id: an entry never changes.
#[derive(Debug, Default)]
pub(super) struct OpenLocations(Mutex<HashMap<Uuid, Arc<dyn ObjectStore>>>);

impl Catalog {
    /// The place of a URL or path, in a location of the operator or one that the snapshot has.
    pub fn resolve(&self, snapshot: &Snapshot, url_or_path: &str) -> Result<Location> {
        let refused = match self.stores().resolve(url_or_path) {
            Err(error @ Error::LocationRefused { .. }) => error,
            other => return other,
        };
        let mut covering: Option<(&Arc<Entry>, Location)> = None;
        for entry in snapshot.global_entries(Kind::Location) {
            let Definition::Location { url, .. } = &entry.definition else { continue };
            let store = || self.store_of(snapshot, entry);
            if let Some(place) = self.stores().place_below(url, url_or_path, store)? {
                // Of two that cover it, the narrower says with which credentials.
                let longer =
                    covering.as_ref().is_none_or(|(other, _)| url_of(other).len() < url.len());
                if longer {
                    covering = Some((entry, place));
                }
            }
        }
        covering.map(|(_, place)| place).ok_or(refused)
    }

    fn store_of(&self, snapshot: &Snapshot, entry: &Entry) -> Result<Arc<dyn ObjectStore>> {
        if let Some(store) = self.open_locations.0.lock().get(&entry.id) {
            return Ok(Arc::clone(store));
        }
        let Definition::Location { url, options } = &entry.definition else {
            return Err(Error::NotFound { kind: Kind::Location, name: entry.name.clone() });
        };
        let options = self.option_values(snapshot, options)?;
        let store = self.stores().open_declared(url, &options)?;
        let mut open = self.open_locations.0.lock();
        open.retain(|id, _| snapshot.entry_by_id(*id).is_some());
        open.insert(entry.id, Arc::clone(&store));
        Ok(store)
    }

    /// The options with the secrets that they name.
    fn option_values<'a>(
        &self,
        snapshot: &Snapshot,
        options: impl IntoIterator<Item = (&'a String, &'a OptionValue)>,
    ) -> Result<Options> {
        let value = |(key, value): (&String, &OptionValue)| {
            let text = match value {
                OptionValue::Text(text) => text.clone(),
                OptionValue::Secret(name) => self.secret(snapshot, name)?,
            };
            Ok((key.clone(), text))
        };
        options.into_iter().map(value).collect()
    }

    /// What a secret says. For the server's own use: it must reach no client.
    pub fn secret(&self, snapshot: &Snapshot, name: &str) -> Result<String> {
        let missing = || Error::NotFound { kind: Kind::Secret, name: name.to_owned() };
        let entry = snapshot.global(Kind::Secret, name).ok_or_else(missing)?;
        let Definition::Secret { sealed } = &entry.definition else { return Err(missing()) };
        self.stores().secret_key()?.open(entry.id, name, sealed)
    }

    /// Checks a location that is to be declared: the rules, the options, the secrets.
    pub fn check_location(
        &self,
        snapshot: &Snapshot,
        url: &str,
        options: &std::collections::BTreeMap<String, OptionValue>,
    ) -> Result<()> {
        let secret = |key: &str| matches!(options.get(key), Some(OptionValue::Secret(_)));
        self.stores()
            .check_declarable(url, options.keys().map(|key| (key.as_str(), secret(key))))?;
        let options = self.option_values(snapshot, options)?;
        if url.contains("://") && !url.starts_with("file:") {
            self.stores().open_declared(url, &options)?;
        }
        Ok(())
    }
}

fn url_of(entry: &Entry) -> &str {
    match &entry.definition {
        Definition::Location { url, .. } => url,
        _ => "",
    }
}
