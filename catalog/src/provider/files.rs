//! Parquet files that no log names, as a table: the files of an external table.
//!
//! They are put behind a snapshot of their own, so that they are pruned and read as a table's files are.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::scan;
use crate::error::{Error, Result};
use crate::log::Add;
use crate::schema::TableSpec;
use crate::stores::Location;
use crate::table::TableSnapshot;

/// What folders are called in which a column is NULL.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// A reader of these files, which stand below `folder`. Columns are found by name; one that a file lacks
/// is NULL there. The values of the partition columns are in the names of the folders, as in
/// `day=2026-01-01/`; a file that does not say one is an error.
pub fn scan_parquet(
    folder: Location,
    spec: &TableSpec,
    files: impl IntoIterator<Item = ObjectMeta>,
) -> Result<Arc<dyn TableProvider>> {
    let adds = files.into_iter().map(|file| add(&folder.path, spec, &file));
    let adds = adds.collect::<Result<Vec<Add>>>()?;
    let snapshot = TableSnapshot::of_files(&folder.to_string(), spec, adds)?;
    Ok(scan(folder, Arc::new(snapshot), false))
}

fn add(folder: &Path, spec: &TableSpec, file: &ObjectMeta) -> Result<Add> {
    let outside = || Error::LocationRefused { location: file.location.to_string() };
    let relative: Path = file.location.prefix_match(folder).ok_or_else(outside)?.collect();
    Ok(Add {
        // As a log has it, percent-encoded.
        path: relative.as_ref().replace('%', "%25"),
        partition_values: partition_values(spec, &relative, file)?,
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: file.last_modified.timestamp_millis(),
        ..Add::default()
    })
}

fn partition_values(
    spec: &TableSpec,
    relative: &Path,
    file: &ObjectMeta,
) -> Result<BTreeMap<String, Option<String>>> {
    let value_of = |column: &String| {
        let value = relative.parts().find_map(|part| {
            let (name, value) = part.as_ref().split_once('=')?;
            (decoded(name) == *column).then(|| decoded(value))
        });
        let value = value.ok_or_else(|| Error::Corrupt {
            path: file.location.to_string(),
            reason: format!("no folder says the value of \"{column}\", as in {column}=value/"),
        })?;
        Ok((column.clone(), (value != NULL_FOLDER).then_some(value)))
    };
    spec.partition_columns.iter().map(value_of).collect()
}

fn decoded(part: &str) -> String {
    // What is not percent-encoded text stands for itself.
    Path::from_url_path(part).map_or_else(|_| part.to_owned(), |path| path.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use object_store::ObjectMeta;
    use object_store::path::Path;

    use super::{TableSpec, add};
    use crate::error::Error;

    fn spec() -> TableSpec {
        let fields = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("day", DataType::Date32, true),
            Field::new("city", DataType::Utf8, true),
        ];
        let mut spec = TableSpec::new(Arc::new(Schema::new(fields)));
        spec.partition_columns = vec!["day".to_owned(), "city".to_owned()];
        spec
    }

    fn file(path: &str) -> ObjectMeta {
        ObjectMeta {
            location: Path::parse(path).unwrap(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 7,
            e_tag: None,
            version: None,
        }
    }

    #[test]
    fn folders_tell_the_values_of_partition_columns() {
        let folder = Path::from("old");
        let file = file("old/day=2026-01-01/city=New%20York/x=1/a%2Fb.parquet");
        let added = add(&folder, &spec(), &file).unwrap();
        assert_eq!(added.path, "day=2026-01-01/city=New%2520York/x=1/a%252Fb.parquet");
        assert_eq!(added.partition_values["day"].as_deref(), Some("2026-01-01"));
        assert_eq!(added.partition_values["city"].as_deref(), Some("New York"));
        let file = self::file("old/city=__HIVE_DEFAULT_PARTITION__/day=2026-01-01/a.parquet");
        assert_eq!(add(&folder, &spec(), &file).unwrap().partition_values["city"], None);
    }

    #[test]
    fn a_file_without_a_value_and_a_file_elsewhere_are_refused() {
        let folder = Path::from("old");
        let missing = add(&folder, &spec(), &file("old/day=2026-01-01/a.parquet"));
        assert!(matches!(missing, Err(Error::Corrupt { .. })), "{missing:?}");
        let outside = add(&folder, &spec(), &file("older/day=2026-01-01/city=x/a.parquet"));
        assert!(matches!(outside, Err(Error::LocationRefused { .. })), "{outside:?}");
    }
}
