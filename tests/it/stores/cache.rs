//! The read cache, measured by the requests that reach the store.

use tests::{FaultProxy, Request};

use super::place::{Place, connect, execute, rows};

const SCAN: &str = "SELECT count(*), sum(id), max(length(text)) FROM raw.t";
const ANSWER: &str = "200000|20000100000|30";

fn data_reads(seen: &[Request]) -> usize {
    let is_data = |request: &&Request| {
        request.method == "GET"
            && request.target.contains(".parquet")
            && !request.target.contains("_delta_log")
            && !request.target.contains("_tarn")
    };
    seen.iter().filter(is_data).count()
}

/// The second scan, and the first after a restart, ask the store for no data; without a cache all do.
pub(super) async fn saves_requests(mut place: Place) {
    let proxy = FaultProxy::start(place.address());
    place.through = Some(proxy.address());
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let mut server = place.start(&["--cache-dir", cache, "--cache-limit-mib", "64"]);
    let database = connect(&server).await;
    execute(
        &database,
        "CREATE TABLE raw.t (id bigint, text text); \
         INSERT INTO raw.t SELECT i, repeat('x', 30) FROM generate_series(1, 200000) AS g(i)",
    )
    .await;
    proxy.take_seen();
    assert_eq!(rows(&database, SCAN).await, [ANSWER]);
    let cold = data_reads(&proxy.take_seen());
    assert!(cold > 0, "the first scan read nothing from the store");
    assert_eq!(rows(&database, SCAN).await, [ANSWER]);
    assert_eq!(data_reads(&proxy.take_seen()), 0, "the second scan");
    drop(database);
    server.start_again();
    proxy.take_seen();
    assert_eq!(rows(&connect(&server).await, SCAN).await, [ANSWER]);
    assert_eq!(data_reads(&proxy.take_seen()), 0, "the first scan after a restart");
    assert!(server.metric("tarn_cache_hits_total").unwrap() > 0);
    assert_eq!(server.metric("tarn_cache_misses_total"), Some(0));
    assert!(server.metric("tarn_cache_held_bytes").unwrap() < 64 << 20);
    drop(server);

    let server = place.start(&[]);
    let database = connect(&server).await;
    for scan in ["first", "second"] {
        proxy.take_seen();
        assert_eq!(rows(&database, SCAN).await, [ANSWER]);
        let reads = data_reads(&proxy.take_seen());
        tests::note(&format!("stores: without a cache the {scan} scan made {reads} requests"));
        assert!(reads > 0, "the {scan} scan without a cache");
    }
    assert_eq!(server.metric("tarn_cache_hits_total"), None);
}
