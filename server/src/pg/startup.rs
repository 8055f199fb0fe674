//! From the first byte of a connection to a client whose name and wishes are known.
//!
//! The packets of this phase have no type byte. pgwire reads them, each cut out whole before, and
//! never more than one packet ahead.
//! Never: clear-text bytes that are carried over an encryption request, where whoever sits on the
//! way could have put them.

use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{
    Authentication, BackendKeyData, GssEncRequest, NegotiateProtocolVersion, SecretKey, SslRequest,
    Startup,
};
use pgwire::messages::{DecodeContext, Message as _, ProtocolVersion};
use sql::SessionStart;
use tokio::io::{AsyncRead, AsyncWrite};

use super::cancel::CancelKey;
use super::frame::FrameReader;
use super::reply::Replies;
use super::wire::Trouble;

/// The newest minor protocol version of major version 3 that the server speaks.
const MINOR_MAX: u16 = 2;
/// From this minor version on, cancel keys may be long.
const LONG_KEY_MINOR: u16 = 2;

/// What a new connection turned out to be.
#[derive(Debug)]
pub(crate) enum Opening {
    /// A client that wants a session.
    Client(Client),
    /// A request to stop a statement of another connection.
    Cancel { process: i32, key: Vec<u8> },
    /// Someone who left without a word, as health checks do.
    Nobody,
}

/// A client that wants a session.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) start: SessionStart,
    /// Whether the client's protocol has room for four bytes of cancel key only.
    pub(crate) short_key: bool,
}

/// Reads what the connection is about; answers requests for encryption with a no.
pub(crate) async fn negotiate<R, W>(
    reader: &mut FrameReader<R>,
    replies: &mut Replies<W>,
) -> Result<Opening, Trouble>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        let Some(mut packet) = reader.startup_packet().await? else { return Ok(Opening::Nobody) };
        let asked = if SslRequest::is_ssl_request_packet(&packet) {
            &mut asked_tls
        } else if GssEncRequest::is_gss_enc_request_packet(&packet) {
            &mut asked_gss
        } else if CancelRequest::is_cancel_request_packet(&packet) {
            return cancel_request(&mut packet);
        } else {
            return startup(&mut packet, replies).map(Opening::Client);
        };
        if std::mem::replace(asked, true) {
            return Err(Trouble::fatal("08P01", "encryption was requested twice"));
        }
        if reader.has_leftover() {
            let message = "received unencrypted data after an encryption request";
            return Err(Trouble::fatal("08P01", message));
        }
        replies.buffer().push(b'N');
        replies.flush().await?;
    }
}

fn cancel_request(packet: &mut BytesMut) -> Result<Opening, Trouble> {
    // Keys of any length are read as those of protocol 3.2: bytes.
    let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    match CancelRequest::decode(packet, &context) {
        Ok(Some(request)) => {
            let key = request.secret_key.to_bytes().to_vec();
            Ok(Opening::Cancel { process: request.pid, key })
        }
        _ => Err(Trouble::fatal("08P01", "invalid cancel request")),
    }
}

fn startup<W>(packet: &mut BytesMut, replies: &mut Replies<W>) -> Result<Client, Trouble> {
    let mut version = packet.get(4..).unwrap_or_default();
    let (major, minor) = match (version.try_get_u16(), version.try_get_u16()) {
        (Ok(major), Ok(minor)) => (major, minor),
        _ => return Err(invalid_startup()),
    };
    if major != 3 {
        let message = format!(
            "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_MAX}"
        );
        return Err(Trouble::fatal("0A000", message));
    }
    if packet.last() != Some(&0) {
        return Err(invalid_startup());
    }
    let startup = match Startup::decode(packet, &DecodeContext::default()) {
        Ok(Some(startup)) => startup,
        _ => return Err(invalid_startup()),
    };
    negotiate_version(&startup, replies)?;
    let short_key = minor < LONG_KEY_MINOR;
    Ok(Client { start: session_start(startup.parameters)?, short_key })
}

