//! Spellings of places that are not declared, in every statement that takes a place: nothing is read,
//! written or connected to outside.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::{FaultProxy, PgDatabase, TestServer};

use super::place::{Place, connect, execute, folder};

/// What must never be seen.
const CANARY: &str = "canary-7f3a";

/// A listener that counts who comes.
struct Trap {
    address: SocketAddr,
    visitors: Arc<AtomicU64>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let visitors = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&visitors);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { address, visitors }
    }
}

/// Ways to write a file that lies outside of `files`, which is declared.
fn local_spellings(files: &Path, outside: &Path) -> Vec<String> {
    let (inside, name) = (files.display(), "secret.csv");
    let secret = outside.join(name).display().to_string();
    let without_slash = secret.trim_start_matches('/');
    let mut spellings = vec![
        secret.clone(),
        format!("/{secret}"),
        format!("//{secret}"),
        format!("/.{secret}"),
        format!("/..{secret}"),
        format!("file:{secret}"),
        format!("file://{secret}"),
        format!("file:///{secret}"),
        format!("file://localhost{secret}"),
        format!("FILE://{secret}"),
        format!("file://127.0.0.1{secret}"),
        format!("file://{}", secret.replace('/', "%2f")),
        format!("file://{}", secret.replace("secret", "%73ecret")),
        format!("local://{secret}"),
        format!("{inside}/../outside/{name}"),
        format!("{inside}/./../outside/{name}"),
        format!("{inside}/x/../../outside/{name}"),
        format!("{inside}//../outside/{name}"),
        format!("file://{inside}/../outside/{name}"),
        format!("file://{inside}/%2e%2e/outside/{name}"),
        format!("file://{inside}/%2E%2E/outside/{name}"),
        format!("file://{inside}/.%2e/outside/{name}"),
        format!("file://{inside}/%2e%2e%2foutside%2f{name}"),
        format!("file://{inside}/%252e%252e/outside/{name}"),
        format!("{inside}/%2e%2e/outside/{name}"),
        format!("{inside}\\..\\outside\\{name}"),
        format!("file://{inside}\\..\\outside\\{name}"),
        format!("{inside}-other/{name}"),
        format!("{inside}/link/{name}"),
        format!("{inside}/link/*"),
        format!("{inside}/*/{name}"),
        format!("{inside}/**/{name}"),
        format!("{inside}/secret-link.csv"),
        format!("{inside}/hard/../link/{name}"),
        format!("{inside}/[l]ink/{name}"),
        format!("../outside/{name}"),
        format!("./../outside/{name}"),
        format!("{inside}/\u{202e}/../../outside/{name}"),
        "/etc/passwd".to_owned(),
        "/proc/self/environ".to_owned(),
        "/dev/stdin".to_owned(),
        format!("file:///proc/self/{}/etc/passwd", "root"),
        "~/.aws/credentials".to_owned(),
        format!("glob:{without_slash}"),
        String::new(),
        "/".to_owned(),
        "file:///".to_owned(),
    ];
    spellings.push(format!("{inside}/../outside"));
    spellings
}

