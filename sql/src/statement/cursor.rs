//! `DECLARE`, `FETCH`, `MOVE`, `CLOSE`: a query whose rows are taken in portions.
//!
//! A cursor is a stream that waits: rows are computed when they are fetched. It goes forward
//! only; WITH HOLD keeps it beyond the transaction that made it, if that commits, since it pins its
//! tables' versions itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::resolve::fold;
use crate::session::Session;
use crate::statement::select;

/// `DECLARE name [NO SCROLL] CURSOR [WITH HOLD] FOR query`.
#[derive(Debug, Clone)]
pub(crate) struct Declare {
    name: String,
    hold: bool,
    query: Box<ast::Query>,
}

/// `FETCH` or `MOVE` forward.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    name: String,
    /// How many rows; none for all.
    count: Option<usize>,
    /// MOVE: the rows are passed over.
    moves: bool,
}

/// Cursors of this process, numbered.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// The number that the next cursor will have, or a later one.
pub(crate) fn next_number() -> u64 {
    NUMBER.load(Ordering::Relaxed)
}

/// The open cursors of a session.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<HashMap<String, Cursor>>);

#[derive(Clone)]
struct Cursor {
    /// In the order of their making.
    number: u64,
    schema: SchemaRef,
    hold: bool,
    source: Arc<tokio::sync::Mutex<Source>>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("hold", &self.hold).finish_non_exhaustive()
    }
}

/// Rows that were not fetched yet.
struct Source {
    rest: Option<RecordBatch>,
    /// None while rows are being computed: a FETCH that is stopped takes the query with it.
    stream: Option<SendableRecordBatchStream>,
}

impl Source {
    /// At most `most` rows, as one batch; none at the end.
    async fn take(&mut self, most: usize) -> datafusion::error::Result<Option<RecordBatch>> {
        let batch = match self.rest.take() {
            Some(rest) => Some(rest),
            None => {
                let mut stream = self.stream.take().ok_or_else(stopped)?;
                let batch = loop {
                    match stream.try_next().await? {
                        Some(batch) if batch.num_rows() == 0 => {}
                        other => break other,
                    }
                };
                self.stream = Some(stream);
                batch
            }
        };
        let Some(batch) = batch else { return Ok(None) };
        if batch.num_rows() > most {
            self.rest = Some(batch.slice(most, batch.num_rows() - most));
            return Ok(Some(batch.slice(0, most)));
        }
        Ok(Some(batch))
    }
}

fn stopped() -> Error {
    let message = "cannot fetch from the cursor: a FETCH from it failed or was canceled";
    Error::new("24000", message).with_hint("CLOSE it, and DECLARE it again.")
}

impl Cursors {
    /// At the end of a transaction.
    pub(crate) fn close_without_hold(&self) {
        self.0.lock().retain(|_, cursor| cursor.hold);
    }

    /// When what happened since the cursor of this number is rolled back.
    pub(crate) fn close_since(&self, number: u64) {
        self.0.lock().retain(|_, cursor| cursor.number < number);
    }

    /// At the end of the session.
    pub(crate) fn close_all(&self) {
        self.0.lock().clear();
    }

