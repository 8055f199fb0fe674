//! Which locations are reached, and which are refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::{StoreOptions, Stores};
use crate::Error;

fn stores(warehouse: &std::path::Path, locations: &[&std::path::Path]) -> Stores {
    let locations = locations.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let options = StoreOptions { locations, ..StoreOptions::default() };
    Stores::new(warehouse.to_str().unwrap(), options).unwrap()
}

#[tokio::test]
async fn only_declared_locations_are_reached() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    std::fs::create_dir(at("landing")).unwrap();
    std::fs::create_dir(at("landing-secret")).unwrap();
    std::fs::write(at("landing").join("a file.csv"), "1").unwrap();
    let stores = stores(&at("warehouse"), &[&at("landing")]);
    let landing = at("landing").display().to_string();
    for spelling in [
        format!("{landing}/a file.csv"),
        format!("file://{landing}/a%20file.csv"),
        format!("file://localhost{landing}/a file.csv"),
        format!("{landing}/./a file.csv"),
    ] {
        let found = stores.resolve(&spelling).unwrap();
        let bytes = found.store.get(&found.path).await.unwrap().bytes().await.unwrap();
        assert_eq!(&bytes[..], b"1", "{spelling}");
    }
    for spelling in [
        "/etc/passwd".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("{landing}/../landing-secret/x"),
        format!("file://{landing}/../../etc/passwd"),
        format!("file://{landing}/%2e%2e/landing-secret/x"),
        format!("{landing}-secret/x"),
        format!("{}/x", at("").display()),
        "s3://bucket/x".to_owned(),
        "memory:///x".to_owned(),
        "relative/x".to_owned(),
    ] {
        let refused = stores.resolve(&spelling);
        assert!(matches!(refused, Err(Error::LocationRefused { .. })), "{spelling}: {refused:?}");
    }
    for spelling in [
        "http://169.254.169.254/latest",
        "https://example.com/x",
        "ftp://example.com/x",
        "file://example.com/etc/passwd",
        "s3://key:secret@bucket/x",
        "s3://bucket/x?versionId=1",
        "",
    ] {
        let refused = stores.resolve(spelling);
        assert!(matches!(refused, Err(Error::LocationMalformed { .. })), "{spelling}: {refused:?}");
    }
}

#[tokio::test]
async fn the_store_itself_refuses_what_is_not_declared() {
    let root = tempfile::tempdir().unwrap();
    let stores = stores(root.path(), &[]);
    let store = &stores.warehouse().store;
    for path in ["etc/hostname", "etc/passwd"] {
        let refused = store.get(&Path::from(path)).await;
        assert!(
            matches!(refused, Err(object_store::Error::PermissionDenied { .. })),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn a_path_in_the_warehouse_stays_in_it() {
    let root = tempfile::tempdir().unwrap();
    let stores = stores(root.path(), &[]);
    let inside = stores.in_warehouse("raw/t").unwrap();
    assert!(inside.path.as_ref().ends_with("/raw/t"));
    for path in ["../x", "raw/../../x", "raw//x"] {
        assert!(stores.in_warehouse(path).is_err(), "{path}");
    }
}

#[test]
fn places_of_remote_stores_are_told_by_scheme_bucket_and_prefix() {
    let options = StoreOptions {
        locations: vec!["memory://other/shared".to_owned()],
        ..StoreOptions::default()
    };
    let stores = Stores::new("memory://house/base", options).unwrap();
    assert_eq!(stores.warehouse().path.as_ref(), "base");
    assert_eq!(stores.resolve("memory://house/base/x").unwrap().path.as_ref(), "base/x");
    assert_eq!(stores.resolve("memory://other/shared/x").unwrap().path.as_ref(), "shared/x");
    for refused in
        ["memory://house/baseline/x", "memory://house/x", "memory://other/x", "gs://house/base"]
    {
        let answer = stores.resolve(refused);
        assert!(matches!(answer, Err(Error::LocationRefused { .. })), "{refused}: {answer:?}");
    }
}

#[test]
fn two_spellings_of_a_store_are_one() {
    for (spelling, store) in [
        ("s3a://b/x", "s3://b"),
        ("s3://b", "s3://b"),
        ("gs://b/x/y", "gs://b"),
        ("abfs://c/x", "az://c"),
        ("abfss://c/x", "az://c"),
        ("abfs://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net"),
    ] {
        assert_eq!(super::remote::key(&url::Url::parse(spelling).unwrap()), store);
    }
}

#[test]
fn sql_declares_below_roots_and_neither_in_nor_around_the_warehouse() {
    let root = tempfile::tempdir().unwrap();
    let local = root.path().to_str().unwrap().to_owned();
    let anonymous = [("skip_signature".to_owned(), "true".to_owned())].into_iter().collect();
    let options = StoreOptions {
        locations: vec![local.clone()],
        location_roots: vec!["s3://lake".to_owned(), "s3://other/landing".to_owned()],
        stores: [("s3://lake".to_owned(), anonymous)].into_iter().collect(),
        ..StoreOptions::default()
    };
    let stores = Stores::new("s3://lake/house", options).unwrap();
    let check =
        |url: &str, options: &[(&str, bool)]| stores.check_declarable(url, options.iter().copied());
    for (url, options) in [
        ("s3://lake/landing", &[("access_key_id", false), ("secret_access_key", true)][..]),
        ("s3a://lake/landing", &[("region", false)]),
        ("s3://lake/houses", &[]),
        ("s3://other/landing/x", &[]),
        (&local, &[]),
        (&format!("{local}/x"), &[]),
    ] {
        assert!(check(url, options).is_ok(), "{url}: {:?}", check(url, options));
    }
    for url in [
        "s3://lake",
        "s3a://lake",
        "s3://lake/house",
        "s3a://lake/house/x",
        "s3://lake/landing/../house",
        "s3://other",
        "s3://other/landings",
        "s3://third/landing",
        "gs://lake/landing",
        "memory://lake/landing",
    ] {
        let refused = check(url, &[]);
        assert!(matches!(refused, Err(Error::LocationUndeclarable { .. })), "{url}: {refused:?}");
    }
    for (url, option) in [
        ("s3://lake/landing", ("endpoint", false)),
        ("s3://lake/landing", ("aws_endpoint", false)),
        ("s3://lake/landing", ("secret_access_key", false)),
        ("s3://lake/landing", ("account_key", true)),
        ("s3://lake/landing", ("allow_http", false)),
        (&local, ("region", false)),
    ] {
        let refused = check(url, &[option]);
        assert!(matches!(refused, Err(Error::LocationMalformed { .. })), "{option:?}: {refused:?}");
    }
    assert!(matches!(check("/etc", &[]), Err(Error::LocationRefused { .. })));
}
