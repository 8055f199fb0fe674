//! `CREATE [OR REPLACE] MODEL name FROM 'file' INPUT (...) OUTPUT (...) [WITH (...)]`, `DROP MODEL`.
//!
//! The bytes are read, checked against the signature and copied into the warehouse under their
//! digest before the model gets its name: what scored once scores again, whatever happens to the
//! file it came from.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use catalog::{Change, ColumnEntry, Definition, Entry, Kind, ModelVersion};
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use object_store::ObjectStoreExt;
use parking_lot::Mutex;
use udfs::{Limits, Model, ModelFunction, Signature};

use crate::engine::Engine;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser::{expect_word, expected, parse_word, parse_words, syntax_error};
use crate::resolve::split_name;
use crate::session::Session;
use crate::statement::drop::Drop;
use crate::statement::{copy, create_table};
use crate::types;

/// A model to be made.
#[derive(Debug, Clone)]
pub(crate) struct CreateModel {
    name: ast::ObjectName,
    or_replace: bool,
    if_not_exists: bool,
    location: String,
    inputs: Vec<ast::ColumnDef>,
    outputs: Vec<ast::ColumnDef>,
}

/// Reads `CREATE MODEL`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<CreateModel> {
    expect_word(parser, "CREATE")?;
    let or_replace = parse_words(parser, &["OR", "REPLACE"]);
    expect_word(parser, "MODEL")?;
    let if_not_exists = parse_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(false).map_err(syntax_error)?;
    expect_word(parser, "FROM")?;
    if parse_word(parser, "STDIN") {
        return Err(Error::unsupported("CREATE MODEL ... FROM STDIN is not supported")
            .with_hint("Use FROM 'file.onnx', a file at a declared location."));
    }
    let location = parser.parse_literal_string().map_err(syntax_error)?;
    expect_word(parser, "INPUT")?;
    let inputs = parse_columns(parser)?;
    expect_word(parser, "OUTPUT")?;
    let outputs = parse_columns(parser)?;
    if parse_word(parser, "WITH") {
        let options = parse_options(parser)?;
        if let Some((key, _)) = create_table::options(&options)?.into_iter().next() {
            return match key.as_str() {
                "training_set" | "log_predictions" => Err(Error::unsupported(format!(
                    "CREATE MODEL does not support the option \"{key}\""
                ))),
                other => {
                    Err(create_table::unknown_option(other, &["training_set", "log_predictions"]))
                }
            };
        }
    }
    Ok(CreateModel { name, or_replace, if_not_exists, location, inputs, outputs })
}

fn parse_columns(parser: &mut Parser<'_>) -> Result<Vec<ast::ColumnDef>> {
    if parser.next_token().token != Token::LParen {
        parser.prev_token();
        return expected(parser, "a list of columns in parentheses");
    }
    let columns = parser.parse_comma_separated(Parser::parse_column_def).map_err(syntax_error)?;
    if parser.next_token().token != Token::RParen {
        parser.prev_token();
        return expected(parser, "a comma or a closing parenthesis");
    }
    Ok(columns)
}

fn parse_options(parser: &mut Parser<'_>) -> Result<Vec<ast::SqlOption>> {
    if parser.next_token().token != Token::LParen {
        parser.prev_token();
        return expected(parser, "options in parentheses");
    }
    let options = parser.parse_comma_separated(Parser::parse_sql_option).map_err(syntax_error)?;
    if parser.next_token().token != Token::RParen {
        parser.prev_token();
        return expected(parser, "a comma or a closing parenthesis");
    }
    Ok(options)
}

/// Reads `DROP MODEL`, `DROP LOCATION` and `DROP SECRET`, which sqlparser does not.
pub(crate) fn parse_drop(parser: &mut Parser<'_>, kind: Kind) -> Result<Drop> {
    expect_word(parser, "DROP")?;
    // An external table is a foreign table to PostgreSQL.
    let _ = parse_word(parser, "FOREIGN") || parse_word(parser, "EXTERNAL");
    parser.next_token();
    let if_exists = parse_words(parser, &["IF", "EXISTS"]);
    let names =
        parser.parse_comma_separated(|p| p.parse_object_name(false)).map_err(syntax_error)?;
    let cascade = parse_word(parser, "CASCADE");
    if !cascade {
        parse_word(parser, "RESTRICT");
    }
    Ok(Drop { kind, names, if_exists, cascade })
}