    fn get(&self, name: &str) -> Result<Cursor> {
        self.0.lock().get(name).cloned().ok_or_else(|| {
            Error::new(state::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
        })
    }
}

/// Reads `DECLARE`.
pub(crate) fn parse_declare(parser: &mut Parser<'_>) -> Result<Declare> {
    expect_word(parser, "DECLARE")?;
    let name = fold(&parser.parse_identifier().map_err(syntax_error)?);
    loop {
        if parse_word(parser, "BINARY") {
            return Err(Error::unsupported("DECLARE ... BINARY CURSOR is not supported"));
        } else if parse_words(parser, &["NO", "SCROLL"])
            || parse_word(parser, "INSENSITIVE")
            || parse_word(parser, "ASENSITIVE")
        {
        } else if parse_word(parser, "SCROLL") {
            return Err(Error::unsupported("scrollable cursors are not supported")
                .with_hint("Leave out SCROLL; the cursor goes forward."));
        } else {
            break;
        }
    }
    expect_word(parser, "CURSOR")?;
    let hold = parse_words(parser, &["WITH", "HOLD"]);
    if !hold {
        parse_words(parser, &["WITHOUT", "HOLD"]);
    }
    expect_word(parser, "FOR")?;
    let query = parser.parse_query().map_err(syntax_error)?;
    Ok(Declare { name, hold, query })
}

/// Reads `FETCH`.
pub(crate) fn parse_fetch(parser: &mut Parser<'_>) -> Result<Fetch> {
    expect_word(parser, "FETCH")?;
    parse_forward(parser, false)
}

/// Reads `MOVE`.
pub(crate) fn parse_move(parser: &mut Parser<'_>) -> Result<Fetch> {
    expect_word(parser, "MOVE")?;
    parse_forward(parser, true)
}

fn parse_forward(parser: &mut Parser<'_>, moves: bool) -> Result<Fetch> {
    for back in ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"] {
        if parse_word(parser, back) {
            return Err(Error::new("55000", "cursor can only scan forward")
                .with_hint("Use FETCH FORWARD n."));
        }
    }
    let forward = parse_word(parser, "FORWARD");
    let count = if parse_word(parser, "ALL") {
        None
    } else if parse_word(parser, "NEXT") {
        Some(1)
    } else if let Token::Number(digits, _) = parser.peek_token().token {
        parser.next_token();
        match digits.parse() {
            Ok(count) => Some(count),
            Err(_) => return expected(parser, "a count of rows"),
        }
    } else if forward || !matches!(parser.peek_token().token, Token::Minus) {
        Some(1)
    } else {
        return Err(Error::new("55000", "cursor can only scan forward"));
    };
    if !parse_word(parser, "FROM") {
        parse_word(parser, "IN");
    }
    let name = fold(&parser.parse_identifier().map_err(syntax_error)?);
    Ok(Fetch { name, count, moves })
}

/// Opens a cursor.
pub(crate) async fn declare(
    session: &Session,
    declare: &Declare,
    parameters: &[datafusion::scalar::ScalarValue],
) -> Result<Output> {
    if !declare.hold && !session.in_transaction() {
        return Err(Error::new(
            state::NO_ACTIVE_TRANSACTION,
            "DECLARE CURSOR can only be used in transaction blocks",
        )
        .with_hint("Use BEGIN first, or DECLARE ... CURSOR WITH HOLD."));
    }
    if session.cursors().get(&declare.name).is_ok() {
        return Err(Error::new(
            state::DUPLICATE_CURSOR,
            format!("cursor \"{}\" already exists", declare.name),
        ));
    }
    let stream = select::stream(session, &declare.query, parameters).await?;
    let cursor = Cursor {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        schema: stream.schema(),
        hold: declare.hold,
        source: Arc::new(tokio::sync::Mutex::new(Source { rest: None, stream: Some(stream) })),
    };
    session.cursors().0.lock().insert(declare.name.clone(), cursor);
    Ok(Output::done("DECLARE CURSOR"))
}

/// The columns of a FETCH; a MOVE has none.
pub(crate) fn fetch_schema(session: &Session, fetch: &Fetch) -> Result<Option<SchemaRef>> {
    if fetch.moves {
        return Ok(None);
    }
    Ok(Some(session.cursors().get(&fetch.name)?.schema))
}

/// The next rows of a cursor.
pub(crate) async fn fetch(session: &Session, fetch: &Fetch) -> Result<Output> {
    let cursor = session.cursors().get(&fetch.name)?;
    let source = Arc::clone(&cursor.source).lock_owned().await;
    let left = fetch.count.unwrap_or(usize::MAX);
    let rows = futures::stream::try_unfold((source, left), |(mut source, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let batch = source.take(left).await?;
        Ok(batch.map(|batch| {
            let left = left - batch.num_rows();
            (batch, (source, left))
        }))
    });
    if !fetch.moves {
        let rows = RecordBatchStreamAdapter::new(cursor.schema, rows);
        return Ok(Output::Rows(Box::pin(rows)));
    }
    let counts: Vec<usize> = rows.map_ok(|batch| batch.num_rows()).boxed().try_collect().await?;
    let passed = u64::try_from(counts.iter().sum::<usize>()).unwrap_or(u64::MAX);
    Ok(Output::counted("MOVE", passed))
}

/// `CLOSE name` or `CLOSE ALL`.
pub(crate) fn close(session: &Session, cursor: &ast::CloseCursor) -> Result<Output> {
    match cursor {
        ast::CloseCursor::All => {
            session.cursors().close_all();
            Ok(Output::done("CLOSE CURSOR ALL"))
        }
        ast::CloseCursor::Specific { name } => {
            let name = fold(name);
            session.cursors().get(&name)?;
            session.cursors().0.lock().remove(&name);
            Ok(Output::done("CLOSE CURSOR"))
        }
    }
}
