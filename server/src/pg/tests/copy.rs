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
