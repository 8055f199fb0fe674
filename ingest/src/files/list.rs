//! The files that a pattern means.
//!
//! Never: an empty answer; a load that would load nothing is told so.

use std::sync::Arc;

use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::File;
use crate::error::{Error, Result};

/// A pattern that means more files is refused.
const FILES_MAX: usize = 1_000_000;

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    // `*` stays within a folder, `**` does not.
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files, in the order of their names, that a path of the store means: a file, a folder (the
/// files in it whose names start with neither `_` nor `.`), or a pattern with `*`, `**`, `?` and
/// `[a-z]`. `base` is the store's URL, to which a path is appended for a file's URL.
pub async fn list(store: &Arc<dyn ObjectStore>, path: &Path, base: &str) -> Result<Vec<File>> {
    let url = |location: &Path| format!("{}/{location}", base.strip_suffix('/').unwrap_or(base));
    let found = match path.as_ref().find(['*', '?', '[']) {
        None => named(store, path).await,
        Some(first) => {
            let pattern = Pattern::new(path.as_ref()).map_err(|error| Error::Option {
                sqlstate: "22023",
                message: format!("file pattern \"{}\" is malformed: {}", url(path), error.msg),
            })?;
            matching(store, path.as_ref(), first, &pattern).await
        }
    };
    let mut metas = found.map_err(|source| Error::FileUnreachable { file: url(path), source })?;
    if metas.is_empty() {
        return Err(Error::FileMissing { pattern: url(path) });
    }
    if metas.len() > FILES_MAX {
        let message = format!("\"{}\" matches more than {FILES_MAX} files", url(path));
        return Err(Error::Option { sqlstate: "54000", message });
    }
    metas.sort_by(|a, b| a.location.cmp(&b.location));
    let file = |meta: ObjectMeta| File { store: Arc::clone(store), url: url(&meta.location), meta };
    Ok(metas.into_iter().map(file).collect())
}

/// The file of this name, or the files in the folder of this name.
async fn named(store: &Arc<dyn ObjectStore>, path: &Path) -> object_store::Result<Vec<ObjectMeta>> {
    match store.head(path).await {
        Ok(meta) => Ok(vec![meta]),
        Err(error) => {
            // A local store does not call a folder a missing file.
            let listed = in_folder(store, path).await?;
            let missing = matches!(error, object_store::Error::NotFound { .. });
            if listed.is_empty() && !missing { Err(error) } else { Ok(listed) }
        }
    }
}

async fn in_folder(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
) -> object_store::Result<Vec<ObjectMeta>> {
    let is_visible = |meta: &ObjectMeta| {
        meta.location.filename().is_some_and(|name| !name.starts_with(['_', '.']))
    };
    let listed = store.list_with_delimiter(Some(path)).await?;
    Ok(listed.objects.into_iter().filter(is_visible).collect())
}

/// The files that match a pattern whose first special character is at `first`.
async fn matching(
    store: &Arc<dyn ObjectStore>,
    path: &str,
    first: usize,
    pattern: &Pattern,
) -> object_store::Result<Vec<ObjectMeta>> {
    let (folder, rest) = path.split_at(path[..first].rfind('/').map_or(0, |slash| slash + 1));
    let folder = Path::parse(folder.trim_end_matches('/'))?;
    let matches = |meta: &ObjectMeta| pattern.matches_with(meta.location.as_ref(), OPTIONS);
    if !rest.contains('/') && rest != "**" {
        // Only one folder is asked about, however deep the tree below it.
        let listed = store.list_with_delimiter(Some(&folder)).await?;
        return Ok(listed.objects.into_iter().filter(matches).collect());
    }
    let mut found = Vec::new();
    let mut listed = store.list(Some(&folder));
    while let Some(meta) = listed.try_next().await? {
        if matches(&meta) {
            found.push(meta);
        }
        if found.len() > FILES_MAX {
            break;
        }
    }
    Ok(found)
}
