//! The extended query protocol: prepared statements, portals that are read in portions, pipelines.
//!
//! Never: a result that is computed further than the client has asked for.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use sql::{Output, Prepared, TransactionStatus};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::copy::{copy_in, copy_out};
use super::message::{Bind, Format, Message, Parse, Target};
use super::parameter::{Parameter, declared_field};
use super::reply::Column;
use super::rows::{Rows, columns, zone_of};
use super::wire::{IfGone, Trouble};

/// Statements and portals that one session may keep under names.
const NAMES_MAX: usize = 10_000;

/// The type byte of a Sync.
const SYNC: u8 = b'S';

/// A statement that a client prepared.
#[derive(Debug)]
pub(crate) struct PreparedStatement {
    /// None where the text held no statement.
    prepared: Option<Arc<Prepared>>,
    parameters: Vec<Parameter>,
}

/// A statement with its parameters, and how far it has been run.
pub(crate) struct Portal {
    statement: Arc<PreparedStatement>,
    result_formats: Vec<Format>,
    state: State,
}

enum State {
    Bound(Vec<ScalarValue>),
    Rows(Box<Rows>),
    Finished,
}

impl PreparedStatement {
    /// The result's columns in these formats; none where there are no rows.
    fn columns(&self, formats: &[Format]) -> Result<Option<Vec<Column>>, Trouble> {
        let schema = self.prepared.as_ref().and_then(|prepared| prepared.columns());
        schema.map(|schema| columns(&schema, formats)).transpose()
    }
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Answers one message of the extended protocol; the answer is sent at the next Sync or Flush.
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Trouble> {
        match message {
            Message::Parse(parse) => self.parse(parse).await?,
            Message::Bind(bind) => self.bind(bind)?,
            Message::Describe(Target::Statement, name) => self.describe_statement(&name)?,
            Message::Describe(Target::Portal, name) => self.describe_portal(&name).await?,
            Message::Execute { portal, rows_max } => self.execute(&portal, rows_max).await?,
            Message::Close(target, name) => {
                // Closing what is not there is no error.
                match target {
                    Target::Statement => drop(self.statements.remove(&name)),
                    Target::Portal => drop(self.portals.remove(&name)),
                }
                self.wire.replies.close_complete();
            }
            // The connection has answered all others itself.
            _ => return Err(Trouble::fatal("08P01", "unexpected message")),
        }
        if self.wire.replies.full() {
            // A pipeline of many small statements must not pile up its answers.
            self.wire.flush().await?;
        }
        Ok(())
    }

