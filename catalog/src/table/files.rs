//! The files of versions, and how those of two versions differ.
//!
//! Both are walked side by side. `imbl` has a `diff` that skips what they share; up to 6.1 it misses
//! changes after removals.

use std::cmp::Ordering;
use std::sync::Arc;

use imbl::OrdMap;

use super::DataFile;

/// Files by path.
pub(super) type Files = OrdMap<Arc<str>, Arc<DataFile>>;

/// A file that one of two versions has alone. One that was described anew has gone and come.
#[derive(Debug, PartialEq)]
pub(super) enum Difference<'a> {
    Came(&'a Arc<DataFile>),
    Went(&'a Arc<str>),
}

/// What came and went from one version to another, in the order of the paths.
pub(super) fn differences<'a>(
    before: &'a Files,
    after: &'a Files,
) -> impl Iterator<Item = Difference<'a>> {
    use Difference::{Came, Went};
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let step = move || {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) if Arc::ptr_eq(one, other) => Ordering::Equal,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        Some(match order {
            Ordering::Less => [old.next().map(|(path, _)| Went(path)), None],
            Ordering::Greater => [None, new.next().map(|(_, file)| Came(file))],
            Ordering::Equal => match (old.next(), new.next()) {
                (Some((path, one)), Some((_, other)))
                    if !Arc::ptr_eq(one, other) && one != other =>
                {
                    [Some(Went(path)), Some(Came(other))]
                }
                _ => [None, None],
            },
        })
    };
    std::iter::from_fn(step).flatten().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::log::Add;

    fn file(path: u16, size: u8) -> (Arc<str>, Arc<DataFile>) {
        let path: Arc<str> = format!("{path:05}").into();
        let add = Add { path: path.to_string(), size: i64::from(size), ..Add::default() };
        (path, Arc::new(DataFile::new(add)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Many files, of which few go and come: where the tree's own comparison went wrong.
        #[test]
        fn what_came_and_went_makes_one_version_of_the_other(
            first in prop::collection::vec((0_u16..2_000, 0_u8..3), 0..600),
            gone in prop::collection::vec(0_u16..2_000, 0..80),
            come in prop::collection::vec((0_u16..2_000, 0_u8..3), 0..8),
        ) {
            let before: Files = first.iter().map(|(path, size)| file(*path, *size)).collect();
            let mut after = before.clone();
            for path in gone {
                after.remove(format!("{path:05}").as_str());
            }
            after.extend(come.iter().map(|(path, size)| file(*path, *size)));

            let mut made: BTreeMap<&str, &DataFile> =
                before.iter().map(|(path, file)| (path.as_ref(), file.as_ref())).collect();
            for difference in differences(&before, &after) {
                match difference {
                    Difference::Went(path) => prop_assert!(made.remove(path.as_ref()).is_some()),
                    Difference::Came(file) => prop_assert!(made.insert(file.path(), file).is_none()),
                }
            }
            let expected: BTreeMap<&str, &DataFile> =
                after.iter().map(|(path, file)| (path.as_ref(), file.as_ref())).collect();
            prop_assert_eq!(made, expected);
        }
    }

    #[test]
    fn a_file_that_was_described_again_alike_did_not_change() {
        let one: Files = [file(1, 1), file(2, 2)].into_iter().collect();
        let other: Files = [file(1, 1), file(2, 2)].into_iter().collect();
        assert_eq!(differences(&one, &other).count(), 0);
    }
}
