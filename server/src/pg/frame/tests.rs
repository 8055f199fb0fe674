//! Frames from byte streams that are cut, lie about lengths, or never end.
#![expect(clippy::unwrap_used, reason = "tests")]

use tokio::io::AsyncWriteExt;

use super::*;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn frames_are_the_same_however_the_stream_is_cut() {
    let mut bytes = message(b'Q', b"select 1\0");
    bytes.extend(message(b'S', b""));
    bytes.extend(message(b'd', &[7; 9_000]));
    for piece in [1, 2, 5, 7, 4_096] {
        let (mut client, server) = tokio::io::duplex(piece);
        let sent = bytes.clone();
        tokio::spawn(async move { client.write_all(&sent).await.unwrap() });
        let mut reader = FrameReader::new(server);
        let mut seen = Vec::new();
        while let Some(frame) = reader.frame().await.unwrap() {
            seen.extend(message(frame.tag, &frame.body));
        }
        assert_eq!(seen, bytes, "in pieces of {piece}");
    }
}

#[tokio::test]
async fn an_announced_length_beyond_the_cap_is_refused_before_it_is_buffered() {
    let (mut client, server) = tokio::io::duplex(64);
    client.write_all(&[b'Q', 0x3f, 0xff, 0xff, 0xff]).await.unwrap();
    let mut reader = FrameReader::new(server);
    let error = reader.frame().await.unwrap_err();
    assert!(matches!(error, FrameError::Violation { sqlstate: "54000", .. }), "{error:?}");
    assert!(reader.buffer.capacity() <= READ_BYTES_MIN);
}

#[tokio::test]
async fn a_large_announcement_within_the_cap_takes_no_memory_until_it_is_sent() {
    let (mut client, server) = tokio::io::duplex(64);
    client.write_all(&[b'Q', 0x00, 0xff, 0xff, 0xff]).await.unwrap();
    drop(client);
    let mut reader = FrameReader::new(server);
    reader.allow(256 << 20);
    let error = reader.frame().await.unwrap_err();
    assert!(matches!(error, FrameError::Io(_)), "{error:?}");
    assert!(reader.buffer.capacity() <= 2 * READ_BYTES_MIN);
}

#[tokio::test]
async fn impossible_lengths_are_refused() {
    for (bytes, startup) in [
        (vec![b'Q', 0, 0, 0, 3], false),
        (vec![b'Q', 0xff, 0xff, 0xff, 0xff], false),
        (vec![0, 0, 0, 7, 0, 0, 0], true),
        (vec![0, 0, 0x27, 0x11, 0, 0, 0, 0], true),
        (vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], true),
    ] {
        let mut reader = FrameReader::new(bytes.as_slice());
        let refused = if startup {
            reader.startup_packet().await.is_err()
        } else {
            reader.frame().await.is_err()
        };
        assert!(refused, "{bytes:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_stream_is_quiet_only_between_frames() {
    let mut reader = FrameReader::new(&b""[..]);
    assert!(reader.frame().await.unwrap().is_none());
    let mut reader = FrameReader::new(&[b'Q', 0, 0][..]);
    assert!(reader.frame().await.is_err());
}

#[tokio::test]
async fn reading_ahead_has_a_bound() {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(&vec![0; 1 << 20]).await.unwrap();
    let mut reader = FrameReader::new(server);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), reader.gone()).await;
    assert!(waiting.is_err(), "the client is still there");
    assert!(reader.buffer.len() < AHEAD_BYTES_MAX + READ_BYTES_MAX);
}
