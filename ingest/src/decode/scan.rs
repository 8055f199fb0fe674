//! Finds the few bytes that structure a record, eight bytes at a time.
//!
//! Never: a byte inside another character: in UTF-8 no part of a longer character is ASCII.

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// The positions, in order, of the bytes that equal one of a few.
#[derive(Debug)]
pub(super) struct Scan<'a, const N: usize> {
    bytes: &'a [u8],
    patterns: [u64; N],
    /// Where the word under inspection starts.
    word_at: usize,
    /// The high bit of each byte of the word that is wanted and not yet given.
    found: u64,
}

impl<'a, const N: usize> Scan<'a, N> {
    pub(super) fn new(bytes: &'a [u8], wanted: [u8; N]) -> Self {
        let patterns = wanted.map(|byte| u64::from(byte) * ONES);
        let mut scan = Self { bytes, patterns, word_at: 0, found: 0 };
        scan.seek(0);
        scan
    }

    /// Goes on at this position, forwards or backwards.
    #[inline]
    pub(super) fn seek(&mut self, at: usize) {
        self.word_at = at;
        self.found = self.matches(at);
    }

    /// The next position, or the end of the bytes.
    #[inline]
    pub(super) fn next(&mut self) -> usize {
        while self.found == 0 {
            self.word_at += 8;
            if self.word_at >= self.bytes.len() {
                self.word_at = self.bytes.len();
                return self.bytes.len();
            }
            self.found = self.matches(self.word_at);
        }
        let at = self.word_at + (self.found.trailing_zeros() / 8) as usize;
        self.found &= self.found - 1;
        at
    }

    /// The matches among the eight bytes from here; beyond the end there are none.
    #[inline]
    fn matches(&self, at: usize) -> u64 {
        match self.bytes.get(at..at + 8) {
            Some(eight) => self.matches_in(word(eight)),
            None => self.matches_at_end(at),
        }
    }

    fn matches_at_end(&self, at: usize) -> u64 {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        let within = (1_u64 << (rest.len() * 8)) - 1;
        self.matches_in(word(&eight)) & within
    }

    #[inline]
    fn matches_in(&self, word: u64) -> u64 {
        // A byte is zero where it equals the pattern; its high bit is set exactly if it is zero.
        let zeros = |word: u64| !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS);
        self.patterns.iter().fold(0, |found, pattern| found | zeros(word ^ pattern))
    }
}

#[inline]
fn word(eight: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(eight);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_simple_loop_finds(
            bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'\n'), any::<u8>()], 0..70),
            from in 0_usize..70,
        ) {
            let from = from.min(bytes.len());
            let mut scan = Scan::new(&bytes, [b',', b'\n', 0]);
            scan.seek(from);
            for (at, byte) in bytes.iter().enumerate().skip(from) {
                if [b',', b'\n', 0].contains(byte) {
                    prop_assert_eq!(scan.next(), at);
                }
            }
            prop_assert_eq!(scan.next(), bytes.len());
            prop_assert_eq!(scan.next(), bytes.len());
        }
    }
}
