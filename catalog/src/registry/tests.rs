//! The catalog from outside: names, oids, races, faults.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use uuid::Uuid;

use super::Catalog;
use crate::faults::{Fault, FaultStore, Operation, Rates};
use crate::{
    Change, Clock, ColumnEntry, Definition, Entry, Error, Kind, ManualClock, ModelVersion,
    Snapshot, StoreOptions, Stores, TableSpec, Zone,
};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(1_767_225_600_000_000))
}

fn stores(store: &Arc<dyn ObjectStore>) -> Arc<Stores> {
    Arc::new(Stores::from_store("memory://", Arc::clone(store)).unwrap())
}

async fn server(store: &Arc<dyn ObjectStore>) -> Arc<Catalog> {
    Catalog::open(stores(store), clock()).await.unwrap()
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn view(schema: &str, name: &str) -> Entry {
    let definition = Definition::View {
        sql: "SELECT 1".to_owned(),
        columns: vec![ColumnEntry::from(&Field::new("x", DataType::Int64, true))],
        search_path: vec!["public".to_owned()],
    };
    Entry::new(schema, name, "anna", 1, definition)
}

/// What there is, by name, with oids.
fn told(snapshot: &Snapshot) -> BTreeMap<String, u32> {
    snapshot
        .schemas()
        .chain(snapshot.entries())
        .map(|entry| (entry.qualified_name(), entry.oid))
        .collect()
}

#[tokio::test]
async fn a_new_warehouse_has_four_schemas_and_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").join("warehouse");
    let open = async || {
        let stores = Stores::new(path.to_str().unwrap(), StoreOptions::default()).unwrap();
        Catalog::open(Arc::new(stores), clock()).await.unwrap()
    };
    let catalog = open().await;
    let zones: Vec<_> = catalog
        .snapshot()
        .schemas()
        .map(|entry| match entry.definition {
            Definition::Schema { zone } => (entry.name.clone(), zone),
            _ => panic!("{entry:?}"),
        })
        .collect();
    let expected = [
        ("features", Zone::Feature),
        ("processed", Zone::Processed),
        ("public", Zone::Processed),
        ("raw", Zone::Raw),
    ];
    assert_eq!(zones, expected.map(|(name, zone)| (name.to_owned(), zone)));
    let oids: BTreeSet<u32> = catalog.snapshot().schemas().map(|entry| entry.oid).collect();
    assert_eq!(oids, (16384..16388).collect());
    let again = open().await;
    assert_eq!(again.snapshot().version, 1);
    assert_eq!(told(&again.snapshot()), told(&catalog.snapshot()));
}

#[tokio::test]
async fn every_kind_of_entry_comes_back_as_it_was() {
    let store = memory();
    let catalog = server(&store).await;
    let spec = TableSpec::new(Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)])));
    let (table, _) = catalog.create_table("raw", spec.clone()).await.unwrap();
    let (rows, _) = catalog.create_table("features", spec).await.unwrap();
    let column = ColumnEntry {
        metadata: BTreeMap::from([("tarn.type".to_owned(), "uuid".to_owned())]),
        ..ColumnEntry::from(&Field::new("k", DataType::Utf8, false))
    };
    let strange = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
    let model = Definition::Model {
        versions: vec![ModelVersion {
            number: 1,
            path: "_tarn/models/features/m/1/model.onnx".to_owned(),
            digest: "00".to_owned(),
            engine: "classical".to_owned(),
            created_at_micros: 5,
        }],
        default_version: 1,
        inputs: vec![column, ColumnEntry::from(&Field::new("v", strange, true))],
        outputs: Vec::new(),
        options: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    };
    let materialized = Definition::MaterializedView {
        table: rows,
        sql: "SELECT 1 AS x".to_owned(),
        search_path: vec!["raw".to_owned()],
        options: BTreeMap::new(),
        populated: false,
    };
    let mut entries = vec![
        Entry::new("raw", "t", "anna", 1, Definition::Table(table)),
        Entry::new("features", "m v \"x\"", "anna", 2, materialized),
        Entry::new("features", "m", "anna", 3, model),
        view("public", "v"),
    ];
    entries[0].comment = Some("rows".to_owned());
    let changes = entries.iter().cloned().map(Change::Put).collect();
    let committed = catalog.commit(&catalog.snapshot(), changes).await.unwrap();
    let reopened = server(&store).await.snapshot();
    for entry in entries {
        let stored = reopened.entry_by_id(entry.id).unwrap();
        assert_eq!(**stored, Entry { oid: stored.oid, ..entry.clone() });
        assert!(stored.oid >= 16388);
        assert_eq!(reopened.entry(&entry.schema, &entry.name), Some(stored));
        assert_eq!(reopened.entry_by_oid(stored.oid), Some(stored));
        assert_eq!(committed.entry_by_id(entry.id), Some(stored));
    }
}