    async fn parse(&mut self, parse: Parse) -> Result<(), Trouble> {
        let Parse { name, text, parameter_types } = parse;
        if name.is_empty() {
            self.statements.remove(&name);
        } else if self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Trouble::statement("42P05", message));
        } else if self.statements.len() >= NAMES_MAX {
            return Err(too_many("prepared statements"));
        }
        let mut statements = self.session.parse(&text)?;
        let statement = statements.pop();
        if !statements.is_empty() {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Trouble::statement("42601", message));
        }
        let prepared = match statement {
            Some(statement) => {
                let types = parameter_types
                    .iter()
                    .map(|oid| declared_field(*oid))
                    .collect::<sql::Result<Vec<_>>>()?;
                let preparing = Box::pin(self.session.prepare(statement, &types));
                Some(self.wire.attend(IfGone::Stop, preparing).await??)
            }
            None => None,
        };
        let fields = prepared.as_ref().map(|prepared| prepared.parameter_fields());
        let declared = parameter_types.iter().copied().chain(std::iter::repeat(0));
        let parameters = fields
            .unwrap_or_default()
            .iter()
            .zip(declared)
            .map(|(field, oid)| Parameter::new(field, oid))
            .collect::<sql::Result<_>>()?;
        self.statements.insert(name, Arc::new(PreparedStatement { prepared, parameters }));
        self.wire.replies.parse_complete();
        Ok(())
    }

    fn bind(&mut self, bind: Bind) -> Result<(), Trouble> {
        let statement = Arc::clone(self.statement(&bind.statement)?);
        if bind.portal.is_empty() {
            self.portals.remove(&bind.portal);
        } else if self.portals.contains_key(&bind.portal) {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Trouble::statement("42P03", message));
        } else if self.portals.len() >= NAMES_MAX {
            return Err(too_many("portals"));
        }
        let parameters = self.parameters(&statement, &bind)?;
        let portal = Portal {
            statement,
            result_formats: bind.result_formats,
            state: State::Bound(parameters),
        };
        // Wrong result formats are told now, not when rows are due.
        portal.statement.columns(&portal.result_formats)?;
        self.portals.insert(bind.portal, portal);
        self.wire.replies.bind_complete();
        Ok(())
    }

    fn parameters(
        &self,
        statement: &PreparedStatement,
        bind: &Bind,
    ) -> Result<Vec<ScalarValue>, Trouble> {
        let (given, wanted) = (bind.parameters.len(), statement.parameters.len());
        if given != wanted {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {wanted}",
                bind.statement
            );
            return Err(Trouble::statement("08P01", message));
        }
        let formats = &bind.parameter_formats;
        if formats.len() > 1 && formats.len() != given {
            let message = format!(
                "bind message has {} parameter formats but {given} parameters",
                formats.len()
            );
            return Err(Trouble::statement("08P01", message));
        }
        let format_of = |index: usize| match formats.as_slice() {
            [] => Format::Text,
            [all] => *all,
            each => each[index],
        };
        let zone = zone_of(&self.session);
        let values = statement.parameters.iter().zip(&bind.parameters).enumerate();
        let decode = |(index, (parameter, bytes)): (usize, (&Parameter, &Option<_>))| {
            parameter.decode(bytes.as_ref(), format_of(index), &zone)
        };
        Ok(values.map(decode).collect::<sql::Result<_>>()?)
    }

    fn describe_statement(&mut self, name: &str) -> Result<(), Trouble> {
        let statement = Arc::clone(self.statement(name)?);
        let oids: Vec<u32> = statement.parameters.iter().map(|known| known.pg_type.oid).collect();
        self.wire.replies.parameter_description(&oids);
        self.describe_columns(statement.columns(&[])?);
        Ok(())
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Trouble> {
        let columns = match self.portals.get(name) {
            Some(portal) => portal.statement.columns(&portal.result_formats)?,
            None => self.cursor_columns(name).await?,
        };
        self.describe_columns(columns);
        Ok(())
    }

    /// The columns of a cursor that DECLARE opened: to the protocol it is a portal as well, and
    /// psycopg asks for it.
    async fn cursor_columns(&mut self, name: &str) -> Result<Option<Vec<Column>>, Trouble> {
        if name.is_empty() {
            return Err(no_portal(name));
        }
        let fetch = format!("FETCH 0 FROM \"{}\"", name.replace('"', "\"\""));
        let Some(statement) = self.session.parse(&fetch)?.pop() else { return Ok(None) };
        let preparing = Box::pin(self.session.prepare(statement, &[]));
        let prepared = self.wire.attend(IfGone::Stop, preparing).await?;
        let schema = prepared.map_err(|_| no_portal(name))?.columns();
        schema.map(|schema| columns(&schema, &[])).transpose()
    }

    fn describe_columns(&mut self, columns: Option<Vec<Column>>) {
        match columns {
            Some(columns) => self.wire.replies.row_description(&columns),
            None => self.wire.replies.no_data(),
        }
    }

    async fn execute(&mut self, name: &str, rows_max: Option<usize>) -> Result<(), Trouble> {
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let statement = Arc::clone(&portal.statement);
        let Some(prepared) = &statement.prepared else {
            self.wire.replies.empty_query();
            return Ok(());
        };
        // Whatever happens now, the portal cannot be begun a second time.
        let tag = match std::mem::replace(&mut portal.state, State::Finished) {
            State::Bound(parameters) => {
                let formats = portal.result_formats.clone();
                self.start(name, prepared, parameters, &formats, rows_max).await?
            }
            State::Rows(rows) => {
                self.refuse_after_failure()?;
                self.fetch(name, prepared, rows, rows_max).await?
            }
            State::Finished if prepared.returns_rows() => Some(prepared.tag(0)),
            State::Finished => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(Trouble::statement("55000", message));
            }
        };
        self.tell_news();
        match tag {
            Some(tag) => self.wire.replies.command_complete(&tag),
            None => self.wire.replies.portal_suspended(),
        }
        Ok(())
    }

    /// Runs a portal's statement. Gives the command tag, or none where rows are left.
    async fn start(
        &mut self,
        portal: &str,
        prepared: &Arc<Prepared>,
        parameters: Vec<ScalarValue>,
        formats: &[Format],
        rows_max: Option<usize>,
    ) -> Result<Option<String>, Trouble> {
        self.metrics.statements.add(1);
        if self.wire.reader.buffered_tag() != Some(SYNC) && !prepared.stands_alone() {
            // More statements may follow before the Sync: they hold together or not at all. One
            // that is alone, as most are, commits by itself and shares its commit with others.
            self.session.begin_implicit();
        }
        let if_gone = IfGone::of(prepared);
        let running = Box::pin(self.session.run(prepared, parameters));
        Ok(match self.wire.attend(if_gone, running).await?? {
            Output::Rows(stream) => {
                let schema = prepared.columns().unwrap_or_else(|| stream.schema());
                let columns = columns(&schema, formats)?;
                let rows = Box::new(Rows::new(stream, columns, zone_of(&self.session)));
                self.fetch(portal, prepared, rows, rows_max).await?
            }
            Output::Done { tag, .. } => Some(tag),
            Output::CopyIn(copy) => {
                Some(copy_in(&mut self.wire, copy, zone_of(&self.session)).await?)
            }
            Output::CopyOut(copy) => Some(copy_out(&mut self.wire, copy).await?),
        })
    }

    /// Sends a portion of a portal's rows and keeps the rest for the next Execute.
    async fn fetch(
        &mut self,
        portal: &str,
        prepared: &Prepared,
        mut rows: Box<Rows>,
        rows_max: Option<usize>,
    ) -> Result<Option<String>, Trouble> {
        let sent = rows.send(&mut self.wire, rows_max).await?;
        self.metrics.rows_sent.add(sent.rows);
        if sent.ended {
            return Ok(Some(prepared.tag(sent.rows)));
        }
        if let Some(portal) = self.portals.get_mut(portal) {
            portal.state = State::Rows(rows);
        }
        Ok(None)
    }

    fn statement(&self, name: &str) -> Result<&Arc<PreparedStatement>, Trouble> {
        self.statements.get(name).ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                _ => format!("prepared statement \"{name}\" does not exist"),
            };
            Trouble::statement("26000", message)
        })
    }

    fn refuse_after_failure(&self) -> Result<(), Trouble> {
        if self.session.transaction_status() == TransactionStatus::Failed {
            let message = "current transaction is aborted, commands ignored until end of \
                           transaction block";
            return Err(Trouble::statement("25P02", message));
        }
        Ok(())
    }
}

fn no_portal(name: &str) -> Trouble {
    Trouble::statement("34000", format!("portal \"{name}\" does not exist"))
}

fn too_many(what: &str) -> Trouble {
    let message = format!("too many {what}: a session keeps at most {NAMES_MAX}");
    Trouble::statement("54000", message)
}
