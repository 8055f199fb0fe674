//! Casts as PostgreSQL does them: by way of the text forms that COPY uses, or with its rounding.
//!
//! Casts that Arrow does the same way, such as `integer` to `bigint`, stay Arrow's.
//! Never: a value that a cast cut or replaced, but for `varchar(n)`, where the standard says so.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use ingest::text::{Formatter, Parser, ValueError, Zone};

use super::arithmetic::out_of_range;
use crate::error::{Error, state};
use crate::types;

/// How values get from one type to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// Text is read.
    Parse,
    /// A text form is written.
    Format,
    /// A text form is written and read: times between zones, and values of types that are kept as text.
    FormatAndParse,
    /// Text is brought to the length of its type: cut, and for `char(n)` padded.
    Fit,
    /// A fraction is rounded: halves of binary ones to even, of decimal ones away from zero.
    Round,
}

/// A cast that is not Arrow's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Conversion {
    way: Way,
    target: FieldRef,
    zone: Zone,
    /// `TRY_CAST`: what cannot be read is NULL.
    null_on_error: bool,
    signature: Signature,
}

/// Whether values of the type are Arrow strings.
pub(super) const fn text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a field holds text that any text may be.
fn plain_text(field: &Field) -> bool {
    text(field.data_type()) && matches!(types::pg_type_of(field).name, "text" | "varchar" | "name")
}

/// Whether a field holds text in the one form of its type, so that equal values have equal texts.
pub(super) fn normal_form(field: &Field) -> bool {
    matches!(types::pg_type_of(field).name, "uuid" | "jsonb" | "time")
}

/// The type of a field, without its name, as a cast's target.
pub(super) fn target_of(field: &Field) -> FieldRef {
    let named = field.metadata().get(types::TYPE_KEY);
    let metadata = named.map(|name| (types::TYPE_KEY.to_owned(), name.clone()));
    let target = Field::new("", field.data_type().clone(), true);
    Arc::new(target.with_metadata(metadata.into_iter().collect()))
}

/// A value as a column of a table takes it: as a cast, but a text too long for it is refused.
pub(crate) fn assign(expr: Expr, source: &Field, column: &Field) -> Result<Expr> {
    refuse_other_kind(source, column)?;
    let target = target_of(column);
    if types::pg_type_of(source) == types::pg_type_of(column) {
        return Ok(Expr::Cast(Cast::new(Box::new(expr), target.data_type().clone())));
    }
    let way = match (text(target.data_type()), target.data_type()) {
        _ if target.metadata().is_empty() => None,
        (true, _) => Some(Way::Parse),
        (false, DataType::List(_)) if !text(source.data_type()) => Some(Way::FormatAndParse),
        _ => None,
    };
    let Some(way) = way else {
        return Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), target)));
    };
    // What is no text yet becomes one by a cast of its own, in the zone of the session.
    let expr = match way {
        Way::Parse => Expr::Cast(Cast::new(Box::new(expr), DataType::Utf8)),
        _ => expr,
    };
    Conversion { way, target, zone: Zone::UTC, null_on_error: false, signature: one() }.of(expr)
}

/// An error for a value of another kind than the column's.
pub(crate) fn refuse_other_kind(source: &Field, column: &Field) -> Result<(), Error> {
    if assignable(source, column, true) {
        return Ok(());
    }
    Err(Error::new(
        state::DATATYPE_MISMATCH,
        format!(
            "column \"{}\" is of type {} but expression is of type {}",
            column.name(),
            types::type_name(column),
            types::type_name(source)
        ),
    )
    .with_hint("You will need to rewrite or cast the expression."))
}

/// Whether a value becomes one of the column without a cast that says so. A text that may be a literal is
/// of no type yet.
pub(crate) fn assignable(source: &Field, column: &Field, may_be_literal: bool) -> bool {
    let (from, to) = (types::pg_type_of(source), types::pg_type_of(column));
    match (from.category, to.category) {
        _ if *source.data_type() == DataType::Null => true,
        (_, 'S') | ('X', _) => true,
        ('S', _) if may_be_literal => true,
        ('U', 'U') => {
            from.name == to.name || (from.name.starts_with("json") && to.name.starts_with("json"))
        }
        (from, to) => from == to,
    }
}

