//! Who a call says it comes from: the `authorization` header.
//!
//! Never: a password that is looked at; there are no roles yet.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::status;

/// The user of a client that does not say who it is.
const DEFAULT_USER: &str = "tarn";

/// Some clients pad and some do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a call shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authorization {
    /// A user name, or none, in which case it is the default one.
    User(String),
    /// A token that a handshake handed out.
    Token(String),
}

impl Authorization {
    /// Reads a call's metadata.
    pub(super) fn of(metadata: &MetadataMap) -> Result<Self, Status> {
        let Some(value) = metadata.get("authorization") else {
            return Ok(Self::User(DEFAULT_USER.to_owned()));
        };
        let value = value.to_str().map_err(|_| refused())?;
        let (scheme, rest) = value.split_once(' ').ok_or_else(refused)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Self::Token(rest.trim().to_owned()))
        } else if scheme.eq_ignore_ascii_case("basic") {
            user(rest.trim()).map(Self::User).ok_or_else(refused)
        } else {
            Err(refused())
        }
    }
}

/// The user in `base64(user:password)`.
fn user(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, _password) = decoded.split_once(':')?;
    Some(if user.is_empty() { DEFAULT_USER.to_owned() } else { user.to_owned() })
}

fn refused() -> Status {
    status::refused("28000", "cannot read the authorization header: expected Basic or Bearer")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(header: &'static str) -> Result<Authorization, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", header.parse().unwrap());
        Authorization::of(&metadata)
    }

    #[test]
    fn basic_and_bearer_are_read() {
        assert_eq!(of("Basic YW5uOnM6M2NyZXQ=").unwrap(), Authorization::User("ann".to_owned()));
        assert_eq!(of("Basic YW5uOg").unwrap(), Authorization::User("ann".to_owned()));
        assert_eq!(of("basic OnB3").unwrap(), Authorization::User("tarn".to_owned()));
        assert_eq!(of("Bearer abc").unwrap(), Authorization::Token("abc".to_owned()));
        let silent = Authorization::of(&MetadataMap::new()).unwrap();
        assert_eq!(silent, Authorization::User("tarn".to_owned()));
    }

    #[test]
    fn anything_else_is_refused() {
        for header in ["Basic", "Basic !!", "Basic YW5u", "Digest x"] {
            assert_eq!(of(header).unwrap_err().code(), tonic::Code::Unauthenticated, "{header}");
        }
    }
}
