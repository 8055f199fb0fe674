//! The simple query protocol.

use super::*;

#[tokio::test]
async fn a_client_is_told_what_drivers_ask_for() {
    let (_, told) = Client::login(&server().await).await;
    assert_eq!(told[0], Reply { tag: b'R', body: vec![0; 4] });
    let settings: Vec<String> =
        told.iter().filter(|reply| reply.tag == b'S').map(Reply::text).collect();
    for name in [
        "server_version",
        "server_encoding",
        "client_encoding",
        "DateStyle",
        "TimeZone",
        "integer_datetimes",
        "standard_conforming_strings",
        "IntervalStyle",
        "application_name",
        "is_superuser",
        "session_authorization",
        "in_hot_standby",
        "default_transaction_read_only",
    ] {
        assert!(settings.iter().any(|known| known == name), "{name} is not in {settings:?}");
    }
    let version = told.iter().find(|reply| reply.text() == "server_version").unwrap();
    assert!(String::from_utf8_lossy(&version.body).contains("\x0015."), "{version:?}");
    assert_eq!(told.iter().filter(|reply| reply.tag == b'K').count(), 1);
    assert_eq!(status(&told), 'I');
}

#[tokio::test]
async fn rows_come_with_their_types_and_a_tag() {
    let mut client = Client::connect(&server().await).await;
    let replies = client.query("SELECT 1::int AS a, NULL::text AS b, 'x' AS c").await;
    assert_eq!(tags(&replies), "TDCZ");
    let expected = [Some(b"1".to_vec()), None, Some(b"x".to_vec())];
    assert_eq!(replies[1].row(), expected);
    assert_eq!(replies[2].text(), "SELECT 1");
    // Name, table, column, type 23 (int4), 4 bytes, no modifier, text.
    let int4 = [&b"a\0"[..], &[0; 6], &23_u32.to_be_bytes(), &[0, 4], &[0xff; 4], &[0, 0]].concat();
    assert_eq!(replies[0].body[2..2 + int4.len()], int4);
}

#[tokio::test]
async fn several_statements_stop_at_the_first_error() {
    let mut client = Client::connect(&server().await).await;
    let replies = client.query("SELECT 1; SELECT nothing_like_it; SELECT 3").await;
    assert_eq!(tags(&replies), "TDCEZ", "{replies:?}");
    assert_eq!(sqlstate(&replies), "42703");
    client.assert_usable().await;
}

#[tokio::test]
async fn a_syntax_error_anywhere_runs_nothing() {
    let mut client = Client::connect(&server().await).await;
    let replies = client.query("SELECT 1; selec 1").await;
    assert_eq!(tags(&replies), "EZ", "{replies:?}");
    assert_eq!(sqlstate(&replies), "42601");
    client.assert_usable().await;
}

#[tokio::test]
async fn an_empty_text_has_an_answer_of_its_own() {
    let mut client = Client::connect(&server().await).await;
    for text in ["", "  ;; ", ";"] {
        assert_eq!(tags(&client.query(text).await), "IZ", "{text:?}");
    }
}

#[tokio::test]
async fn the_transaction_state_is_told() {
    let mut client = Client::connect(&server().await).await;
    assert_eq!(status(&client.query("BEGIN").await), 'T');
    assert_eq!(status(&client.query("SELECT nothing_like_it").await), 'E');
    let refused = client.query("SELECT 1").await;
    assert_eq!((sqlstate(&refused).as_str(), status(&refused)), ("25P02", 'E'));
    assert_eq!(status(&client.query("ROLLBACK").await), 'I');
    client.assert_usable().await;
}

#[tokio::test]
async fn notices_and_changed_settings_are_told_before_the_tag() {
    let mut client = Client::connect(&server().await).await;
    let replies = client.query("COMMIT").await;
    assert_eq!(tags(&replies), "NCZ", "{replies:?}");
    assert_eq!(replies[0].field(b'S').as_deref(), Some("WARNING"));
    assert_eq!(replies[0].field(b'C').as_deref(), Some("25P01"));
    let replies = client.query("SET TimeZone TO 'Europe/Berlin'").await;
    assert_eq!(tags(&replies), "SCZ", "{replies:?}");
    assert_eq!(replies[0].body, b"TimeZone\0Europe/Berlin\0");
}

#[tokio::test]
async fn a_client_chooses_which_notices_it_hears() {
    let mut client = Client::connect(&server().await).await;
    client.query("SET client_min_messages TO error").await;
    assert_eq!(tags(&client.query("COMMIT").await), "CZ");
    client.query("SET client_min_messages TO warning").await;
    assert_eq!(tags(&client.query("COMMIT").await), "NCZ");
}

#[tokio::test]
async fn instants_are_shown_in_the_time_zone_of_the_session() {
    let mut client = Client::connect(&server().await).await;
    client.query("SET TimeZone TO 'Asia/Kolkata'").await;
    let replies = client.query("SELECT to_timestamp_micros(0) AT TIME ZONE 'UTC'").await;
    assert_eq!(replies[1].row(), [Some(b"1970-01-01 05:30:00+05:30".to_vec())]);
}

#[tokio::test]
async fn a_result_larger_than_any_buffer_arrives_whole() {
    let mut client = Client::connect(&server().await).await;
    client.send(&query("SELECT value FROM generate_series(1, 100000) ORDER BY value")).await;
    client.expect(b'T').await;
    for expected in 1..=100_000 {
        let row = client.expect(b'D').await.row();
        assert_eq!(row, [Some(expected.to_string().into_bytes())]);
    }
    assert_eq!(client.expect(b'C').await.text(), "SELECT 100000");
    client.expect(b'Z').await;
}

#[tokio::test]
async fn nonsense_in_a_whole_frame_is_an_error_like_any_other() {
    let mut client = Client::connect(&server().await).await;
    client.send(&message(b'Q', b"SELECT '\xff'\0")).await;
    assert_eq!(sqlstate(&client.until_ready().await), "22021");
    client.send(&message(b'Q', b"SELECT 1")).await;
    assert_eq!(sqlstate(&client.until_ready().await), "08P01");
    client.send(&message(b'F', b"\0\0")).await;
    assert_eq!(sqlstate(&client.until_ready().await), "0A000");
    client.assert_usable().await;
}

#[tokio::test]
async fn tags_are_those_of_postgres() {
    let mut client = Client::connect(&server().await).await;
    for (text, tag) in [
        ("/* a comment */ SELECT 1", "SELECT 1"),
        ("(VALUES (1), (2))", "SELECT 2"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "SELECT 1"),
        ("-- a comment\nSHOW TimeZone", "SHOW"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
    ] {
        let replies = client.query(text).await;
        let told = replies.iter().find(|reply| reply.tag == b'C').map(Reply::text);
        assert_eq!(told.as_deref(), Some(tag), "{text}");
    }
    client.query("BEGIN; DECLARE c CURSOR FOR VALUES (1), (2), (3)").await;
    let replies = client.query("/* next */ FETCH 2 FROM c").await;
    assert_eq!(replies.iter().find(|reply| reply.tag == b'C').unwrap().text(), "FETCH 2");
}
