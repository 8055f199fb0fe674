//! The local disk as a store.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tempfile::TempDir;

use super::{DurableStore, NameAfter, Unreferenced};

fn store() -> (TempDir, DurableStore, Path) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let path = Path::parse(root.to_str().unwrap()).unwrap();
    (directory, DurableStore::new(vec![root]), path)
}

fn at(root: &Path, relative: &str) -> Path {
    Path::parse(format!("{root}/{relative}")).unwrap()
}

async fn names(store: &DurableStore, root: &Path) -> Vec<String> {
    let mut names: Vec<String> = store
        .list(Some(root))
        .map_ok(|meta| meta.location.as_ref()[root.as_ref().len() + 1..].to_owned())
        .try_collect()
        .await
        .unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn puts_create_or_replace_and_leave_nothing_else() {
    let (directory, store, root) = store();
    let path = at(&root, "a/b/one.json");
    let create = || PutMode::Create.into();
    store.put_opts(&path, "first".into(), create()).await.unwrap();
    let again = store.put_opts(&path, "second".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(&store.get(&path).await.unwrap().bytes().await.unwrap()[..], b"first");
    store.put(&path, "third".into()).await.unwrap();
    assert_eq!(&store.get(&path).await.unwrap().bytes().await.unwrap()[..], b"third");
    assert_eq!(&store.get_range(&path, 1..3).await.unwrap()[..], b"hi");
    assert_eq!(names(&store, &root).await, ["a/b/one.json"]);
    let on_disk: Vec<PathBuf> = std::fs::read_dir(directory.path().join("a/b"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(on_disk, [directory.path().canonicalize().unwrap().join("a/b/one.json")]);
}

#[tokio::test]
async fn one_of_many_concurrent_creators_wins() {
    let (_directory, store, root) = store();
    let path = at(&root, "new/entry.json");
    let puts =
        (0..16).map(|writer| {
            let (store, path) = (store.clone(), path.clone());
            async move {
                store.put_opts(&path, format!("{writer}").into(), PutMode::Create.into()).await
            }
        });
    let answers = futures::future::join_all(puts).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert_eq!(names(&store, &root).await, ["new/entry.json"]);
}

#[tokio::test]
async fn an_entry_gets_its_name_after_what_it_waits_for_or_never() {
    let (directory, store, root) = store();
    let (kept, given_up) = (at(&root, "log/1.json"), at(&root, "log/2.json"));
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut options: PutOptions = PutMode::Create.into();
    options.extensions.insert(NameAfter::new(async { told.await.unwrap() }));
    let put = store.put_opts(&kept, "entry".into(), options);
    let told = async {
        // Written and synced, and nobody sees it.
        let staged = || std::fs::read_dir(directory.path().join("log")).map(Iterator::count);
        while staged().unwrap_or(0) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(names(&store, &root).await, Vec::<String>::new());
        tell.send(true).unwrap();
    };
    futures::join!(put, told).0.unwrap();
    assert_eq!(names(&store, &root).await, ["log/1.json"]);

    let mut options: PutOptions = PutMode::Create.into();
    options.extensions.insert(NameAfter::new(async { false }));
    assert!(store.put_opts(&given_up, "entry".into(), options).await.is_err());
    assert_eq!(std::fs::read_dir(directory.path().join("log")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_that_nobody_looks_for_is_there_when_its_put_returns() {
    let (_directory, store, root) = store();
    let path = at(&root, "table/part-1.parquet");
    let options = || {
        let mut options: PutOptions = PutMode::Create.into();
        options.extensions.insert(Unreferenced);
        options
    };
    store.put_opts(&path, "rows".into(), options()).await.unwrap();
    assert_eq!(&store.get(&path).await.unwrap().bytes().await.unwrap()[..], b"rows");
    assert!(store.put_opts(&path, "others".into(), options()).await.is_err());
    assert_eq!(&store.get(&path).await.unwrap().bytes().await.unwrap()[..], b"rows");
}

#[tokio::test]
async fn an_upload_is_seen_when_it_is_complete_and_not_before() {
    let (directory, store, root) = store();
    let path = at(&root, "big.bin");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let parts = [upload.put_part("one,".into()), upload.put_part("two".into())];
    futures::future::try_join_all(parts).await.unwrap();
    assert_eq!(names(&store, &root).await, Vec::<String>::new());
    upload.complete().await.unwrap();
    assert_eq!(&store.get(&path).await.unwrap().bytes().await.unwrap()[..], b"one,two");
    let mut given_up = store.put_multipart(&at(&root, "no.bin")).await.unwrap();
    given_up.put_part("x".into()).await.unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(names(&store, &root).await, ["big.bin"]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_directory_that_was_removed_is_made_again() {
    let (directory, store, root) = store();
    let path = at(&root, "a/one");
    store.put(&path, "1".into()).await.unwrap();
    std::fs::remove_dir_all(directory.path().join("a")).unwrap();
    store.put(&path, "2".into()).await.unwrap();
    assert_eq!(names(&store, &root).await, ["a/one"]);
}

#[tokio::test]
async fn objects_are_copied_renamed_and_deleted() {
    let (_directory, store, root) = store();
    let (one, two, three) = (at(&root, "one"), at(&root, "d/two"), at(&root, "e/three"));
    store.put(&one, "1".into()).await.unwrap();
    store.copy(&one, &two).await.unwrap();
    let taken = store.copy_if_not_exists(&one, &two).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    store.rename(&two, &three).await.unwrap();
    store.delete(&one).await.unwrap();
    assert_eq!(names(&store, &root).await, ["e/three"]);
    let gone = store.delete(&one).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let missing = store.copy(&one, &two).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn links_do_not_lead_out() {
    let (directory, store, root) = store();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), directory.path().join("way")).unwrap();
    symlink(outside.path().join("secret"), directory.path().join("file")).unwrap();
    let refused = |answer: &Result<(), Error>| {
        assert!(matches!(answer, Err(Error::PermissionDenied { .. })), "{answer:?}");
    };
    for path in ["way/secret", "file"] {
        let path = at(&root, path);
        refused(&store.get(&path).await.map(drop));
        refused(&store.get_range(&path, 0..1).await.map(drop));
        refused(&store.delete(&path).await);
        refused(&store.copy(&path, &at(&root, "copy")).await);
    }
    refused(&store.put(&at(&root, "way/new"), "x".into()).await.map(drop));
    refused(&store.put_multipart(&at(&root, "way/deep/new")).await.map(drop));
    refused(&store.rename(&at(&root, "way/secret"), &at(&root, "mine")).await);
    refused(&store.list_with_delimiter(Some(&at(&root, "way"))).await.map(drop));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    // A link that stays inside is a way like any other.
    store.put(&at(&root, "real/x"), "1".into()).await.unwrap();
    symlink(directory.path().join("real"), directory.path().join("alias")).unwrap();
    store.get(&at(&root, "alias/x")).await.unwrap();
}