#[tokio::test]
async fn names_that_are_taken_and_schemas_that_are_not_there_are_refused() {
    let catalog = server(&memory()).await;
    let base = catalog.commit(&catalog.snapshot(), vec![Change::Put(view("raw", "v"))]).await;
    let base = base.unwrap();
    let refused = async |changes| catalog.commit(&base, changes).await.unwrap_err();
    let taken = refused(vec![Change::Put(view("raw", "v"))]).await;
    assert!(matches!(taken, Error::Duplicate { kind: Kind::View, .. }), "{taken:?}");
    assert_eq!(taken.to_string(), "view \"raw.v\" already exists");
    let schema = Entry::new("", "raw", "anna", 1, Definition::Schema { zone: Zone::Raw });
    let taken = refused(vec![Change::Put(schema)]).await;
    assert!(matches!(taken, Error::Duplicate { kind: Kind::Schema, .. }), "{taken:?}");
    let nowhere = refused(vec![Change::Put(view("nowhere", "v"))]).await;
    assert!(matches!(nowhere, Error::MissingSchema { .. }), "{nowhere:?}");
    let raw = base.schema("raw").unwrap().id;
    let full = refused(vec![Change::Drop(raw)]).await;
    assert!(matches!(full, Error::MissingSchema { .. }), "{full:?}");
    let unknown = refused(vec![Change::Drop(Uuid::new_v4())]).await;
    assert!(matches!(unknown, Error::NotFound { .. }), "{unknown:?}");
    assert_eq!(catalog.snapshot().version, base.version);
}

#[tokio::test]
async fn create_swap_drop_is_one_commit() {
    let store = memory();
    let catalog = server(&store).await;
    let old = view("raw", "model");
    let base = catalog.commit(&catalog.snapshot(), vec![Change::Put(old.clone())]).await.unwrap();
    let old = base.entry_by_id(old.id).unwrap();
    let new = view("raw", "model__tmp");
    let changes = vec![
        Change::Put(new.clone()),
        Change::Put(Entry { name: "model__backup".to_owned(), ..old.as_ref().clone() }),
        Change::Put(Entry { name: "model".to_owned(), ..new.clone() }),
        Change::Drop(old.id),
    ];
    let overlay = base.with_changes(&changes).unwrap();
    let committed = catalog.commit(&base, changes).await.unwrap();
    assert_eq!(committed.version, base.version + 1);
    assert_eq!(told(&overlay), told(&committed));
    let names: Vec<_> = committed.entries_in("raw").map(|entry| (&*entry.name, entry.id)).collect();
    assert_eq!(names, [("model", new.id)]);
    assert_eq!(told(&server(&store).await.snapshot()), told(&committed));
}

#[tokio::test]
async fn oids_are_never_used_again() {
    let store = memory();
    let mut seen = BTreeSet::new();
    for round in 0..40 {
        // A restart now and then: the count lives in the log.
        let catalog = server(&store).await;
        let entry = view("raw", &format!("v{round}"));
        let id = entry.id;
        let made = catalog.commit(&catalog.snapshot(), vec![Change::Put(entry)]).await.unwrap();
        assert!(seen.insert(made.entry_by_id(id).unwrap().oid), "{seen:?}");
        catalog.commit(&made, vec![Change::Drop(id)]).await.unwrap();
    }
}

#[tokio::test]
async fn many_commits_are_folded_into_few_files() {
    let store = memory();
    let (catalog, other) = (server(&store).await, server(&store).await);
    for round in 0..100 {
        let base = catalog.snapshot();
        let mut changes = vec![Change::Put(view("raw", &format!("v{round}")))];
        changes.extend(
            base.entry("raw", &format!("v{}", round - 3)).map(|entry| Change::Drop(entry.id)),
        );
        catalog.commit(&base, changes).await.unwrap();
        if round % 7 == 0 {
            other.refresh().await.unwrap();
        }
    }
    assert!(catalog.entries.current().file_count() <= 64);
    let expected = told(&catalog.snapshot());
    assert_eq!(expected.len(), 4 + 3);
    assert_eq!(told(&other.refresh().await.unwrap()), expected);
    assert_eq!(told(&server(&store).await.snapshot()), expected);
}

