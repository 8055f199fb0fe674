//! `tarn backup`, `tarn restore` and `tarn check`.

use std::io::{self, Write};

use sql::{Checked, Copied};

use crate::config::Command;
use crate::error::{Error, Result};

/// Runs one of them, and says on standard output what it did.
pub(crate) fn run(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut out = io::stdout().lock();
    match command {
        Command::Serve(_) => {}
        Command::Backup { warehouse, to } => {
            let config = warehouse.config()?;
            let copied = runtime.block_on(sql::backup(&config, &to));
            tell(&mut out, "backed up", copied.map_err(|source| Error::Maintenance { source })?)?;
        }
        Command::Restore { warehouse, from } => {
            let config = warehouse.config()?;
            let copied = runtime.block_on(sql::restore(&config, &from));
            tell(&mut out, "restored", copied.map_err(|source| Error::Maintenance { source })?)?;
        }
        Command::Check { warehouse, deep } => {
            let config = warehouse.config()?;
            let checked = runtime.block_on(sql::check(&config, deep));
            let Checked { tables, files, bytes, problems } =
                checked.map_err(|source| Error::Maintenance { source })?;
            for problem in &problems {
                writeln!(out, "tarn: {problem}")?;
            }
            writeln!(out, "tarn: checked {tables} tables with {files} files, {bytes} bytes")?;
            if !problems.is_empty() {
                return Err(Error::Damaged { problems: problems.len() });
            }
        }
    }
    Ok(())
}

fn tell(out: &mut impl Write, done: &str, copied: Copied) -> Result<()> {
    let Copied { catalog_version, tables, files, bytes, kept } = copied;
    writeln!(
        out,
        "tarn: {done} {tables} tables at version {catalog_version} of the catalog: \
         {files} files copied, {bytes} bytes; {kept} were there already"
    )?;
    Ok(())
}