fn one() -> Signature {
    Signature::any(1, Volatility::Immutable)
}

impl Conversion {
    /// The conversion between two types; `None` where Arrow's cast is right.
    pub(super) fn new(
        source: &Field,
        target: &FieldRef,
        zone: Zone,
        null_on_error: bool,
    ) -> Option<Self> {
        let way = way(source, target, zone)?;
        let target = Arc::clone(target);
        Some(Self { way, target, zone, null_on_error, signature: one() })
    }

    /// The converted expression; of a constant, the value.
    pub(super) fn of(self, expr: Expr) -> Result<Expr> {
        if let Expr::Literal(value, _) = &expr {
            let value = ScalarValue::try_from_array(&self.convert(&value.to_array()?)?, 0)?;
            let metadata = self.target.metadata();
            let metadata = (!metadata.is_empty()).then(|| FieldMetadata::from(metadata.clone()));
            return Ok(Expr::Literal(value, metadata));
        }
        Ok(ScalarUDF::from(self).call(vec![expr]))
    }

    pub(super) fn convert(&self, values: &ArrayRef) -> Result<ArrayRef> {
        match self.way {
            Way::Parse => self.parse(values),
            Way::Format => self.finish_text(self.format(values)?),
            Way::FormatAndParse => self.parse(&self.format(values)?),
            Way::Fit => self.finish_text(cast(values, &DataType::Utf8)?),
            Way::Round => self.round(values),
        }
    }

    fn finish_text(&self, texts: ArrayRef) -> Result<ArrayRef> {
        let texts = match character_length(&self.target) {
            Some(length) => fit(&texts, length, types::pg_type_of(&self.target).name == "bpchar"),
            None => texts,
        };
        if texts.data_type() == self.target.data_type() {
            return Ok(texts);
        }
        Ok(cast(&texts, self.target.data_type())?)
    }

    fn format(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if let Some(truths) = values.as_boolean_opt() {
            let words = truths.iter().map(|truth| truth.map(|t| if t { "true" } else { "false" }));
            return Ok(Arc::new(words.collect::<StringArray>()));
        }
        let formatter = Formatter::new(values, &self.zone).map_err(Error::from)?;
        let mut texts = StringBuilder::with_capacity(values.len(), values.len() * 16);
        let mut buffer = Vec::new();
        for row in 0..values.len() {
            if formatter.is_null(row) {
                texts.append_null();
                continue;
            }
            buffer.clear();
            formatter.write(row, &mut buffer);
            texts.append_value(String::from_utf8_lossy(&buffer));
        }
        Ok(Arc::new(texts.finish()))
    }

    fn parse(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let texts = cast(values, &DataType::Utf8)?;
        let texts: Vec<Option<&str>> = texts.as_string::<i32>().iter().collect();
        let mut parser = Parser::new(&self.target, &self.zone).map_err(Error::from)?;
        let mut rest = texts.as_slice();
        while let Err(refused) = parser.extend(rest) {
            if !self.null_on_error {
                return Err(refusal(&refused.error));
            }
            parser.append(None).map_err(|error| refusal(&error))?;
            rest = rest.get(refused.index + 1..).unwrap_or_default();
        }
        Ok(parser.finish().map_err(Error::from)?)
    }

