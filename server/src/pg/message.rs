//! What a client says after start-up: one enum, decoded from a frame's body with every length checked.
//!
//! The frame has been cut before, so nothing here can read into the next message. Own code rather
//! than pgwire's decoders, which trust the counts inside a message and replace bad UTF-8 silently.
//!
//! Never: I/O, or a panic on any bytes.

use bytes::{Buf, Bytes};

use super::frame::Frame;

/// How one value stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Format {
    /// The code by which messages name the format.
    pub(crate) const fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// Whether a message speaks of a prepared statement or of a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Statement,
    Portal,
}

/// A message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Query(String),
    Parse(Parse),
    Bind(Bind),
    Describe(Target, String),
    Execute {
        portal: String,
        rows_max: Option<usize>,
    },
    Close(Target, String),
    Flush,
    Sync,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    Terminate,
    /// The long obsolete function call: understood so that it can be refused by name.
    FunctionCall,
}

/// Prepare a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parse {
    pub(crate) name: String,
    pub(crate) text: String,
    /// OIDs of the first parameters' types; 0 leaves the type to the server.
    pub(crate) parameter_types: Vec<u32>,
}

/// Give a prepared statement its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) parameter_formats: Vec<Format>,
    pub(crate) parameters: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<Format>,
}

/// Why a frame is not a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The type byte is unknown: the stream has lost its rhythm and cannot be read further.
    UnknownTag(u8),
    /// The body is wrong, but its frame is whole, so the next message can be read.
    Body { sqlstate: &'static str, message: String },
}

impl Message {
    /// Reads the message in a frame.
    pub(crate) fn decode(frame: Frame) -> Result<Self, Malformed> {
        let mut body = Body(frame.body);
        let message = match frame.tag {
            b'Q' => Self::Query(body.text()?),
            b'P' => Self::Parse(body.parse()?),
            b'B' => Self::Bind(body.bind()?),
            b'D' => Self::Describe(body.target()?, body.text()?),
            b'E' => Self::Execute { portal: body.text()?, rows_max: body.rows_max()? },
            b'C' => Self::Close(body.target()?, body.text()?),
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'd' => return Ok(Self::CopyData(body.0)),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(body.text()?),
            b'X' => Self::Terminate,
            b'F' => return Ok(Self::FunctionCall),
            other => return Err(Malformed::UnknownTag(other)),
        };
        if body.0.is_empty() { Ok(message) } else { Err(invalid_format()) }
    }
}

/// The rest of a message's body.
struct Body(Bytes);

impl Body {
    fn parse(&mut self) -> Result<Parse, Malformed> {
        let (name, text) = (self.text()?, self.text()?);
        let count = self.count(4)?;
        let parameter_types = (0..count).map(|_| self.0.get_u32()).collect();
        Ok(Parse { name, text, parameter_types })
    }

    fn bind(&mut self) -> Result<Bind, Malformed> {
        let (portal, statement) = (self.text()?, self.text()?);
        let parameter_formats = self.formats()?;
        let count = self.count(4)?;
        let parameters = (0..count).map(|_| self.value()).collect::<Result<_, _>>()?;
        let result_formats = self.formats()?;
        Ok(Bind { portal, statement, parameter_formats, parameters, result_formats })
    }