/// Ways to write something that only a connection reaches.
fn remote_spellings(trap: SocketAddr) -> Vec<String> {
    let port = trap.port();
    vec![
        format!("http://127.0.0.1:{port}/x.csv"),
        format!("https://127.0.0.1:{port}/x.csv"),
        format!("http://localhost:{port}/x.csv"),
        format!("http://2130706433:{port}/x.csv"),
        format!("http://0x7f000001:{port}/x.csv"),
        format!("http://[::ffff:127.0.0.1]:{port}/x.csv"),
        format!("HTTP://127.0.0.1:{port}/x.csv"),
        format!("ftp://127.0.0.1:{port}/x.csv"),
        format!("s3://127.0.0.1:{port}/x.csv"),
        format!("s3://user:word@127.0.0.1:{port}/x.csv"),
        format!("hdfs://127.0.0.1:{port}/x.csv"),
        format!("abfss://c@127.0.0.1:{port}/x.csv"),
        format!("az://127.0.0.1:{port}/x.csv"),
        format!("gs://127.0.0.1:{port}/x.csv"),
        format!("memory://127.0.0.1:{port}/x.csv"),
        format!("//127.0.0.1:{port}/x.csv"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "s3://secret/secret.csv".to_owned(),
        "s3a://secret/secret.csv".to_owned(),
        "S3://secret/secret.csv".to_owned(),
        "s3://landing/secret.csv".to_owned(),
        "s3://landing/in/../secret.csv".to_owned(),
        "s3://landing/in/%2e%2e/secret.csv".to_owned(),
        "s3://landing/in/%2e%2e%2fsecret.csv".to_owned(),
        "s3://landing/in-other/secret.csv".to_owned(),
        "s3://landing/in/../../secret/secret.csv".to_owned(),
        "s3://landing/*/secret.csv".to_owned(),
        "s3://landing/**".to_owned(),
        "s3://landing".to_owned(),
        "s3://landing/in/x.csv?versionId=1".to_owned(),
        "s3://landing/in/x.csv#fragment".to_owned(),
        "s3://landing:9000/in/x.csv".to_owned(),
        "s3:///secret/secret.csv".to_owned(),
        "s3:secret/secret.csv".to_owned(),
        "s3://s3.amazonaws.com/secret/secret.csv".to_owned(),
        "https://s3.amazonaws.com/secret/secret.csv".to_owned(),
        "arn:aws:s3:::secret/secret.csv".to_owned(),
    ]
}

/// Whether a spelling means a name below the server's folder, however odd: what comes of it is harmless.
/// A URL is decoded once, a path not at all; nothing goes up or through a link.
fn stays_inside(spelling: &str, files: &str) -> bool {
    let path = match spelling.strip_prefix("file://") {
        Some(rest) => rest.replace("%25", "\u{1}").replace("%2e", ".").replace("%2E", "."),
        None => spelling.to_owned(),
    };
    let is_relative = !path.is_empty() && !path.starts_with('/') && !path.contains("://");
    let below = path.strip_prefix(files).is_some_and(|rest| rest.starts_with('/'));
    let goes_up = path.split(['/', '\\']).any(|part| part == "..");
    (is_relative || below) && !goes_up && !path.contains("link")
}

/// Every spelling in every statement: an error, which does not hold what lies there.
async fn try_all(database: &PgDatabase, spellings: &[String], files: &Path) -> usize {
    let files = files.to_str().unwrap();
    let mut tried = 0;
    for spelling in spellings {
        let quoted = spelling.replace('\'', "''");
        for statement in [
            format!("CREATE LOCATION l_{tried} URL '{quoted}'"),
            format!("COPY raw.t FROM '{quoted}' (FORMAT csv)"),
            format!("COPY (SELECT 'written') TO '{quoted}' (FORMAT csv)"),
            format!("COPY (SELECT 'written') TO '{quoted}' (FORMAT csv, OVERWRITE true)"),
            format!("CREATE MODEL raw.m FROM '{quoted}' INPUT (x real) OUTPUT (y real)"),
            format!(
                "CREATE EXTERNAL TABLE raw.e_{tried} (a text, b text) STORED AS csv LOCATION '{quoted}'"
            ),
            format!("CREATE EXTERNAL TABLE raw.p_{tried} STORED AS parquet LOCATION '{quoted}'"),
            format!("CREATE EXTERNAL TABLE raw.d_{tried} STORED AS delta LOCATION '{quoted}'"),
        ] {
            tried += 1;
            let answer = database.client().batch_execute(&statement).await;
            let Some(error) = answer.err() else {
                // A link gets a name; the statements after this one do not follow it.
                let named = statement.starts_with("CREATE LOCATION") && spelling.contains("link");
                assert!(named || stays_inside(spelling, files), "it succeeded: {statement}");
                continue;
            };
            let text = format!("{error:?}");
            assert!(error.as_db_error().is_some(), "{statement}: {text}");
            assert!(!text.contains(CANARY), "{statement}: {text}");
        }
    }
    tried
}

/// Everything below a folder, with its bytes.
fn everything(folder: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                found.insert((path.display().to_string(), Vec::new()));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.insert((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// The local disk and the network, from a server that has one folder declared.
pub(super) async fn nothing_outside_a_folder() {
    let server = TestServer::start();
    let database = connect(&server).await;
    let outside = server.files().with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.csv"), format!("1,{CANARY}\n")).unwrap();
    std::os::unix::fs::symlink(&outside, server.files().join("link")).unwrap();
    let link = server.files().join("secret-link.csv");
    std::os::unix::fs::symlink(outside.join("secret.csv"), link).unwrap();
    let trap = Trap::set();
    execute(&database, "CREATE TABLE raw.t (id bigint, text text)").await;
    let before = everything(&outside);
    let mut spellings = local_spellings(&server.files(), &outside);
    spellings.extend(remote_spellings(trap.address));
    let tried = try_all(&database, &spellings, &server.files()).await;
    tests::note(&format!("locations: {} spellings, {tried} statements", spellings.len()));
    assert_eq!(everything(&outside), before);
    assert_eq!(trap.visitors.load(Ordering::Relaxed), 0, "somebody connected");
}

/// A bucket, from a server that has one folder of another declared.
pub(super) async fn nothing_outside_a_bucket(mut place: Place) {
    let proxy = FaultProxy::start(place.address());
    place.through = Some(proxy.address());
    let server = place.start(&[]);
    let database = connect(&server).await;
    let trap = Trap::set();
    execute(&database, "CREATE TABLE raw.t (id bigint, text text)").await;
    proxy.take_seen();
    let tried = try_all(&database, &remote_spellings(trap.address), &server.files()).await;
    tests::note(&format!("locations: {tried} statements against a bucket"));
    for request in proxy.take_seen() {
        let target = request.target.as_str();
        let allowed = target.starts_with("/lake/warehouse/")
            || target.starts_with("/lake?") && target.contains("prefix=warehouse")
            || target.starts_with("/lake/?") && target.contains("prefix=warehouse");
        assert!(allowed, "{} {target}", request.method);
    }
    assert_eq!(trap.visitors.load(Ordering::Relaxed), 0, "somebody connected");
}

/// Files that a foreign writer's log names outside of its table.
pub(super) async fn nothing_outside_by_a_log() {
    let server = TestServer::start_with(&["--catalog-staleness-ms", "0"]);
    let database = connect(&server).await;
    let outside = server.files().with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    let made = server.files().join("secret.parquet");
    let query = format!("SELECT 1::bigint AS id, '{CANARY}'::text AS text");
    execute(&database, &format!("COPY ({query}) TO '{}'", made.display())).await;
    let secret = outside.join("secret.parquet");
    fs::rename(&made, &secret).unwrap();
    let size = fs::metadata(&secret).unwrap().len();
    let trap = Trap::set();
    let secret = secret.display().to_string();
    let up = "../".repeat(12);
    let paths = [
        secret.clone(),
        format!("/{secret}"),
        format!("file://{secret}"),
        format!("file:{secret}"),
        format!("{up}{}", &secret[1..]),
        format!("{}{}", up.replace("..", "%2e%2e"), &secret[1..]),
        format!("{}{}", up.replace('/', "%2F"), &secret[1..]),
        format!("x/{up}{}", &secret[1..]),
        format!("http://{}/x.parquet", trap.address),
        format!("s3://{}/x.parquet", trap.address),
        "s3://secret/x.parquet".to_owned(),
        "link/secret.parquet".to_owned(),
    ];
    for (index, path) in paths.iter().enumerate() {
        let table = format!("raw.foreign_{index}");
        execute(&database, &format!("CREATE TABLE {table} (id bigint, text text)")).await;
        let folder = server.warehouse().join(folder(&database, &table).await);
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        let add = serde_json::json!({"add": {
            "path": path, "partitionValues": {}, "size": size,
            "modificationTime": 0, "dataChange": true,
        }});
        fs::write(folder.join("_delta_log/00000000000000000001.json"), add.to_string()).unwrap();
        for statement in [
            format!("SELECT * FROM {table}"),
            format!("SELECT max(text) FROM {table}"),
            format!("UPDATE {table} SET id = 2"),
            format!("DELETE FROM {table} WHERE text = 'x'"),
            format!("COPY {table} TO STDOUT"),
        ] {
            let answer = match statement.starts_with("COPY") {
                true => match database.client().copy_out(&statement).await {
                    Err(error) => Err(error),
                    Ok(rows) => {
                        let rows: Result<Vec<_>, _> =
                            futures::TryStreamExt::try_collect(rows).await;
                        rows.map(|rows| format!("{rows:?}"))
                    }
                },
                false => {
                    database.client().simple_query(&statement).await.map(|rows| format!("{rows:?}"))
                }
            };
            let text = format!("{answer:?}");
            assert!(!text.contains(CANARY), "{path}: {statement}: {text}");
            assert!(answer.is_err(), "{path}: {statement}: {text}");
        }
    }
    for (index, path) in paths.iter().enumerate() {
        let folder = server.files().join(format!("mapped_{index}"));
        mapped_table(&folder, path, size);
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        let table = format!("raw.mapped_{index}");
        let create = format!(
            "CREATE EXTERNAL TABLE {table} STORED AS delta LOCATION '{}'",
            folder.display()
        );
        execute(&database, &create).await;
        for statement in
            [format!("SELECT * FROM {table}"), format!("SELECT max(text) FROM {table}")]
        {
            let answer = database.client().simple_query(&statement).await;
            let text = format!("{answer:?}");
            assert!(!text.contains(CANARY), "{path}: {statement}: {text}");
            assert!(answer.is_err(), "{path}: {statement}: {text}");
        }
    }
    assert!(Path::new(&secret).exists(), "it was removed");
    assert_eq!(trap.visitors.load(Ordering::Relaxed), 0, "somebody connected");
}

/// A Delta table of another writer whose columns have other names in the files, so that delta-rs reads it.
fn mapped_table(folder: &Path, path: &str, size: u64) {
    let field = |name: &str, kind: &str, id: i64| {
        let metadata = serde_json::json!({
            "delta.columnMapping.id": id, "delta.columnMapping.physicalName": name,
        });
        serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": metadata})
    };
    let fields = [field("id", "long", 1), field("text", "string", 2)];
    let schema = serde_json::json!({"type": "struct", "fields": fields}).to_string();
    let actions = [
        serde_json::json!({"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}),
        serde_json::json!({"metaData": {
            "id": "5f3d7d2e-4c6b-4b57-8f1f-0f7d5a1c9b11",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema, "partitionColumns": [], "createdTime": 0,
            "configuration": {
                "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2",
            },
        }}),
        serde_json::json!({"add": {
            "path": path, "partitionValues": {}, "size": size,
            "modificationTime": 0, "dataChange": true,
        }}),
    ];
    let lines = actions.map(|action| action.to_string()).join("\n");
    fs::create_dir_all(folder.join("_delta_log")).unwrap();
    fs::write(folder.join("_delta_log/00000000000000000000.json"), lines).unwrap();
}
