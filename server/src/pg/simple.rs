//! The simple query protocol: one text, any number of statements, results in text.
//!
//! Never: a statement that runs after one before it in the same text went wrong.

use sql::{Output, Statement};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::copy::{copy_in, copy_out};
use super::rows::{Rows, columns, tag, zone_of};
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
        for statement in statements {
            self.simple_statement(statement).await?;
        }
        Ok(())
    }

    async fn simple_statement(&mut self, statement: Statement) -> Result<(), Trouble> {
        self.metrics.statements.add(1);
        let preparing = Box::pin(self.session.prepare(statement, &[]));
        let prepared = self.wire.attend(IfGone::Stop, preparing).await??;
        let if_gone = if prepared.returns_rows() { IfGone::Stop } else { IfGone::Finish };
        let running = Box::pin(self.session.run(&prepared, Vec::new()));
        let tag = match self.wire.attend(if_gone, running).await?? {
            Output::Rows(stream) => {
                let schema = prepared.columns().unwrap_or_else(|| stream.schema());
                let columns = columns(&schema, &[])?;
                self.wire.replies.row_description(&columns);
                let mut rows = Rows::new(stream, columns, zone_of(&self.session));
                let sent = rows.send(&mut self.wire, None).await?;
                self.metrics.rows_sent.add(sent.rows);
                tag(prepared.text(), sent.rows)
            }
            Output::Done { tag, .. } => tag,
            Output::CopyIn(copy) => copy_in(&mut self.wire, copy, zone_of(&self.session)).await?,
            Output::CopyOut(copy) => copy_out(&mut self.wire, copy).await?,
        };
        self.tell_news();
        self.wire.replies.command_complete(&tag);
        Ok(())
    }
}