    /// A string that ends with a zero byte.
    fn text(&mut self) -> Result<String, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(invalid_format)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.to_vec()).map_err(|error| invalid_encoding(&error))
    }

    /// A count of things that take at least `bytes` each in the rest of the body.
    fn count(&mut self, bytes: usize) -> Result<usize, Malformed> {
        let count = usize::from(self.0.try_get_u16().map_err(|_| invalid_format())?);
        if count * bytes > self.0.len() { Err(invalid_format()) } else { Ok(count) }
    }

    fn formats(&mut self) -> Result<Vec<Format>, Malformed> {
        let count = self.count(2)?;
        (0..count)
            .map(|_| match self.0.get_i16() {
                0 => Ok(Format::Text),
                1 => Ok(Format::Binary),
                other => Err(Malformed::Body {
                    sqlstate: "22023",
                    message: format!("unsupported format code: {other}"),
                }),
            })
            .collect()
    }

    fn value(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.0.try_get_i32().map_err(|_| invalid_format())? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) if length <= self.0.len() => Ok(Some(self.0.split_to(length))),
                _ => Err(invalid_format()),
            },
        }
    }

    fn target(&mut self) -> Result<Target, Malformed> {
        match self.0.try_get_u8() {
            Ok(b'S') => Ok(Target::Statement),
            Ok(b'P') => Ok(Target::Portal),
            _ => Err(invalid_format()),
        }
    }

    /// The most rows to send; zero and less mean all of them.
    fn rows_max(&mut self) -> Result<Option<usize>, Malformed> {
        let rows = self.0.try_get_i32().map_err(|_| invalid_format())?;
        Ok(usize::try_from(rows).ok().filter(|rows| *rows > 0))
    }
}

fn invalid_format() -> Malformed {
    Malformed::Body { sqlstate: "08P01", message: "invalid message format".to_owned() }
}

fn invalid_encoding(error: &std::string::FromUtf8Error) -> Malformed {
    let at = error.utf8_error().valid_up_to();
    let byte = error.as_bytes().get(at).copied().unwrap_or_default();
    Malformed::Body {
        sqlstate: "22021",
        message: format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn decode(tag: u8, body: &[u8]) -> Result<Message, Malformed> {
        Message::decode(Frame { tag, body: Bytes::copy_from_slice(body) })
    }

    #[test]
    fn a_bind_message_keeps_nulls_and_empty_values_apart() {
        let mut body = b"portal\0statement\0".to_vec();
        body.extend([0, 1, 0, 1]); // one format for all: binary
        body.extend([0, 3]);
        body.extend([0, 0, 0, 2, 0xab, 0xcd]);
        body.extend([0xff; 4]);
        body.extend([0; 4]);
        body.extend([0, 2, 0, 0, 0, 1]);
        let Message::Bind(bind) = decode(b'B', &body).unwrap() else { unreachable!() };
        assert_eq!(bind.portal, "portal");
        assert_eq!(bind.statement, "statement");
        assert_eq!(bind.parameter_formats, [Format::Binary]);
        let expected = [Some(Bytes::from_static(&[0xab, 0xcd])), None, Some(Bytes::new())];
        assert_eq!(bind.parameters, expected);
        assert_eq!(bind.result_formats, [Format::Text, Format::Binary]);
    }

    #[test]
    fn bad_utf8_is_named_and_not_replaced() {
        let error = decode(b'Q', b"select '\xff'\0").unwrap_err();
        let expected = "invalid byte sequence for encoding \"UTF8\": 0xff".to_owned();
        assert_eq!(error, Malformed::Body { sqlstate: "22021", message: expected });
    }

    #[test]
    fn bytes_after_the_message_are_an_error() {
        assert_eq!(decode(b'S', b"x"), Err(invalid_format()));
        assert_eq!(decode(b'Q', b"select 1\0x"), Err(invalid_format()));
        assert_eq!(decode(b'z', b""), Err(Malformed::UnknownTag(b'z')));
    }

    #[test]
    fn a_row_limit_of_zero_or_less_is_none() {
        for (bytes, expected) in [([0, 0, 0, 0], None), ([0, 0, 0, 5], Some(5)), ([0xff; 4], None)]
        {
            let body = [&b"\0"[..], &bytes].concat();
            let message = Message::Execute { portal: String::new(), rows_max: expected };
            assert_eq!(decode(b'E', &body), Ok(message));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(tag in any::<u8>(), body in any::<Vec<u8>>()) {
            let _ = decode(tag, &body);
        }

        #[test]
        fn no_cut_of_a_good_message_is_taken_for_one(cut in 0_usize..40) {
            let mut body = b"p\0s\0".to_vec();
            body.extend([0, 1, 0, 1, 0, 1, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 1]);
            prop_assume!(cut < body.len());
            prop_assert!(decode(b'B', &body[..cut]).is_err());
            prop_assert!(decode(b'B', &body).is_ok());
        }
    }
}