/// Checks the model, keeps its bytes, names it.
pub(crate) async fn run(session: &Session, create: &CreateModel) -> Result<Output> {
    session.refuse_read_only()?;
    let (schema, name) = split_name(&create.name)?;
    let name = create_table::new_name(session, schema, name)?;
    let existing = session.snapshot().entry(&name.schema, &name.name).map(Arc::clone);
    if existing.is_some() && create.if_not_exists {
        session.notice(Notice::note(format!("model \"{}\" already exists, skipping", name.name)));
        return Ok(Output::done("CREATE MODEL"));
    }
    if let Some(existing) = &existing
        && !(create.or_replace && existing.kind() == Kind::Model)
    {
        return Err(Error::new(
            state::DUPLICATE_OBJECT,
            format!("{} \"{name}\" already exists", existing.kind()),
        ));
    }
    if session.engine().base_state().scalar_functions().contains_key(&name.name)
        || session.engine().base_state().aggregate_functions().contains_key(&name.name)
        || session.engine().base_state().window_functions().contains_key(&name.name)
    {
        return Err(Error::new("42723", format!("function \"{}\" already exists", name.name))
            .with_hint("Give the model a name that no built-in function has."));
    }
    let inputs = fields(&create.inputs)?;
    let outputs = fields(&create.outputs)?;
    let engine = session.engine();
    let limits = Limits::default();
    let bytes = read(session, &create.location, &limits).await?;
    let signature = Signature { inputs: inputs.clone(), outputs: outputs.clone() };
    let model = load(bytes.clone(), signature, limits).await?;
    let digest = model.digest().to_string();
    let path = keep(engine, &name.schema, &name.name, &digest, bytes).await?;
    let version = ModelVersion {
        number: 1,
        path,
        digest,
        engine: model.engine().to_string(),
        created_at_micros: engine.now_micros(),
    };
    let columns =
        |fields: &[FieldRef]| fields.iter().map(|f| ColumnEntry::from(f.as_ref())).collect();
    let definition = Definition::Model {
        versions: vec![version],
        default_version: 1,
        inputs: columns(&inputs),
        outputs: columns(&outputs),
        options: std::collections::BTreeMap::new(),
    };
    let entry = match existing {
        Some(existing) => Entry { definition, ..existing.as_ref().clone() },
        None => Entry::new(
            name.schema.clone(),
            name.name.clone(),
            session.user(),
            engine.now_micros(),
            definition,
        ),
    };
    session.change(vec![Change::Put(entry)], None).await?;
    Ok(Output::done("CREATE MODEL"))
}

fn fields(columns: &[ast::ColumnDef]) -> Result<Vec<FieldRef>> {
    columns
        .iter()
        .map(|column| {
            if let Some(option) = column.options.first() {
                return Err(Error::unsupported(format!(
                    "a model's column does not take \"{}\"",
                    option.option
                )));
            }
            let name = crate::resolve::fold(&column.name);
            let field: Field = types::field_of_sql_type(&column.data_type, &name, true)?;
            Ok(Arc::new(field))
        })
        .collect()
}

async fn read(session: &Session, location: &str, limits: &Limits) -> Result<bytes::Bytes> {
    let place = session.engine().catalog.resolve(&session.snapshot(), location)?;
    copy::from_files::refuse_own(session, &place, location)?;
    let size = place.store.head(&place.path).await?.size;
    if size > u64::try_from(limits.model_bytes_max).unwrap_or(u64::MAX) {
        return Err(Error::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            format!(
                "model file \"{location}\" has {size} bytes, more than {}",
                limits.model_bytes_max
            ),
        ));
    }
    Ok(place.store.get(&place.path).await?.bytes().await?)
}

/// Reads the graph off the runtime's threads: a large one takes a while.
async fn load(bytes: bytes::Bytes, signature: Signature, limits: Limits) -> Result<Arc<Model>> {
    let loaded =
        tokio::task::spawn_blocking(move || Model::load(&bytes, &signature, &limits)).await;
    match loaded {
        Ok(model) => Ok(model?),
        Err(error) => Err(Error::internal(format!("reading the model ended early: {error}"))),
    }
}

/// Copies the bytes into the warehouse; the same bytes twice are one file.
async fn keep(
    engine: &Engine,
    schema: &str,
    name: &str,
    digest: &str,
    bytes: bytes::Bytes,
) -> Result<String> {
    let path = format!("_tarn/models/{schema}/{name}/{digest}/model.onnx");
    let place = engine.catalog.stores().in_warehouse(&path)?;
    // The name is the bytes' own, so a put over them changes nothing; and unlike one that must not
    // replace anything, it can be sent again when its answer is lost.
    place.store.put(&place.path, bytes.into()).await?;
    Ok(path)
}

/// Models in memory, by digest: loaded once for the process.
#[derive(Default)]
pub(crate) struct Models(Mutex<HashMap<String, Arc<Model>>>);

impl Models {
    /// The function that scores with a model's default version.
    pub(crate) async fn function(
        &self,
        engine: &Engine,
        entry: &Entry,
        called: &str,
    ) -> Result<ScalarUDF> {
        let Definition::Model { versions, default_version, inputs, outputs, .. } =
            &entry.definition
        else {
            return Err(Error::internal("not a model"));
        };
        let version = versions.iter().find(|v| v.number == *default_version).ok_or_else(|| {
            Error::new(
                state::DATA_CORRUPTED,
                format!("model \"{}\" has no version {default_version}", entry.qualified_name()),
            )
        })?;
        // Two models may share a file but not a signature; nor need a model and what it replaced.
        let key = format!("{}:{}:{inputs:?}:{outputs:?}", entry.id, version.digest);
        let known = self.0.lock().get(&key).map(Arc::clone);
        let model = match known {
            Some(model) => model,
            None => {
                let fields = |columns: &[ColumnEntry]| -> Vec<FieldRef> {
                    columns.iter().map(|c| Arc::new(Field::from(c))).collect()
                };
                let signature = Signature { inputs: fields(inputs), outputs: fields(outputs) };
                let place = engine.catalog.stores().in_warehouse(&version.path)?;
                let bytes = place.store.get(&place.path).await?.bytes().await?;
                let model = load(bytes, signature, Limits::default()).await?;
                self.0.lock().insert(key, Arc::clone(&model));
                model
            }
        };
        Ok(ModelFunction::new(called, model))
    }
}
