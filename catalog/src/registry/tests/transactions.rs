//! Transactions over several tables: all of it or nothing, for every reader, whoever dies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use object_store::ObjectStore;

use super::{memory, server};
use crate::faults::{FaultStore, Rates};
use crate::registry::decisions::prepare;
use crate::{
    Catalog, Change, Commit, CommitKind, Definition, Entry, Error, TableCommit, TableSpec,
    TransactionFailure,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]))
}

/// A server on a warehouse with three tables, which hold row 0.
async fn first_server(store: &Arc<dyn ObjectStore>) -> Arc<Catalog> {
    let catalog = server(store).await;
    for name in NAMES {
        let (table, _) = catalog.create_table("raw", TableSpec::new(schema())).await.unwrap();
        let entry = Entry::new("raw", name, "anna", 1, Definition::Table(table));
        catalog.commit(&catalog.snapshot(), vec![Change::Put(entry)]).await.unwrap();
    }
    add(&catalog, &NAMES, 0).await.unwrap();
    catalog
}

/// What adds row `x` to these tables.
async fn commits(catalog: &Catalog, names: &[&str], x: i64) -> Result<Vec<TableCommit>, Error> {
    let snapshot = catalog.snapshot();
    let mut commits = Vec::new();
    for name in names {
        let entry = snapshot.entry("raw", name).unwrap();
        let (table, base) = catalog.pin(entry, i64::MAX).await?;
        let column = Arc::new(Int64Array::from(vec![x]));
        let batch = RecordBatch::try_new(schema(), vec![column]).unwrap();
        let rows = stream::iter([Ok(batch)]);
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema(), rows));
        let commit = Commit::append(table.write_files(&base, rows).await?);
        commits.push(TableCommit { id: entry.id, table, base, commit });
    }
    Ok(commits)
}

/// Adds row `x` to these tables, in one transaction.
async fn add(catalog: &Catalog, names: &[&str], x: i64) -> Result<(), TransactionFailure> {
    let commits = commits(catalog, names, x).await?;
    catalog.commit_transaction(&catalog.snapshot(), Vec::new(), commits).await
}

/// The rows of the three tables, as one statement of this server sees them.
async fn read(catalog: &Catalog, age_micros: i64) -> Result<[BTreeSet<i64>; 3], Error> {
    let snapshot = catalog.snapshot();
    let mut found = [const { BTreeSet::new() }; 3];
    for (name, rows) in NAMES.iter().zip(&mut found) {
        let entry = snapshot.entry("raw", name).unwrap();
        let (table, pinned) = catalog.pin(entry, age_micros).await?;
        for file in pinned.files() {
            for batch in table.read_file(file).await? {
                for x in batch.column(0).as_primitive::<Int64Type>().values() {
                    assert!(rows.insert(*x), "row {x} is there twice");
                }
            }
        }
    }
    Ok(found)
}

fn set(rows: impl IntoIterator<Item = i64>) -> BTreeSet<i64> {
    rows.into_iter().collect()
}

#[tokio::test]
async fn a_transaction_is_in_all_of_its_tables() {
    let store = memory();
    let catalog = first_server(&store).await;
    add(&catalog, &["a", "c"], 1).await.unwrap();
    add(&catalog, &["a"], 2).await.unwrap();
    let expected = [set([0, 1, 2]), set([0]), set([0, 1])];
    assert_eq!(read(&catalog, i64::MAX).await.unwrap(), expected);
    assert_eq!(read(&*server(&store).await, 0).await.unwrap(), expected);
}

