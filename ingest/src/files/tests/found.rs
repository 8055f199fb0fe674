//! Patterns and the files that they mean.

use super::{Arc, BASE, Bytes, ObjectStore, ObjectStoreExt, Path, Result, file, list, store_with};

use object_store::local::LocalFileSystem;

async fn names(store: &Arc<dyn ObjectStore>, path: &str) -> Result<Vec<String>> {
    let files = list(store, &Path::parse(path).unwrap(), BASE).await?;
    Ok(files.into_iter().map(|file| file.url.strip_prefix(BASE).unwrap().to_owned()).collect())
}

const FILES: [&str; 9] = [
    "in/2.csv",
    "in/1.csv",
    "in/10.csv.gz",
    "in/_SUCCESS",
    "in/.1.csv.crc",
    "in/deep/3.csv",
    "in/deep/er/4.csv",
    "in/x1.json",
    "other/5.csv",
];

async fn check(store: &Arc<dyn ObjectStore>) {
    for (pattern, expected) in [
        ("in/1.csv", vec!["in/1.csv"]),
        ("in", vec!["in/1.csv", "in/10.csv.gz", "in/2.csv", "in/x1.json"]),
        ("in/*.csv", vec!["in/1.csv", "in/2.csv"]),
        ("in/*", vec!["in/1.csv", "in/10.csv.gz", "in/2.csv", "in/_SUCCESS", "in/x1.json"]),
        ("in/[12].*", vec!["in/1.csv", "in/2.csv"]),
        ("in/?.csv", vec!["in/1.csv", "in/2.csv"]),
        ("in/*/*.csv", vec!["in/deep/3.csv"]),
        ("in/**/*.csv", vec!["in/1.csv", "in/2.csv", "in/deep/3.csv", "in/deep/er/4.csv"]),
        ("*/[0-9].csv", vec!["in/1.csv", "in/2.csv", "other/5.csv"]),
        ("in/_*", vec!["in/_SUCCESS"]),
    ] {
        assert_eq!(names(store, pattern).await.unwrap(), expected, "{pattern}");
    }
    for pattern in ["in/9.csv", "in/*.parquet", "nowhere", "nowhere/*.csv", "in/1"] {
        let error = names(store, pattern).await.unwrap_err();
        let message = format!("no file matches \"{BASE}{pattern}\"");
        assert_eq!((error.sqlstate(), error.to_string()), ("58P01", message));
    }
}

#[tokio::test]
async fn patterns_mean_the_same_files_everywhere() {
    let files = FILES.map(|name| (name, &b"x"[..]));
    check(&store_with(&files).await).await;

    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    check(&(Arc::new(local) as Arc<dyn ObjectStore>)).await;
}

#[tokio::test]
async fn a_malformed_pattern_is_named() {
    let store = store_with(&[("a", b"")]).await;
    let error = names(&store, "in/[a").await.unwrap_err();
    let message = error.to_string();
    assert_eq!(error.sqlstate(), "22023");
    assert!(
        message.starts_with("file pattern \"memory://lake/in/[a\" is malformed: "),
        "{message}"
    );
}

#[tokio::test]
async fn a_file_has_an_identity() {
    let store = store_with(&[("in/1.csv", b"12345")]).await;
    let first = file(&store, "in/1.csv").await;
    assert_eq!((first.meta.size, first.url.as_str()), (5, "memory://lake/in/1.csv"));
    store.put(&first.meta.location, Bytes::from_static(b"54321").into()).await.unwrap();
    let second = file(&store, "in/1.csv").await;
    assert_ne!(first.meta.e_tag, second.meta.e_tag);
}
