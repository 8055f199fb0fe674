//! The calls of Flight SQL, each handed to where it is answered.
//!
//! Never: an answer that is made up here, or a call that is passed over: what the server does not
//! offer is refused by the trait's own answer or by a clear one.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::SqlInfoDataBuilder;
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionCancelQueryRequest,
    ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndTransactionRequest, Any, CommandGetCatalogs, CommandGetCrossReference,
    CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys,
    CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, EndTransaction, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus,
    FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc,
    Ticket,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use prost::Message;
use sql::state;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::prepared::Held;
use super::rows::{self, Answer};
use super::sessions::{Client, Sessions};
use super::statement::{self, Surroundings};
use super::{bulk, objects, status};

/// Answers the calls.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) sessions: Sessions,
    pub(super) with: Surroundings,
}

type Answered = Result<Response<Answer>, Status>;
type Described = Result<Response<FlightInfo>, Status>;
type Handshaken = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

/// The name by which clients cancel what a FlightInfo names.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Handshaken>, Status> {
        let token = self.sessions.issue(&request)?;
        let header = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| status::refused(state::INTERNAL_ERROR, "the token is not a header"))?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response = Response::new(futures::stream::iter([Ok(answer)]).boxed() as Handshaken);
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    // --- statements ---------------------------------------------------------------------------

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Described {
        let client = self.sessions.of(&request)?;
        let prepared = statement::prepare(&client, &query.query, &[]).await?;
        let described = match prepared {
            None => statement::no_rows(None, request.into_inner())?,
            Some(prepared) if prepared.returns_rows() => {
                let ticket = TicketStatementQuery { statement_handle: handle(&query.query) };
                let columns = statement::columns(Some(&prepared));
                let ticket = ticket.as_any().encode_to_vec();
                statement::rows_at(ticket.into(), &columns, request.into_inner())?
            }
            Some(prepared) => {
                let changed = self.with.update(&client, &prepared, Vec::new()).await?;
                statement::no_rows(changed, request.into_inner())?
            }
        };
        Ok(Response::new(described))
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Answered {
        let client = self.sessions.of(&request)?;
        let running = client.running(request.into_inner().ticket);
        let text = text(&ticket.statement_handle)?;
        match statement::prepare(&client, text, &[]).await? {
            Some(prepared) => {
                let answer = self.with.query(&client, &prepared, Vec::new(), running).await?;
                Ok(Response::new(answer))
            }
            None => nothing(Arc::new(Schema::empty())),
        }
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let client = self.sessions.of(&request)?;
        match statement::prepare(&client, &command.query, &[]).await? {
            Some(prepared) => {
                let changed = self.with.update(&client, &prepared, Vec::new()).await?;
                Ok(statement::count(changed))
            }
            None => Ok(statement::count(None)),
        }
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let client = self.sessions.of(&request)?;
        let target = bulk::target(command)?;
        let rows = bulk::rows(request.into_inner()).await?;
        let work = async move {
            let _turn = client.turn.read().await;
            client.session.ingest(target, rows).await.map_err(status::failed)
        };
        self.with.to_the_end(work).await.map(|rows| statement::count(Some(rows)))
    }

    // --- prepared statements ------------------------------------------------------------------

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let client = self.sessions.of(&request)?;
        let prepared = statement::prepare(&client, &query.query, &[]).await?;
        let fields = prepared.as_ref().map(|p| p.parameter_fields().to_vec()).unwrap_or_default();
        let returns_rows = prepared.as_ref().is_some_and(|p| p.returns_rows());
        let columns = statement::columns(prepared.as_deref());
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: client.prepared.add(prepared)?,
            // No schema at all is how a client learns that it is an update.
            dataset_schema: if returns_rows { ipc(&columns)? } else { Bytes::new() },
            parameter_schema: ipc(&rows::sent_schema(&Schema::new(fields)))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.sessions.of(&request)?.prepared.remove(&query.prepared_statement_handle)
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let client = self.sessions.of(&request)?;
        let handle = query.prepared_statement_handle;
        let held = client.prepared.get(&handle)?;
        let bound = held.bind(&client, bulk::batches(request.into_inner())).await?;
        client.prepared.put(&handle, bound)?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Described {
        let client = self.sessions.of(&request)?;
        let held = client.prepared.get(&query.prepared_statement_handle)?;
        let described = match &held.prepared {
            None => statement::no_rows(None, request.into_inner())?,
            Some(prepared) if prepared.returns_rows() => {
                let columns = statement::columns(Some(prepared));
                let ticket = query.as_any().encode_to_vec();
                statement::rows_at(ticket.into(), &columns, request.into_inner())?
            }
            Some(_) => {
                let changed = self.update_prepared(&client, held, None).await?;
                statement::no_rows(changed, request.into_inner())?
            }
        };
        Ok(Response::new(described))
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Answered {
        let client = self.sessions.of(&request)?;
        let running = client.running(request.into_inner().ticket);
        let held = client.prepared.get(&query.prepared_statement_handle)?;
        match &held.prepared {
            Some(prepared) => {
                let answer = self.with.query(&client, prepared, held.values()?, running).await?;
                Ok(Response::new(answer))
            }
            None => nothing(Arc::new(Schema::empty())),
        }
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let client = self.sessions.of(&request)?;
        let held = client.prepared.get(&query.prepared_statement_handle)?;
        // A client binds values before, or sends them along.
        let mut batches = bulk::batches(request.into_inner());
        let came = batches.next().await.transpose()?;
        let came = came.map(|first| futures::stream::iter([Ok(first)]).chain(batches).boxed());
        self.update_prepared(&client, held, came).await.map(statement::count)
    }

    // --- transactions -------------------------------------------------------------------------

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        let client = self.sessions.of(&request)?;
        let _turn = client.turn.write().await;
        if client.session.transaction_status() != sql::TransactionStatus::Idle {
            let message = "there is already a transaction in progress";
            return Err(status::refused(state::ACTIVE_TRANSACTION, message));
        }
        statement::command(&client, "BEGIN").await?;
        // The transaction is the session's, so that settings and temporary tables are in it; the
        // name is only what the protocol asks for.
        let transaction_id = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
        Ok(ActionBeginTransactionResult { transaction_id })
    }

    async fn do_action_end_transaction(
        &self,
        query: ActionEndTransactionRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let client = self.sessions.of(&request)?;
        let _turn = client.turn.write().await;
        match EndTransaction::try_from(query.action) {
            Ok(EndTransaction::Commit) => {
                if statement::command(&client, "COMMIT").await? != "COMMIT" {
                    let message = "the transaction had failed, and was rolled back";
                    return Err(status::refused(state::FAILED_TRANSACTION, message));
                }
            }
            Ok(EndTransaction::Rollback) => {
                statement::command(&client, "ROLLBACK").await?;
            }
            Ok(EndTransaction::Unspecified) | Err(_) => {
                let message = format!("the end of a transaction cannot be {}", query.action);
                return Err(status::refused(state::INVALID_PARAMETER_VALUE, message));
            }
        }
        Ok(())
    }

    // --- cancel -------------------------------------------------------------------------------

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let client = self.sessions.of(&request)?;
        let status =
            cancel(&client, &FlightInfo::decode(query.info).map_err(|error| malformed(&error))?)?;
        // Both messages number their outcomes alike.
        Ok(ActionCancelQueryResult { result: status as i32 })
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(vec![Ok(ActionType {
            r#type: CANCEL_FLIGHT_INFO.to_owned(),
            description: "Stops the rows of a FlightInfo.".to_owned(),
        })])
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let client = self.sessions.of(&request)?;
        let Action { r#type, body } = request.into_inner();
        if r#type != CANCEL_FLIGHT_INFO {
            return Err(status::unsupported(format!("unknown action \"{}\"", r#type)));
        }
        let asked = CancelFlightInfoRequest::decode(body).map_err(|error| malformed(&error))?;
        let status = cancel(&client, &asked.info.unwrap_or_default())?;
        let body = CancelFlightInfoResult::new(status).encode_to_vec().into();
        let answer = futures::stream::iter([Ok(arrow_flight::Result { body })]);
        Ok(Response::new(answer.boxed()))
    }

    // --- what there is ------------------------------------------------------------------------

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &query.into_builder().schema(), request)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Answered {
        self.sessions.of(&request)?;
        objects::catalogs(query).map(answer)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &query.clone().into_builder().schema(), request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Answered {
        let client = self.sessions.of(&request)?;
        objects::schemas(&client, query).await.map(answer)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &query.clone().into_builder().schema(), request)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Answered {
        let client = self.sessions.of(&request)?;
        objects::tables(&client, query).await.map(answer)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &query.into_builder().schema(), request)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Answered {
        self.sessions.of(&request)?;
        objects::table_types(query).map(answer)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, SqlInfoDataBuilder::schema(), request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Answered {
        self.sessions.of(&request)?;
        objects::sql_info(query).map(answer)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &objects::primary_keys(), request)
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> Answered {
        nothing(objects::primary_keys())
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &objects::foreign_keys(), request)
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> Answered {
        nothing(objects::foreign_keys())
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &objects::foreign_keys(), request)
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> Answered {
        nothing(objects::foreign_keys())
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Described {
        listed(&query, &objects::foreign_keys(), request)
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> Answered {
        nothing(objects::foreign_keys())
    }

    async fn do_put_error_callback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(status::refused("08P01", format!("cannot tell where the data goes: {error}")))
    }

    /// What there is to say is said by `objects`.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}

impl Service {
    /// Runs a prepared statement with the values that came, else with those that were bound.
    async fn update_prepared(
        &self,
        client: &Arc<Client>,
        held: Held,
        came: Option<BoxStream<'static, Result<RecordBatch, Status>>>,
    ) -> Result<Option<u64>, Status> {
        let Held { prepared: Some(prepared), bound } = held else { return Ok(None) };
        match came {
            Some(batches) => self.with.update_each(client, prepared, batches).await,
            None if bound.is_empty() => self.with.update(client, &prepared, Vec::new()).await,
            None => {
                let batches = futures::stream::iter(bound.into_iter().map(Ok));
                self.with.update_each(client, prepared, batches).await
            }
        }
    }
}

/// What a ticket carries: the statement, after bytes that tell one call from another.
fn handle(text: &str) -> Bytes {
    let id = Uuid::new_v4();
    [id.as_bytes().as_slice(), text.as_bytes()].concat().into()
}

fn text(handle: &[u8]) -> Result<&str, Status> {
    let text = handle.get(size_of::<Uuid>()..).and_then(|text| std::str::from_utf8(text).ok());
    text.ok_or_else(|| status::refused("08P01", "the ticket is not one of this server's"))
}

/// Stops the rows of a FlightInfo.
fn cancel(client: &Client, info: &FlightInfo) -> Result<CancelStatus, Status> {
    let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
    let stopped = tickets.filter(|ticket| client.cancel(&ticket.ticket)).count();
    if stopped == 0 {
        return Err(status::refused(state::UNDEFINED_OBJECT, "no such query is running"));
    }
    Ok(CancelStatus::Cancelled)
}

/// Where the answer to a question about the catalog is: the question is its own ticket.
fn listed<M: ProstMessageExt>(
    query: &M,
    schema: &Schema,
    request: Request<FlightDescriptor>,
) -> Described {
    let ticket: Any = query.as_any();
    let ticket = Bytes::from(ticket.encode_to_vec());
    statement::rows_at(ticket, schema, request.into_inner()).map(Response::new)
}

fn answer(batch: RecordBatch) -> Response<Answer> {
    Response::new(rows::ready(batch))
}

fn nothing(schema: SchemaRef) -> Answered {
    Ok(answer(RecordBatch::new_empty(schema)))
}

fn ipc(schema: &Schema) -> Result<Bytes, Status> {
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &options));
    message.map(|message| message.0).map_err(|error| status::failed(error.into()))
}

fn malformed(error: &prost::DecodeError) -> Status {
    status::refused("08P01", format!("cannot read the message: {error}"))
}