/// The server dies before its first put, after it, after its second, and so on.
#[tokio::test]
async fn a_server_that_dies_anywhere_leaves_all_or_nothing() {
    let mut outcomes = BTreeSet::new();
    for puts in 0.. {
        let store = memory();
        first_server(&store).await;
        let faults = FaultStore::new(Arc::clone(&store));
        let shared: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&faults);
        let dying = server(&shared).await;
        let commits = commits(&dying, &NAMES, 1).await.unwrap();
        faults.die_after_puts(puts);
        let base = dying.snapshot();
        let work = dying.commit_transaction(&base, Vec::new(), commits);
        let answer = tokio::time::timeout(Duration::from_millis(300), work).await;

        let next = server(&store).await;
        let found = read(&next, 0).await.unwrap();
        let holds = found[0].contains(&1);
        let expected = if holds { set([0, 1]) } else { set([0]) };
        assert!(found.iter().all(|rows| *rows == expected), "after {puts} puts: {found:?}");
        assert!(holds || answer.is_err(), "acknowledged, and gone after {puts} puts");
        outcomes.insert((holds, answer.is_ok()));
        // Whatever it left behind keeps nobody from going on.
        add(&next, &["b"], 2).await.unwrap();
        add(&next, &NAMES, 3).await.unwrap();
        let more: BTreeSet<i64> = expected.iter().copied().chain([3]).collect();
        let most: BTreeSet<i64> = more.iter().copied().chain([2]).collect();
        assert_eq!(read(&next, i64::MAX).await.unwrap(), [more.clone(), most, more]);
        if answer.is_ok() {
            break;
        }
    }
    // It died before the decision, after it, and not at all.
    assert_eq!(outcomes, BTreeSet::from([(false, false), (true, false), (true, true)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_of_two_servers_sees_half_a_transaction() {
    let store = memory();
    first_server(&store).await;
    let servers = [server(&store).await, server(&store).await];
    let mut work = Vec::new();
    for (number, catalog) in (1..).zip(servers) {
        let reader = Arc::clone(&catalog);
        work.push(tokio::spawn(async move {
            for x in 0..40 {
                let x = number * 1000 + x;
                // Rows of "a" and "b" come together; each table has commits of its own besides.
                add(&catalog, &["b", "a"], x).await.unwrap();
                if x % 3 == 0 {
                    add(&catalog, &["a"], -x).await.unwrap();
                    add(&catalog, &["c", "a"], -x - 500).await.unwrap();
                }
            }
        }));
        work.push(tokio::spawn(async move {
            for round in 0..150 {
                if round % 5 == 0 {
                    reader.refresh().await.unwrap();
                }
                let age = if round % 2 == 0 { 0 } else { i64::MAX };
                let [a, b, _] = read(&reader, age).await.unwrap();
                let of_both = |rows: &BTreeSet<i64>| set(rows.iter().copied().filter(|x| *x >= 0));
                assert_eq!(of_both(&a), of_both(&b));
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in work {
        task.await.unwrap();
    }
    let thirds = (1000..1040).chain(2000..2040).filter(|x| x % 3 == 0).count();
    let [a, b, c] = read(&*server(&store).await, 0).await.unwrap();
    assert_eq!((a.len(), b.len(), c.len()), (81 + 2 * thirds, 81, 1 + thirds));
}

#[tokio::test]
async fn of_two_transactions_that_change_one_row_one_holds_whole() {
    let store = memory();
    let (one, two) = (first_server(&store).await, server(&store).await);
    let change = async |catalog: &Catalog, x| {
        let mut commits = commits(catalog, &NAMES, x).await.unwrap();
        let rewritten = commits.last_mut().unwrap();
        rewritten.commit.removes =
            rewritten.base.files().map(|file| file.path().to_owned()).collect();
        rewritten.commit.kind = CommitKind::Rewrite { read_all: false };
        commits
    };
    let (first, second) = (change(&one, 1).await, change(&two, 2).await);
    let (base_one, base_two) = (one.snapshot(), two.snapshot());
    let (first, second) = tokio::join!(
        one.commit_transaction(&base_one, Vec::new(), first),
        two.commit_transaction(&base_two, Vec::new(), second),
    );
    let (winner, lost) = match (first, second) {
        (Ok(()), Err(lost)) => (1, lost),
        (Err(lost), Ok(())) => (2, lost),
        other => panic!("{other:?}"),
    };
    assert!(matches!(lost.error, Error::Conflict { .. }), "{lost:?}");
    assert_eq!(lost.id, one.snapshot().entry("raw", "c").map(|entry| entry.id));
    let expected = [set([0, winner]), set([0, winner]), set([winner])];
    assert_eq!(read(&*server(&store).await, 0).await.unwrap(), expected);
}

#[tokio::test]
async fn who_waits_too_long_for_a_decision_has_it_refused() {
    let store = memory();
    let (slow, other) = (first_server(&store).await, server(&store).await);
    let base = slow.snapshot();
    let prepared = prepare(&commits(&slow, &["a", "b"], 1).await.unwrap()).await.unwrap();
    add(&other, &["a"], 2).await.unwrap();
    let changes = prepared.iter().map(|(id, one)| Change::Decide { id: *id, at: one.at() });
    let late = slow.commit(&base, changes.collect()).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    for (_, one) in prepared {
        one.take_back().await;
    }
    slow.refresh().await.unwrap();
    for catalog in [&slow, &other] {
        assert_eq!(read(catalog, 0).await.unwrap(), [set([0, 2]), set([0]), set([0])]);
    }
}

#[tokio::test]
async fn a_table_that_is_dropped_takes_the_transaction_with_it() {
    let store = memory();
    let (one, two) = (first_server(&store).await, server(&store).await);
    let (base, commits) = (one.snapshot(), commits(&one, &NAMES, 1).await.unwrap());
    let dropped = two.snapshot().entry("raw", "b").unwrap().id;
    two.commit(&two.snapshot(), vec![Change::Drop(dropped)]).await.unwrap();
    let failed = one.commit_transaction(&base, Vec::new(), commits).await.unwrap_err();
    assert!(matches!(failed.error, Error::Conflict { .. }), "{failed:?}");
    let snapshot = one.refresh().await.unwrap();
    for name in ["a", "c"] {
        let (_, pinned) = one.pin(snapshot.entry("raw", name).unwrap(), 0).await.unwrap();
        assert_eq!((pinned.row_count(), pinned.prepared()), (Some(1), None));
    }
}

/// Rows that another transaction adds to the same tables meanwhile are no conflict.
#[tokio::test]
async fn definitions_and_rows_come_at_once() {
    let store = memory();
    let (one, two) = (first_server(&store).await, server(&store).await);
    let (base, commits) = (one.snapshot(), commits(&one, &["a", "b"], 1).await.unwrap());
    add(&two, &["a", "b"], 2).await.unwrap();
    let entry = base.entry("raw", "a").unwrap();
    let commented = Entry { comment: Some("rows".to_owned()), ..entry.as_ref().clone() };
    one.commit_transaction(&base, vec![Change::Put(commented)], commits).await.unwrap();
    let fresh = server(&store).await;
    assert_eq!(read(&fresh, 0).await.unwrap(), [set([0, 1, 2]), set([0, 1, 2]), set([0])]);
    let snapshot = fresh.snapshot();
    assert_eq!(snapshot.entry("raw", "a").unwrap().comment.as_deref(), Some("rows"));
}

/// Two servers over failing stores. What was acknowledged is in all tables, what was refused is in
/// none, and what is unknown is one of the two. Tells how many held and how many did not.
async fn simulate(seed: u64) -> (usize, usize) {
    let store = memory();
    first_server(&store).await;
    let work = async |number: i64| {
        let faults = FaultStore::new(Arc::clone(&store));
        let shared: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&faults);
        let catalog = server(&shared).await;
        faults.reseed(
            seed * 2 + number.unsigned_abs(),
            Rates { before: 90, after: 90, delay: 100, denied: 30, ..Rates::default() },
        );
        let mut answers = Vec::new();
        for x in number * 100..number * 100 + 8 {
            answers.push((x, add(&catalog, &NAMES, x).await));
        }
        answers
    };
    let (one, two) = tokio::join!(work(1), work(2));
    let found = read(&*server(&store).await, 0).await.unwrap();
    assert!(found.iter().all(|rows| *rows == found[0]), "seed {seed}: {found:?}");
    for (x, answer) in one.into_iter().chain(two) {
        let holds = found[0].contains(&x);
        match answer.map_err(|failure| failure.error) {
            Ok(()) => assert!(holds, "seed {seed}: row {x} is lost"),
            Err(Error::OutcomeUnknown { .. }) => {}
            Err(error) => assert!(!holds, "seed {seed}: row {x} holds after {error:?}"),
        }
    }
    let held = found[0].len() - 1;
    (held, 16 - held)
}

#[tokio::test]
async fn transactions_hold_or_not_on_stores_that_fail() {
    let outcomes = stream::iter(0..60).map(simulate).buffer_unordered(60);
    let (held, failed) =
        outcomes.fold((0, 0), async |sum, one| (sum.0 + one.0, sum.1 + one.1)).await;
    assert!(held > 100 && failed > 10, "{held} held, {failed} did not");
}
