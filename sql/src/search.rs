//! `tarn.search('words')`: the objects and columns whose names, comments or tags hold all of these words.
//!
//! It is `tarn.objects` under a condition: [`rewrite`] makes it that.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast;

use crate::parser;
use crate::resolve::split_name;

/// The condition: what an object or a column is called and said to be, what it stands in, and the words.
const MATCHES: &str = "__tarn_matches";

/// Whether a function of this name is the search.
pub(crate) fn is_search(schema: Option<&str>, name: &str) -> bool {
    schema == Some("tarn") && name == "search"
}

/// What is searched for.
pub(crate) fn words(called: &ast::TableFunctionArgs) -> Option<&ast::Expr> {
    match &called.args[..] {
        [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(words))]
            if called.settings.is_none() =>
        {
            Some(words)
        }
        _ => None,
    }
}

/// The relation in place of the call, if the factor is one.
pub(crate) fn rewrite(factor: &mut ast::TableFactor) {
    let ast::TableFactor::Table { name, alias, args: Some(called), with_ordinality: false, .. } =
        &*factor
    else {
        return;
    };
    let Ok((schema, function)) = split_name(name) else { return };
    if !is_search(schema.as_deref(), &function) {
        return;
    }
    let Some(words) = words(called) else { return };
    let query = format!(
        "SELECT kind, object_schema, object_name, column_name, data_type, owner, comment FROM tarn.objects \
         WHERE {MATCHES}(concat_ws(' ', coalesce(column_name, object_name), comment, tags), \
         concat_ws(' ', object_schema, object_name, column_name, comment, tags), CAST({words} AS text))"
    );
    let Ok(subquery) = parser::parse_query(&query) else { return };
    let alias = alias.clone().unwrap_or_else(|| ast::TableAlias {
        explicit: true,
        name: ast::Ident::new("search"),
        columns: Vec::new(),
        at: None,
    });
    *factor =
        ast::TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
}

/// The condition, as a function.
pub(crate) fn function() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Utf8; 3], Volatility::Immutable);
    ScalarUDF::from(Matches { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Matches {
    signature: Signature,
}

impl ScalarUDFImpl for Matches {
    fn name(&self) -> &str {
        MATCHES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [own, all, words] = &arrays[..] else {
            return datafusion::common::internal_err!("a search has three texts");
        };
        let (own, all) = (own.as_string::<i32>(), all.as_string::<i32>());
        let words = words.as_string::<i32>();
        let found = (0..own.len()).map(|row| {
            let valid = own.is_valid(row) && all.is_valid(row) && words.is_valid(row);
            valid.then(|| matches(own.value(row), all.value(row), words.value(row)))
        });
        Ok(ColumnarValue::Array(Arc::new(found.collect::<BooleanArray>())))
    }
}

/// Whether every word is in `all`, and one at least in `own`: a column is not found because its table is.
fn matches(own: &str, all: &str, words: &str) -> bool {
    let (own, all, words) = (own.to_lowercase(), all.to_lowercase(), words.to_lowercase());
    let mut words = words.split_whitespace().peekable();
    words.peek().is_some()
        && words.clone().any(|word| own.contains(word))
        && words.all(|word| all.contains(word))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn every_word_is_there_and_one_in_the_thing_itself() {
        for (words, own, all, expected) in [
            ("delay", "dep_delay", "raw flights dep_delay", true),
            ("DELAY flights", "dep_delay minutes late", "raw flights dep_delay minutes late", true),
            ("flights", "dep_delay", "raw flights dep_delay", false),
            ("delay planes", "dep_delay", "raw flights dep_delay", false),
            ("straße", "Straße", "s STRASSE Straße", true),
            ("", "a", "a", false),
            ("  ", "a", "a", false),
        ] {
            assert_eq!(matches(own, all, words), expected, "{words:?} in {own:?}");
        }
    }
}
