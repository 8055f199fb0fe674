//! COPY in both directions and both protocols.

use super::*;

const IN: &str = "COPY copied FROM STDIN";
const OUT: &str = "COPY copied TO STDOUT";

async fn client() -> Client {
    let mut client = Client::connect(&server().await).await;
    let made = client.query("CREATE TABLE copied (a bigint, b text)").await;
    assert_eq!(tags(&made), "CZ", "{made:?}");
    client
}

fn data(bytes: &[u8]) -> Vec<u8> {
    message(b'd', bytes)
}

fn done() -> Vec<u8> {
    message(b'c', b"")
}

/// The bytes that a COPY TO STDOUT of the table gives.
async fn copied(client: &mut Client) -> String {
    let replies = client.query(OUT).await;
    let tags = tags(&replies);
    assert!(tags.starts_with('H') && tags.ends_with("cCZ"), "{replies:?}");
    let data = replies.iter().filter(|reply| reply.tag == b'd');
    String::from_utf8(data.flat_map(|reply| reply.body.clone()).collect()).unwrap()
}

#[tokio::test]
async fn rows_go_in_and_come_out_whole() {
    let mut client = client().await;
    client.send(&query(IN)).await;
    let response = client.expect(b'G').await;
    assert_eq!(response.body, [0, 0, 2, 0, 0, 0, 0]);
    // Cut in the middle of a row, and with an empty piece.
    client.send(&[data(b"1\ton"), data(b""), data(b"e\n2\t\\N\n"), done()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "CZ");
    assert_eq!(replies[0].text(), "COPY 2");
    assert_eq!(copied(&mut client).await, "1\tone\n2\t\\N\n");
    client.assert_usable().await;
}

#[tokio::test]
async fn the_extended_protocol_copies_too() {
    let mut client = client().await;
    client.send(&[parse("", IN, &[]), bind("", "", &[], 0), execute("", 0)].concat()).await;
    // libpq syncs only at the end; others do it at once, which the server must pass over.
    client.send(&sync()).await;
    let mut tags_before = String::new();
    loop {
        let reply = client.next().await.unwrap();
        tags_before.push(reply.tag as char);
        if reply.tag == b'G' {
            break;
        }
    }
    assert_eq!(tags_before, "12G");
    client.send(&[data(b"1\tone\n"), done(), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "CZ", "{replies:?}");
    assert_eq!(copied(&mut client).await, "1\tone\n");
    client.send(&[parse("", OUT, &[]), bind("", "", &[], 0), describe(b'P', "")].concat()).await;
    client.send(&[execute("", 0), sync()].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "12nHdcCZ");
}

#[tokio::test]
async fn a_client_that_gives_up_leaves_nothing() {
    let mut client = client().await;
    client.send(&[query(IN), data(b"1\tone\n"), message(b'f', b"no more\0")].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "GEZ", "{replies:?}");
    assert_eq!(sqlstate(&replies), "57014");
    assert!(error(&replies).field(b'M').unwrap().contains("no more"));
    assert_eq!(copied(&mut client).await, "");
}

#[tokio::test]
async fn an_error_in_mid_stream_is_told_while_the_client_goes_on() {
    let mut client = client().await;
    client.send(&[query(IN), data(b"bad\tx\n")].concat()).await;
    for _ in 0..100 {
        client.send(&data(b"1\tone\n")).await;
    }
    client.send(&done()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "GEZ", "{replies:?}");
    assert_eq!(sqlstate(&replies), "22P02");
    client.assert_usable().await;
    assert_eq!(copied(&mut client).await, "");
    // The same in the extended protocol, where the client ends with Sync.
    client.send(&[parse("", IN, &[]), bind("", "", &[], 0), execute("", 0)].concat()).await;
    client.send(&[data(b"bad\tx\n"), data(b"1\tone\n"), done(), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "12GEZ", "{replies:?}");
    client.assert_usable().await;
}

#[tokio::test]
async fn a_client_that_vanishes_commits_nothing() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    client.query("CREATE TABLE copied (a bigint, b text)").await;
    let mut other = Client::connect(&server).await;
    client.send(&[query(IN), data(b"1\tone\n")].concat()).await;
    client.expect(b'G').await;
    drop(client);
    eventually("the session ends", || server.metrics.sessions.get() == 1).await;
    assert_eq!(copied(&mut other).await, "");
}

#[tokio::test]
async fn another_message_in_a_copy_is_an_error() {
    let mut client = client().await;
    client.send(&[query(IN), query("SELECT 1")].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "GEZ", "{replies:?}");
    assert_eq!(sqlstate(&replies), "08P01");
    client.assert_usable().await;
}

#[tokio::test]
async fn each_row_is_a_message() {
    let mut client = client().await;
    client.send(&[query(IN), data(b"1\ttwo\\nlines\n2\t\\N\n"), done()].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "GCZ");
    for (options, expected) in [
        ("", vec!["1\ttwo\\nlines\n", "2\t\\N\n"]),
        ("WITH (FORMAT csv, HEADER)", vec!["a,b\n", "1,\"two\nlines\"\n", "2,\n"]),
    ] {
        let replies = client.query(&format!("{OUT} {options}")).await;
        let rows = replies.iter().filter(|reply| reply.tag == b'd');
        let rows: Vec<_> = rows.map(|row| String::from_utf8_lossy(&row.body)).collect();
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn a_client_that_stops_sending_is_timed_out() {
    let mut client = client().await;
    client.query("SET statement_timeout = 100").await;
    client.send(&[query(IN), data(b"1\tone\n")].concat()).await;
    client.expect(b'G').await;
    // It says nothing more until the server does.
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "EZ", "{replies:?}");
    assert_eq!(sqlstate(&replies), "57014");
    // What was on its way is passed over.
    client.send(&[data(b"2\ttwo\n"), done()].concat()).await;
    client.query("RESET statement_timeout").await;
    assert_eq!(copied(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_timed_out() {
    let mut client = client().await;
    client.query("SET statement_timeout = 200").await;
    let endless =
        "COPY (SELECT i, repeat('x', 1000) FROM generate_series(1, 100000000) AS g(i)) TO STDOUT";
    client.send(&query(endless)).await;
    client.expect(b'H').await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let replies = client.until_ready().await;
    assert_eq!(sqlstate(&replies), "57014");
    client.assert_usable().await;
}

#[tokio::test]
async fn rows_that_do_not_fit_are_counted_in_a_notice() {
    let mut client = client().await;
    let sql = "COPY copied FROM STDIN WITH (ON_ERROR ignore, REJECT_LIMIT 2)";
    client.send(&[query(sql), data(b"1\tone\nx\tno\ny\tno\n4\tfour\n"), done()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "GNCZ", "{replies:?}");
    let told = replies[1].field(b'M').unwrap();
    assert_eq!(told, "2 rows were skipped due to data type incompatibility");
    assert_eq!(replies[2].text(), "COPY 2");
    client.send(&[query(sql), data(b"x\t1\nx\t2\nx\t3\n"), done()].concat()).await;
    assert_eq!(sqlstate(&client.until_ready().await), "22P02");
    assert_eq!(copied(&mut client).await, "1\tone\n4\tfour\n");
}

#[tokio::test]
async fn loaded_files_are_told_of_in_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "1,one\n").unwrap();
    let server = server_of(EngineConfig {
        warehouse: "memory://".to_owned(),
        locations: vec![folder.path().display().to_string()],
        ..EngineConfig::default()
    });
    let mut client = Client::connect(&server.await).await;
    client.query("CREATE TABLE copied (a bigint, b text)").await;
    let sql = format!("COPY copied FROM '{}'", path.display());
    assert_eq!(tags(&client.query(&sql).await), "CZ");
    let replies = client.query(&sql).await;
    assert_eq!(tags(&replies), "NCZ", "{replies:?}");
    assert_eq!(replies[0].field(b'M').unwrap(), "1 file was loaded before and skipped");
    assert_eq!(replies[1].text(), "COPY 0");
}

/// What PostgreSQL 15 sends for `COPY (SELECT 1::bigint, 'one') TO STDOUT (FORMAT binary)`.
const BINARY: &[u8] =
    b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\x03one";

#[tokio::test]
async fn binary_rows_go_in_however_they_are_cut_and_come_out_alike() {
    let mut client = client().await;
    let (sql, out) = (format!("{IN} (FORMAT binary)"), format!("{OUT} (FORMAT binary)"));
    let empty = client.query(&out).await;
    assert_eq!(tags(&empty), "HdcCZ");
    assert_eq!(empty[1].body, [&BINARY[..19], b"\xff\xff"].concat());
    let bytes = [BINARY, b"\xff\xff"].concat();
    for piece_bytes in 1..=bytes.len() {
        let pieces: Vec<u8> = bytes.chunks(piece_bytes).flat_map(data).collect();
        client.send(&[query("TRUNCATE copied"), query(&sql), pieces, done()].concat()).await;
        client.until_ready().await;
        let replies = client.until_ready().await;
        assert_eq!(tags(&replies), "GCZ", "{replies:?}");
        assert_eq!(replies[0].body, [1, 0, 2, 0, 1, 0, 1]);
        let replies = client.query(&out).await;
        assert_eq!(tags(&replies), "HddcCZ");
        assert_eq!(replies[0].body, [1, 0, 2, 0, 1, 0, 1]);
        assert_eq!(replies[1].body, BINARY);
        assert_eq!(replies[2].body, b"\xff\xff");
    }
}

#[tokio::test]
async fn broken_binary_data_leaves_nothing() {
    let mut client = client().await;
    let sql = format!("{IN} (FORMAT binary)");
    let with = |at: usize, byte: u8| {
        let mut bytes = BINARY.to_vec();
        bytes[at] = byte;
        bytes
    };
    let broken = [
        (Vec::new(), "22P04"),
        (BINARY[..18].to_vec(), "22P04"),
        (BINARY[..BINARY.len() - 1].to_vec(), "22P04"),
        (with(0, b'X'), "22P04"),
        (with(11, 1), "22P04"),
        (with(20, 3), "22P04"),
        (with(21, 0x80), "22P04"),
        (with(21, 0x10), "54000"),
        (with(24, 4), "22P03"),
        ([BINARY, b"\xff\xff", b"x"].concat(), "22P04"),
        (with(BINARY.len() - 1, 0xff), "22021"),
    ];
    for (bytes, expected) in broken {
        client.send(&[query(&sql), data(&bytes), done()].concat()).await;
        let replies = client.until_ready().await;
        assert_eq!(sqlstate(&replies), expected, "{bytes:?}: {replies:?}");
    }
    assert_eq!(copied(&mut client).await, "");
}
