//! The catalog in memory against a naive one.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::Snapshot;
use crate::{Change, Definition, Entry, Kind, Zone};

fn schema(name: &str) -> Entry {
    Entry::new("", name, "anna", 1, Definition::Schema { zone: Zone::Raw })
}

fn view(name: &str) -> Entry {
    let definition =
        Definition::View { sql: String::new(), columns: Vec::new(), search_path: Vec::new() };
    Entry::new("s", name, "anna", 1, definition)
}

/// A step over a few ids and names, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Put(usize, usize),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6_usize, 0..4_usize).prop_map(|(id, name)| Step::Put(id, name)),
        (0..6_usize).prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn changes_act_as_on_a_plain_map(steps in steps()) {
        let ids: Vec<Uuid> = (0..6).map(|_| Uuid::new_v4()).collect();
        let empty = Snapshot::new(0, [], 0);
        let mut snapshot = empty.with_changes(&[Change::Put(schema("s"))]).unwrap();
        let mut naive: BTreeMap<Uuid, String> = BTreeMap::new();
        for step in steps {
            let (change, allowed) = match step {
                Step::Put(id, name) => {
                    let (id, name) = (ids[id], format!("n{name}"));
                    let free = naive.iter().all(|(other, taken)| *other == id || *taken != name);
                    (Change::Put(Entry { id, ..view(&name) }), free)
                }
                Step::Drop(id) => (Change::Drop(ids[id]), naive.contains_key(&ids[id])),
            };
            let next = snapshot.with_changes(std::slice::from_ref(&change));
            prop_assert_eq!(next.is_ok(), allowed);
            let Ok(next) = next else { continue };
            match change {
                Change::Put(entry) => naive.insert(entry.id, entry.name),
                other => naive.remove(&other.id()),
            };
            snapshot = next;
            let there: BTreeMap<Uuid, String> =
                snapshot.entries().map(|entry| (entry.id, entry.name.clone())).collect();
            prop_assert_eq!(&there, &naive);
            for entry in snapshot.entries() {
                prop_assert_eq!(snapshot.entry_by_id(entry.id), Some(entry));
                prop_assert_eq!(snapshot.entry_by_oid(entry.oid), Some(entry));
                prop_assert_eq!(snapshot.entry("s", &entry.name), Some(entry));
            }
            prop_assert_eq!(snapshot.by_oid.len(), naive.len() + 1);
        }
    }
}

#[test]
fn locations_have_a_name_space_of_their_own_and_no_place_in_client_catalogs() {
    let location = |name: &str| {
        let definition =
            Definition::Location { url: "s3://b".to_owned(), options: BTreeMap::new() };
        Entry::new("", name, "anna", 1, definition)
    };
    let (schema, own) = (schema("s"), location("s"));
    let start = Snapshot::new(0, [], 0);
    let changes = [Change::Put(schema), Change::Put(own.clone()), Change::Put(view("s"))];
    let snapshot = start.with_changes(&changes).unwrap();
    let found = snapshot.global(Kind::Location, "s").unwrap();
    assert_eq!(found.id, own.id);
    assert_eq!(snapshot.global(Kind::Secret, "s"), None);
    assert_eq!(snapshot.entry_by_oid(found.oid), None);
    assert!(snapshot.entries().all(|entry| entry.kind() == Kind::View));
    let again = snapshot.with_changes(&[Change::Put(location("s"))]).unwrap_err().to_string();
    assert_eq!(again, "location \"s\" already exists");
    let dropped = snapshot.with_changes(&[Change::Drop(own.id)]).unwrap();
    assert_eq!(dropped.global_entries(Kind::Location).count(), 0);
    assert!(dropped.entry("s", "s").is_some() && dropped.schema("s").is_some());
}