    fn round(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let whole: ArrayRef = match values.data_type() {
            DataType::Decimal128(_, _) => cast(values, &DataType::Decimal128(38, 0))?,
            DataType::Decimal256(_, _) => cast(values, &DataType::Decimal256(76, 0))?,
            _ => {
                let values = cast(values, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                Arc::new(values.unary::<_, Float64Type>(f64::round_ties_even))
            }
        };
        let options = CastOptions { safe: self.null_on_error, ..Default::default() };
        cast_with_options(&whole, self.target.data_type(), &options)
            .map_err(|error| out_of_range(error, &self.target))
    }
}

fn way(source: &Field, target: &Field, zone: Zone) -> Option<Way> {
    use DataType as D;
    let (from, to) = (source.data_type(), target.data_type());
    if matches!(from, D::Null | D::Dictionary(..) | D::RunEndEncoded(..)) {
        return None;
    }
    if text(from) {
        if !text(to) {
            return readable(to).then_some(Way::Parse);
        }
        let (old, new) = (types::pg_type_of(source), types::pg_type_of(target));
        if plain_text(target) {
            // What was of a type of its own is text from now on, though its bytes stay the same.
            let kept = matches!(old.name, "uuid" | "json" | "jsonb" | "time");
            let fits = kept || character_length(target).is_some();
            return (fits && old != new).then_some(Way::Fit);
        }
        return match (new.name, character_length(target)) {
            _ if old == new => None,
            ("bpchar", length) => length.map(|_| Way::Fit),
            ("uuid" | "json" | "jsonb" | "time", _) => Some(Way::Parse),
            _ => None,
        };
    }
    if text(to) {
        let plain = plain_text(target) && character_length(target).is_none();
        return match types::pg_type_of(target).name {
            _ if plain && from.is_integer() => None,
            "text" | "varchar" | "name" | "bpchar" => writable(from).then_some(Way::Format),
            "uuid" | "json" | "jsonb" | "time" => Some(Way::FormatAndParse),
            _ => None,
        };
    }
    let fraction = from.is_floating() || matches!(from, D::Decimal128(..) | D::Decimal256(..));
    if fraction && to.is_integer() {
        return Some(Way::Round);
    }
    let zoned = |data_type: &D| matches!(data_type, D::Timestamp(_, Some(_)));
    let time = |data_type: &D| matches!(data_type, D::Timestamp(..) | D::Date32);
    let modifier = types::pg_type_of(target).modifier;
    let shorter = modifier >= 0 && modifier != types::pg_type_of(source).modifier;
    if time(from) && time(to) && ((zoned(from) != zoned(to) && zone != Zone::UTC) || shorter) {
        return matches!(to, D::Date32 | D::Timestamp(..)).then_some(Way::FormatAndParse);
    }
    None
}

/// Types that [`Parser`] reads.
pub(super) fn readable(data_type: &DataType) -> bool {
    use DataType as D;
    match data_type {
        D::List(element) => text(element.data_type()) || readable(element.data_type()),
        D::Boolean
        | D::Decimal128(..)
        | D::Float32
        | D::Float64
        | D::Date32
        | D::Timestamp(..)
        | D::Time64(TimeUnit::Microsecond)
        | D::Interval(IntervalUnit::MonthDayNano)
        | D::Binary
        | D::LargeBinary
        | D::BinaryView => true,
        other => other.is_integer(),
    }
}

/// Types whose texts are not Arrow's.
const fn writable(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Map(..) | DataType::Union(..) | DataType::Dictionary(..))
}

pub(super) fn character_length(field: &Field) -> Option<usize> {
    let pg_type = types::pg_type_of(field);
    if !matches!(pg_type.name, "varchar" | "bpchar") {
        return None;
    }
    types::character_length(pg_type.modifier).and_then(|length| usize::try_from(length).ok())
}

/// At most so many characters of each text, or exactly so many.
fn fit(values: &ArrayRef, length: usize, padded: bool) -> ArrayRef {
    let fitted = values.as_string::<i32>().iter().map(|text| {
        text.map(|text| match text.char_indices().nth(length) {
            Some((end, _)) => Cow::Borrowed(&text[..end]),
            None if padded => Cow::Owned(format!("{text:length$}")),
            None => Cow::Borrowed(text),
        })
    });
    Arc::new(fitted.collect::<StringArray>())
}

fn refusal(error: &ValueError) -> DataFusionError {
    let mut refusal = Error::new(error.sqlstate(), error.message());
    if let Some(detail) = error.detail() {
        refusal = refusal.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        refusal = refusal.with_hint(hint);
    }
    refusal.into()
}

impl ScalarUDFImpl for Conversion {
    fn name(&self) -> &str {
        types::pg_type_of(&self.target).name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = self.null_on_error || arguments.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(self.target.as_ref().clone().with_nullable(nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match arguments.args.first() {
            Some(ColumnarValue::Array(values)) => Ok(ColumnarValue::Array(self.convert(values)?)),
            Some(ColumnarValue::Scalar(value)) => {
                let converted = self.convert(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?))
            }
            None => Err(Error::internal("a cast has an operand").into()),
        }
    }
}