fn invalid_startup() -> Trouble {
    Trouble::fatal("08P01", "invalid startup packet layout: expected terminator as last byte")
}

/// Tells a client that asks for more than there is, what there is.
fn negotiate_version<W>(startup: &Startup, replies: &mut Replies<W>) -> Result<(), Trouble> {
    let extensions = startup.parameters.keys().filter(|name| name.starts_with("_pq_."));
    let unsupported: Vec<String> = extensions.cloned().collect();
    if startup.protocol_number_minor <= MINOR_MAX && unsupported.is_empty() {
        return Ok(());
    }
    // The whole version number, not the minor one alone: so PostgreSQL sends it and libpq reads it.
    let newest = ProtocolVersion::PROTOCOL3_2.into();
    put(&NegotiateProtocolVersion::new(newest, unsupported), replies)
}

/// Appends one of pgwire's messages.
fn put<W>(
    message: &impl pgwire::messages::Message,
    replies: &mut Replies<W>,
) -> Result<(), Trouble> {
    let mut bytes = BytesMut::new();
    let put = message.encode(&mut bytes);
    put.map_err(|_| Trouble::fatal("08P01", "startup packet is too long to be answered"))?;
    replies.buffer().extend_from_slice(&bytes);
    Ok(())
}

/// Who the client is and which settings it brings.
fn session_start(mut parameters: BTreeMap<String, String>) -> Result<SessionStart, Trouble> {
    let user = parameters.remove("user").filter(|user| !user.is_empty()).ok_or_else(|| {
        Trouble::fatal("28000", "no PostgreSQL user name specified in startup packet")
    })?;
    let database = parameters.remove("database").filter(|name| !name.is_empty());
    let replication = parameters.remove("replication");
    if replication.is_some_and(|value| !matches!(value.as_str(), "false" | "off" | "no" | "0")) {
        return Err(Trouble::fatal("0A000", "replication connections are not supported"));
    }
    let application_name = parameters.remove("application_name").unwrap_or_default();
    let mut options = parameters
        .remove("options")
        .map(|text| command_line_options(&text))
        .transpose()?
        .unwrap_or_default();
    parameters.retain(|name, _| !name.starts_with("_pq_."));
    if let Some(encoding) = parameters.get_mut("client_encoding") {
        // PostgreSQL reads only the letters and digits of an encoding's name; asyncpg quotes it.
        *encoding = encoding.trim_matches('\'').to_owned();
    }
    options.extend(parameters);
    Ok(SessionStart {
        database: database.unwrap_or_else(|| user.clone()),
        user,
        application_name,
        options,
    })
}

/// Settings in the form of a command line: `-c name=value`, `-cname=value` or `--name=value`.
fn command_line_options(text: &str) -> Result<Vec<(String, String)>, Trouble> {
    let words = split_words(text);
    let mut words = words.iter();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.as_str(), word.strip_prefix("--"), word.strip_prefix("-c")) {
            ("-c", ..) => words.next().map(String::as_str),
            (_, Some(setting), _) | (_, _, Some(setting)) => Some(setting),
            _ => None,
        };
        let (name, value) =
            setting.and_then(|setting| setting.split_once('=')).ok_or_else(|| {
                Trouble::fatal("42601", format!("invalid command-line argument: \"{word}\""))
            })?;
        options.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(options)
}

