//! The simple query protocol: one text, any number of statements, results in text.
//!
//! Never: a statement that runs after one before it in the same text went wrong.

use sql::{Output, Statement};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::copy::{copy_in, copy_out};
use super::rows::{Rows, columns, zone_of};
use super::wire::{IfGone, Trouble};

/// The statement and the portal without a name, which a simple query takes the place of.
const UNNAMED: &str = "";

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Runs every statement of a text and tells their results.
    pub(super) async fn simple(&mut self, text: &str) -> Result<(), Trouble> {
        self.statements.remove(UNNAMED);
        self.portals.remove(UNNAMED);
        let statements = self.session.parse(text)?;
        if statements.is_empty() {
            self.wire.replies.empty_query();
        }
        let count = statements.len();
        for (at, statement) in statements.into_iter().enumerate() {
            if count > 1 {
                // Statements of one text hold together or not at all.
                self.session.begin_implicit();
            }
            let tag = self.simple_statement(statement).await?;
            if at + 1 == count {
                self.end_implicit().await?;
            }
            self.tell_news();
            self.wire.replies.command_complete(&tag);
        }
        Ok(())
    }

    /// Runs a statement and tells its rows. Gives the command tag.
    async fn simple_statement(&mut self, statement: Statement) -> Result<String, Trouble> {
        self.metrics.statements.add(1);
        let preparing = Box::pin(self.session.prepare(statement, &[]));
        let prepared = self.wire.attend(IfGone::Stop, preparing).await??;
        let if_gone = IfGone::of(&prepared);
        // Nobody was told of its columns yet: they are those of the rows, whatever became of a table.
        let running = Box::pin(self.session.run_now(&prepared, Vec::new()));
        Ok(match self.wire.attend(if_gone, running).await?? {
            Output::Rows(stream) => {
                let described = prepared.columns().filter(|_| prepared.describes(&stream.schema()));
                let schema = described.unwrap_or_else(|| stream.schema());
                let columns = columns(&schema, &[])?;
                self.wire.replies.row_description(&columns);
                let mut rows = Rows::new(stream, columns, zone_of(&self.session));
                let sent = rows.send(&mut self.wire, None).await?;
                self.metrics.rows_sent.add(sent.rows);
                prepared.tag(sent.rows)
            }
            Output::Done { tag, .. } => tag,
            Output::CopyIn(copy) => copy_in(&mut self.wire, copy, zone_of(&self.session)).await?,
            Output::CopyOut(copy) => copy_out(&mut self.wire, copy).await?,
        })
    }
}