#[tokio::test]
async fn of_two_servers_that_want_one_name_exactly_one_gets_it() {
    for _ in 0..20 {
        let store = memory();
        let (one, two) = (server(&store).await, server(&store).await);
        let (base_one, base_two) = (one.snapshot(), two.snapshot());
        let (first, second) = tokio::join!(
            one.commit(&base_one, vec![Change::Put(view("raw", "v"))]),
            two.commit(&base_two, vec![Change::Put(view("raw", "v"))]),
        );
        let lost = match (first, second) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            other => panic!("{other:?}"),
        };
        assert!(matches!(lost, Error::Conflict { .. }), "{lost:?}");
        assert_eq!(told(&one.refresh().await.unwrap()), told(&two.refresh().await.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_want_different_names_both_get_them() {
    let store = memory();
    let work = |catalog: Arc<Catalog>, prefix: &'static str| {
        tokio::spawn(async move {
            for round in 0..30 {
                let change = Change::Put(view("raw", &format!("{prefix}{round}")));
                catalog.commit(&catalog.snapshot(), vec![change]).await.unwrap();
            }
        })
    };
    let one = work(server(&store).await, "a");
    let two = work(server(&store).await, "b");
    one.await.unwrap();
    two.await.unwrap();
    let all = server(&store).await.snapshot();
    assert_eq!(all.entries_in("raw").count(), 60);
    let oids: BTreeSet<u32> = all.entries().map(|entry| entry.oid).collect();
    assert_eq!(oids.len(), 60);
}

#[tokio::test]
async fn changes_that_meet_on_one_entry_conflict() {
    let store = memory();
    let (one, two) = (server(&store).await, server(&store).await);
    let entry = view("raw", "v");
    one.commit(&one.snapshot(), vec![Change::Put(entry.clone())]).await.unwrap();
    let base = two.refresh().await.unwrap();
    let entry = base.entry_by_id(entry.id).unwrap().as_ref().clone();
    let renamed = Entry { name: "w".to_owned(), ..entry.clone() };
    one.commit(&base, vec![Change::Put(renamed)]).await.unwrap();
    let commented = Entry { comment: Some("late".to_owned()), ..entry.clone() };
    for change in [Change::Put(commented), Change::Drop(entry.id)] {
        let late = two.commit(&base, vec![change]).await;
        assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    }
    // A schema that goes while somebody puts something into it.
    let base = two.refresh().await.unwrap();
    let public = base.schema("public").unwrap().id;
    one.commit(&base, vec![Change::Drop(public)]).await.unwrap();
    let late = two.commit(&base, vec![Change::Put(view("public", "v"))]).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
}

#[tokio::test]
async fn two_servers_may_open_a_new_warehouse_at_once() {
    for _ in 0..20 {
        let store = memory();
        let (one, two) = tokio::join!(server(&store), server(&store));
        let expected = told(&one.refresh().await.unwrap());
        assert_eq!(expected.len(), 4);
        assert_eq!(told(&two.refresh().await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_table_is_opened_once_and_found_again() {
    let store = memory();
    let catalog = server(&store).await;
    let spec = TableSpec::new(Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)])));
    let (table, lake) = catalog.create_table("we/ird Näme", spec).await.unwrap();
    let entry = Entry::new("raw", "t", "anna", 1, Definition::Table(table));
    catalog.commit(&catalog.snapshot(), vec![Change::Put(entry.clone())]).await.unwrap();
    assert!(Arc::ptr_eq(&catalog.table(&entry).await.unwrap(), &lake));
    let other = server(&store).await;
    let (first, second) = tokio::join!(other.table(&entry), other.table(&entry));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.current().schema, lake.current().schema);
    let none = catalog.table(&view("raw", "v")).await;
    assert!(matches!(none, Err(Error::Unsupported { .. })), "{none:?}");
}

#[tokio::test]
async fn a_lost_answer_to_ddl_is_no_duplicate() {
    let store = memory();
    server(&store).await;
    let faults = FaultStore::new(Arc::clone(&store));
    let shared: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&faults);
    let catalog = server(&shared).await;
    // The first put is the data file, the second the log entry.
    faults.fail_nth(Operation::Put, 2, Fault::After);
    let made = catalog.commit(&catalog.snapshot(), vec![Change::Put(view("raw", "v"))]).await;
    assert_eq!(made.unwrap().version, 2);
    assert_eq!(told(&server(&store).await.snapshot()), told(&catalog.snapshot()));
}

/// Two servers create names from a small set over failing stores. Every name that was acknowledged is
/// there with the id of who got it.
async fn simulate(seed: u64) {
    let store = memory();
    server(&store).await;
    let work = async |seed: u64| {
        let rates = Rates { before: 60, after: 60, delay: 100, denied: 30, ..Rates::default() };
        let faults = FaultStore::new(Arc::clone(&store));
        let shared: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&faults);
        let catalog = server(&shared).await;
        faults.reseed(seed, rates);
        let mut acknowledged = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let entry = view("raw", name);
            match catalog.commit(&catalog.snapshot(), vec![Change::Put(entry.clone())]).await {
                Ok(_) => acknowledged.push(entry),
                Err(
                    Error::Duplicate { .. }
                    | Error::Conflict { .. }
                    | Error::OutcomeUnknown { .. }
                    | Error::Rows { .. }
                    | Error::Store { .. },
                ) => {}
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
        }
        acknowledged
    };
    let (one, two) = tokio::join!(work(seed), work(!seed));
    let all = server(&store).await.snapshot();
    for entry in one.iter().chain(&two) {
        let there = all.entry("raw", &entry.name).map(|there| there.id);
        assert_eq!(there, Some(entry.id), "seed {seed}: {}", entry.name);
    }
}

#[tokio::test]
async fn an_acknowledged_name_belongs_to_who_got_it_whatever_the_store_does() {
    stream::iter(0..100).for_each_concurrent(50, simulate).await;
}