/// Splits at white space that no backslash precedes.
fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (space, _) if space.is_whitespace() => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What a client is told once it is let in: its session's settings and its cancel key.
pub(crate) fn welcome<W>(
    settings: &[(String, String)],
    key: &CancelKey,
    replies: &mut Replies<W>,
) -> Result<(), Trouble> {
    put(&Authentication::Ok, replies)?;
    for (name, value) in settings {
        replies.parameter_status(name, value);
    }
    let secret = SecretKey::Bytes(key.key.clone().into());
    put(&BackendKeyData::new(key.process, secret), replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, body: &[u8]) -> Vec<u8> {
        let length = 8 + body.len() as u32;
        [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
    }

    const TLS: u32 = 80_877_103;
    const VERSION_3_0: u32 = 3 << 16;

    async fn open(bytes: &[u8]) -> (Result<Opening, Trouble>, Vec<u8>) {
        let mut replies = Replies::new(Vec::new());
        let opening = negotiate(&mut FrameReader::new(bytes), &mut replies).await;
        let said = replies.buffer().clone();
        (opening, said)
    }

    fn fatal(opening: Result<Opening, Trouble>) -> &'static str {
        let Err(Trouble::Fatal(report)) = opening else { unreachable!("{opening:?}") };
        report.sqlstate
    }

    #[tokio::test]
    async fn a_client_brings_its_name_and_settings() {
        let body = b"user\0ann\0database\0lake\0application_name\0psql\0DateStyle\0ISO\0\
            options\0-c search_path=a\\ b --statement-timeout=5s\0\0";
        let (opening, _) = open(&packet(VERSION_3_0, body)).await;
        let Ok(Opening::Client(client)) = opening else { unreachable!() };
        assert!(client.short_key);
        assert_eq!(client.start.user, "ann");
        assert_eq!(client.start.database, "lake");
        assert_eq!(client.start.application_name, "psql");
        let options = [("search_path", "a b"), ("statement_timeout", "5s"), ("DateStyle", "ISO")];
        let expected = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(client.start.options, expected);
    }

    #[tokio::test]
    async fn bytes_behind_an_encryption_request_are_refused() {
        let bytes = [packet(TLS, b""), packet(VERSION_3_0, b"user\0mallory\0\0")].concat();
        assert_eq!(fatal(open(&bytes).await.0), "08P01");
    }

    #[tokio::test]
    async fn bad_packets_are_refused() {
        let (two, user) = (2 << 16, b"user\0ann\0\0");
        assert_eq!(fatal(open(&packet(two, user)).await.0), "0A000");
        assert_eq!(fatal(open(&packet(VERSION_3_0, b"user\0ann")).await.0), "08P01");
        assert_eq!(fatal(open(&packet(VERSION_3_0, b"\0")).await.0), "28000");
        let replication = b"user\0ann\0replication\0database\0\0";
        assert_eq!(fatal(open(&packet(VERSION_3_0, replication)).await.0), "0A000");
        let options = b"user\0ann\0options\0-x\0\0";
        assert_eq!(fatal(open(&packet(VERSION_3_0, options)).await.0), "42601");
        assert!(matches!(open(b"").await.0, Ok(Opening::Nobody)));
        assert!(matches!(open(&[0, 0]).await.0, Err(Trouble::Lost(_))));
        assert_eq!(fatal(open(b"GET / HTTP/1.1\r\n").await.0), "08P01");
    }

    #[tokio::test]
    async fn a_client_that_wants_more_is_told_what_there_is() {
        let body = b"user\0ann\0_pq_.compression\0on\0\0";
        let (opening, said) = open(&packet((3 << 16) + 9_999, body)).await;
        let Ok(Opening::Client(client)) = opening else { unreachable!() };
        assert!(!client.short_key);
        assert!(client.start.options.is_empty());
        let newest = ((3_u32 << 16) + 2).to_be_bytes();
        let expected = [&[b'v', 0, 0, 0, 29][..], &newest, &[0, 0, 0, 1], b"_pq_.compression\0"];
        assert_eq!(said, expected.concat());
    }

    #[tokio::test]
    async fn cancel_keys_of_both_lengths_are_read() {
        for key in [&[1, 2, 3, 4][..], &[9; 32]] {
            let body = [&7_i32.to_be_bytes()[..], key].concat();
            let (opening, _) = open(&packet(80_877_102, &body)).await;
            let Ok(Opening::Cancel { process: 7, key: read }) = opening else { unreachable!() };
            assert_eq!(read, key);
        }
    }
}
