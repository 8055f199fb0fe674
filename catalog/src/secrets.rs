//! Secrets as the catalog keeps them: sealed under a key that is the operator's.
//!
//! AES-256-GCM, a fresh nonce for each, bound to the id of its entry: sealed bytes that are moved to
//! another entry do not open. Why: docs/decisions/007-secrets-and-locations.md.
//!
//! Never: a secret, or the key, in a message, a debug form or a log.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

const KEY_BYTES: usize = 32;
/// Bytes of a key's digest by which it is told from another.
const NAME_BYTES: usize = 6;

/// The operator's key.
#[derive(Clone)]
pub struct SecretKey {
    key: LessSafeKey,
    /// Which key it is; tells nothing of the key.
    name: String,
}

impl SecretKey {
    /// The key of 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::SecretKey {
            reason: "the secret key is not 64 hexadecimal digits".to_owned(),
        };
        let bytes = from_hex(text.trim()).filter(|bytes| bytes.len() == KEY_BYTES);
        let bytes = bytes.ok_or_else(refused)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| refused())?;
        let name = to_hex(&digest(&SHA256, &bytes).as_ref()[..NAME_BYTES]);
        Ok(Self { key: LessSafeKey::new(key), name })
    }

    /// Seals the text of an entry.
    pub fn seal(&self, entry: Uuid, text: &str) -> Result<Sealed> {
        let failed = || Error::SecretKey { reason: "could not seal the secret".to_owned() };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| failed())?;
        let mut bytes = text.as_bytes().to_vec();
        let bound = Aad::from(entry.into_bytes());
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, bound, &mut bytes).map_err(|_| failed())?;
        Ok(Sealed { key: self.name.clone(), nonce: to_hex(&nonce), bytes: to_hex(&bytes) })
    }

    /// The text of an entry.
    pub(crate) fn open(&self, entry: Uuid, name: &str, sealed: &Sealed) -> Result<String> {
        let failed = |what: &str| Error::SecretKey {
            reason: format!("cannot read secret \"{name}\": {what}"),
        };
        if sealed.key != self.name {
            return Err(failed("it was sealed under another key"));
        }
        let damaged = || failed("it is damaged");
        let nonce = from_hex(&sealed.nonce).and_then(|bytes| bytes.try_into().ok());
        let nonce = Nonce::assume_unique_for_key(nonce.ok_or_else(damaged)?);
        let mut bytes = from_hex(&sealed.bytes).ok_or_else(damaged)?;
        let bound = Aad::from(entry.into_bytes());
        let text = self.key.open_in_place(nonce, bound, &mut bytes).map_err(|_| damaged())?;
        String::from_utf8(text.to_vec()).map_err(|_| damaged())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A secret that only the key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key.
    key: String,
    nonce: String,
    bytes: String,
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn key(digit: char) -> SecretKey {
        SecretKey::parse(&digit.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn a_secret_opens_with_its_key_and_for_its_entry_alone() {
        let (entry, other) = (Uuid::new_v4(), Uuid::new_v4());
        let sealed = key('a').seal(entry, "canary").unwrap();
        assert_eq!(key('a').open(entry, "s", &sealed).unwrap(), "canary");
        for (error, what) in [
            (key('a').open(other, "s", &sealed), "it is damaged"),
            (key('b').open(entry, "s", &sealed), "it was sealed under another key"),
        ] {
            assert_eq!(error.unwrap_err().to_string(), format!("cannot read secret \"s\": {what}"));
        }
    }

    #[test]
    fn two_seals_of_one_text_differ_and_show_nothing() {
        let entry = Uuid::new_v4();
        let (one, other) = (key('a').seal(entry, "canary"), key('a').seal(entry, "canary"));
        assert_ne!(one.as_ref().unwrap(), other.as_ref().unwrap());
        let shown = format!("{:?} {:?}", one.unwrap(), key('a'));
        assert!(!shown.contains("canary") && !shown.contains("aaaa"), "{shown}");
    }

    #[test]
    fn a_key_has_64_hexadecimal_digits() {
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            let error = SecretKey::parse(text).unwrap_err().to_string();
            assert_eq!(error, "the secret key is not 64 hexadecimal digits");
        }
    }
}
