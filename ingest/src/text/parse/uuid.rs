//! UUIDs from text.
//!
//! Never: a check of version or variant; PostgreSQL makes none.

/// Where the canonical form has its hyphens: after so many digits.
const GROUP_ENDS: [usize; 4] = [8, 12, 16, 20];

/// The canonical form, `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`, of 32 hexadecimal digits that may
/// stand in braces and have a hyphen after any group of four.
pub(super) fn canonical(text: &str) -> Option<[u8; 36]> {
    let mut rest = match text.as_bytes() {
        [b'{', inner @ .., b'}'] => inner,
        whole => whole,
    };
    let mut canonical = [b'-'; 36];
    let mut to = 0;
    for digit in 0..32 {
        if digit > 0 && digit % 4 == 0 {
            if let [b'-', after @ ..] = rest {
                rest = after;
            }
            if GROUP_ENDS.contains(&digit) {
                to += 1;
            }
        }
        let (first, after) = rest.split_first()?;
        if !first.is_ascii_hexdigit() {
            return None;
        }
        canonical[to] = first.to_ascii_lowercase();
        to += 1;
        rest = after;
    }
    rest.is_empty().then_some(canonical)
}
