//! Single questions. Where PostgreSQL 15 answers over the same schema, its answer is the expected
//! one; the rest is what the server has and PostgreSQL has not: models, and reading lazily.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Field;

use super::fixture::Fixture;
use crate::error::Result;
use crate::pg_catalog::{self, relations, tables};
use crate::types;

async fn ask(fixture: &Fixture, sql: &str) -> Result<Vec<String>> {
    let rows = fixture.run(sql, &[]).await?.rows();
    let shown = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    Ok(rows
        .into_iter()
        .map(|row| row.into_iter().map(shown).collect::<Vec<_>>().join("|"))
        .collect())
}

async fn sqlstate(fixture: &Fixture, sql: &str) -> &'static str {
    ask(fixture, sql).await.map(|rows| rows.join("; ")).unwrap_err().sqlstate()
}

/// `SELECT` of each expression in PostgreSQL 15, with `search_path` as in the fixture.
#[tokio::test]
async fn expressions() {
    let fixture = Fixture::new().await;
    let cases = [
        // Casts to and from names of objects.
        ("'raw.tx'::regclass::text", "raw.tx"),
        ("'labels'::regclass::text", "labels"),
        ("'\"raw\".\"tx\"'::regclass::text", "raw.tx"),
        ("'pg_class'::regclass::oid", "1259"),
        ("'pg_catalog.pg_class'::regclass", "pg_class"),
        ("'information_schema.tables'::regclass::text", "information_schema.tables"),
        ("1259::regclass", "pg_class"),
        ("0::regclass", "-"),
        ("999999::regclass", "999999"),
        ("regclass 'pg_class'", "pg_class"),
        ("'1259'::regclass", "pg_class"),
        ("to_regclass('no_such') IS NULL", "t"),
        ("to_regclass('raw.tx')::text", "raw.tx"),
        ("'int4'::regtype::oid", "23"),
        ("'double precision'::regtype::oid", "701"),
        ("'numeric(12,2)'::regtype::text", "numeric"),
        ("'text[]'::regtype::oid", "1009"),
        ("23::regtype::text", "integer"),
        ("1043::oid::regtype", "character varying"),
        ("to_regtype('no_such') IS NULL", "t"),
        ("'array_in'::regproc::oid", "750"),
        ("750::regproc", "array_in"),
        ("'raw'::regnamespace::text", "raw"),
        ("'postgres'::regrole::text", "postgres"),
        ("pg_typeof(1::smallint)", "smallint"),
        ("pg_typeof('a'::text)::text", "text"),
        // Types by OID.
        ("format_type(23, NULL)", "integer"),
        ("format_type(1043, 24)", "character varying(20)"),
        ("format_type(1700, 786438)", "numeric(12,2)"),
        ("format_type(1184, 3)", "timestamp(3) with time zone"),
        ("format_type(1009, -1)", "text[]"),
        ("format_type(1042, NULL)", "character"),
        ("format_type(1042, -1)", "bpchar"),
        ("format_type(0, NULL)", "-"),
        ("format_type(99999, NULL)", "???"),
        ("format_type(NULL, 1)", "NULL"),
        // The session.
        ("current_schema", "public"),
        ("current_schema()", "public"),
        ("current_schemas(false)", "{public}"),
        ("current_schemas(true)", "{pg_catalog,public}"),
        ("current_database()", "tarn"),
        ("current_catalog", "tarn"),
        ("current_user", "postgres"),
        ("session_user", "postgres"),
        ("user", "postgres"),
        ("pg_catalog.pg_is_in_recovery()", "f"),
        ("current_setting('server_version_num')", "150000"),
        ("current_setting('no.such', true)", "NULL"),
        ("pg_encoding_to_char(6)", "UTF8"),
        ("pg_char_to_encoding('utf-8')", "6"),
        ("pg_my_temp_schema()", "0"),
        // Objects.
        ("pg_table_is_visible('labels'::regclass)", "t"),
        ("pg_table_is_visible('raw.tx'::regclass)", "f"),
        ("pg_table_is_visible(999999)", "NULL"),
        ("obj_description('raw.tx'::regclass)", "card transactions"),
        ("obj_description('raw.tx'::regclass, 'pg_class')", "card transactions"),
        ("obj_description('raw.tx'::regclass, 'pg_type')", "NULL"),
        ("obj_description('raw'::regnamespace, 'pg_namespace')", "rows as they came"),
        ("col_description('raw.tx'::regclass, 4)", "in euro"),
        ("col_description('raw.tx'::regclass, 1)", "NULL"),
        ("has_table_privilege('raw.tx', 'SELECT')", "t"),
        ("has_table_privilege('postgres', 'raw.tx', 'SELECT')", "t"),
        ("has_table_privilege(999999, 'SELECT')", "NULL"),
        ("has_schema_privilege('raw', 'USAGE')", "t"),
        ("pg_get_userbyid(3)", "unknown (OID=3)"),
        ("pg_get_indexdef(1)", "NULL"),
        // Sizes.
        ("pg_size_pretty(0::bigint)", "0 bytes"),
        ("pg_size_pretty(10239::bigint)", "10239 bytes"),
        ("pg_size_pretty(10240::bigint)", "10 kB"),
        ("pg_size_pretty(20000::bigint)", "20 kB"),
        ("pg_size_pretty(123456789::bigint)", "118 MB"),
        ("pg_size_pretty(-123456789::bigint)", "-118 MB"),
        ("pg_size_pretty(12345678901234)", "11 TB"),
        // Text.
        ("quote_ident('a')", "a"),
        ("quote_ident('A b')", "\"A b\""),
        ("quote_ident('select')", "\"select\""),
        ("quote_ident('a\"b')", "\"a\"\"b\""),
        ("quote_ident('1a')", "\"1a\""),
        ("quote_literal('it''s')", "'it''s'"),
        ("quote_literal(E'a\\\\b')", "E'a\\\\b'"),
        ("quote_nullable(NULL)", "NULL"),
        ("format('%s %I %L %%', 'a', 'B', 'c''d')", "a \"B\" 'c''d' %"),
        ("format('%2$s %1$s', 'a', 'b')", "b a"),
        ("format('%s', NULL)", ""),
        ("array_to_string(parse_ident('\"A\".b'), '|')", "A|b"),
        (
            "json_build_object('a', 1, 'b', 'x', 'c', NULL, 'd', true)",
            "{\"a\" : 1, \"b\" : \"x\", \"c\" : null, \"d\" : true}",
        ),
        // Arrays.
        ("array_upper(current_schemas(true), 1)", "2"),
        ("array_lower('{a}'::text[], 1)", "1"),
        ("array_upper('{}'::text[], 1)", "NULL"),
        ("'x' <> ALL ('{a,b}'::text[])", "t"),
        ("'a' <> ALL ('{a,b}'::text[])", "f"),
        ("'a' = ANY ('{a,b}'::text[])", "t"),
        ("3 = ANY ('{1,2,3}'::int[])", "t"),
        ("'a' = ANY (ARRAY[]::text[])", "f"),
        ("'public' = ANY (current_schemas(true))", "t"),
        ("(current_schemas(true))[1]", "pg_catalog"),
        ("ARRAY(SELECT nspname FROM pg_namespace WHERE nspname ~ '^r' ORDER BY 1)", "{raw}"),
        ("ARRAY(SELECT nspname FROM pg_namespace WHERE false)", "{}"),
        ("ARRAY(SELECT 'x' || v FROM unnest('{a,b}'::text[]) v)", "{xa,xb}"),
        ("coalesce(NULL::text[], '{}')", "{}"),
        // Operators.
        ("'abc' OPERATOR(pg_catalog.~) '^a'", "t"),
        ("'abc' OPERATOR(pg_catalog.!~) '^a' COLLATE pg_catalog.default", "f"),
        ("'a_' LIKE 'a/_' ESCAPE '/'", "t"),
        ("'ax' LIKE 'a/_' ESCAPE '/'", "f"),
        ("'a/x' LIKE 'a//' || '_' ESCAPE '/'", "t"),
        ("'pg_x' LIKE 'pg\\_%'", "t"),
        ("EXISTS (SELECT 1 FROM pg_class WHERE relname = 'tx')", "t"),
        ("EXISTS (SELECT 1 FROM pg_class WHERE relname = 'none')", "f"),
        ("NOT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'none')", "t"),
        ("CASE WHEN EXISTS (SELECT 1) THEN 'a' ELSE 'b' END", "a"),
    ];
    for (expression, expected) in cases {
        let answer = ask(&fixture, &format!("SELECT {expression}")).await;
        assert_eq!(answer.unwrap(), [expected], "{expression}");
    }
}

/// PostgreSQL 15, over `schema.sql`.
#[tokio::test]
async fn subqueries() {
    let fixture = Fixture::new().await;
    let cases: [(&str, &[&str]); 9] = [
        (
            "SELECT relname, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'ts') FROM pg_class c \
             WHERE relname IN ('tx', 'labels') ORDER BY 1",
            &["labels|f", "tx|t"],
        ),
        (
            "SELECT relname FROM pg_class c WHERE relnamespace = (SELECT oid FROM pg_namespace n WHERE n.nspname = 'raw')",
            &["tx"],
        ),
        (
            "SELECT nspname, (SELECT relname FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND n.nspname <> 'raw') \
             FROM pg_namespace n WHERE nspname IN ('raw', 'public') ORDER BY 1",
            &["public|labels", "raw|NULL"],
        ),
        (
            "SELECT nspname, (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid) FROM pg_namespace n \
             WHERE nspname IN ('raw', 'features', 'pg_temp') ORDER BY 1",
            &["features|1", "raw|1"],
        ),
        (
            "SELECT a.attname, (SELECT c.collname FROM pg_collation c, pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid \
             AND a.attcollation = t.typcollation) FROM pg_attribute a WHERE attrelid = 'raw.tx'::regclass AND attnum IN (2, 3) ORDER BY attnum",
            &["user_id|NULL", "merchant|default"],
        ),
        (
            "SELECT nspname, ARRAY(SELECT relname FROM pg_class c WHERE c.relnamespace = n.oid AND relkind <> 'i' ORDER BY 1) FROM pg_namespace n \
             WHERE nspname IN ('raw', 'public') ORDER BY 1",
            &["public|{labels}", "raw|{tx}"],
        ),
        (
            "SELECT nspname, (SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute a, pg_class c WHERE a.attrelid = c.oid \
             AND c.relnamespace = n.oid AND a.attnum > length(n.nspname)) FROM pg_namespace n WHERE nspname IN ('raw', 'features') ORDER BY 1",
            &["features|NULL", "raw|amount,ts,day,tags,payload,ref"],
        ),
        ("SELECT 1 WHERE (1, 'a') IN (SELECT 1, 'a')", &["1"]),
        ("SELECT relname FROM pg_class WHERE (relname, relkind) IN (SELECT 'tx', 'r')", &["tx"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(ask(&fixture, sql).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_an_error() {
    let fixture = Fixture::new().await;
    let cases = [
        ("SELECT 'no_such'::regclass", "42P01"),
        ("SELECT 'raw.no_such'::regclass", "42P01"),
        ("SELECT 'no_such'::regtype", "42704"),
        ("SELECT 'no_such'::regproc", "42883"),
        ("SELECT 'no_such'::regnamespace", "3F000"),
        ("SELECT has_table_privilege('no_such', 'SELECT')", "42P01"),
        ("SELECT current_setting('no_such')", "42704"),
        ("SELECT * FROM pg_no_such", "42P01"),
        ("SELECT * FROM pg_catalog.pg_cast", "42P01"),
        ("SELECT * FROM information_schema.sql_features", "42P01"),
    ];
    for (sql, expected) in cases {
        assert_eq!(sqlstate(&fixture, sql).await, expected, "{sql}");
    }
}

/// PostgreSQL 15, over `schema.sql`.
#[tokio::test]
async fn information_schema_describes_columns() {
    let fixture = Fixture::new().await;
    let sql = "SELECT column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, \
        character_octet_length, numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision, udt_name, \
        is_generated, is_updatable FROM information_schema.columns WHERE table_schema = 'SCHEMA' AND table_name = 'TABLE' ORDER BY ordinal_position";
    let of = |schema: &str, table: &str| sql.replace("SCHEMA", schema).replace("TABLE", table);
    let tx = [
        "tx_id|1|NULL|NO|bigint|NULL|NULL|64|2|0|NULL|int8|NEVER|YES",
        "user_id|2|NULL|YES|bigint|NULL|NULL|64|2|0|NULL|int8|NEVER|YES",
        "merchant|3|NULL|YES|character varying|20|80|NULL|NULL|NULL|NULL|varchar|NEVER|YES",
        "amount|4|0|YES|numeric|NULL|NULL|12|10|2|NULL|numeric|NEVER|YES",
        "ts|5|NULL|NO|timestamp with time zone|NULL|NULL|NULL|NULL|NULL|6|timestamptz|NEVER|YES",
        "day|6|NULL|YES|date|NULL|NULL|NULL|NULL|NULL|0|date|NEVER|YES",
        "tags|7|NULL|YES|ARRAY|NULL|NULL|NULL|NULL|NULL|NULL|_text|NEVER|YES",
        "payload|8|NULL|YES|jsonb|NULL|NULL|NULL|NULL|NULL|NULL|jsonb|NEVER|YES",
        "ref|9|NULL|YES|uuid|NULL|NULL|NULL|NULL|NULL|NULL|uuid|NEVER|YES",
    ];
    assert_eq!(ask(&fixture, &of("raw", "tx")).await.unwrap(), tx);
    let labels = [
        "user_id|1|NULL|NO|bigint|NULL|NULL|64|2|0|NULL|int8|NEVER|YES",
        "at|2|NULL|NO|timestamp without time zone|NULL|NULL|NULL|NULL|NULL|3|timestamp|NEVER|YES",
        "is_fraud|3|false|YES|boolean|NULL|NULL|NULL|NULL|NULL|NULL|bool|NEVER|YES",
        "score|4|NULL|YES|real|NULL|NULL|24|2|NULL|NULL|float4|NEVER|YES",
        "code|5|NULL|YES|character|3|12|NULL|NULL|NULL|NULL|bpchar|NEVER|YES",
        "price|6|NULL|YES|double precision|NULL|NULL|53|2|NULL|NULL|float8|NEVER|YES",
        "n|7|NULL|YES|integer|NULL|NULL|32|2|0|NULL|int4|NEVER|YES",
        "k|8|NULL|YES|smallint|NULL|NULL|16|2|0|NULL|int2|NEVER|YES",
        "body|9|NULL|YES|bytea|NULL|NULL|NULL|NULL|NULL|NULL|bytea|NEVER|YES",
        "t|10|NULL|YES|time without time zone|NULL|NULL|NULL|NULL|NULL|6|time|NEVER|YES",
        "doc|11|NULL|YES|json|NULL|NULL|NULL|NULL|NULL|NULL|json|NEVER|YES",
        "name|12|NULL|YES|text|NULL|1073741824|NULL|NULL|NULL|NULL|text|NEVER|YES",
    ];
    assert_eq!(ask(&fixture, &of("public", "labels")).await.unwrap(), labels);
}

/// PostgreSQL 15, over `schema.sql`; OIDs in names of NOT NULL constraints are left out.
#[tokio::test]
async fn information_schema_describes_relations_and_constraints() {
    let fixture = Fixture::new().await;
    let cases: [(&str, &[&str]); 9] = [
        (
            "SELECT table_schema, table_name, table_type, is_insertable_into FROM information_schema.tables \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'tarn') ORDER BY 1, 2",
            &["processed|big|VIEW|YES", "public|labels|BASE TABLE|YES", "raw|tx|BASE TABLE|YES"],
        ),
        (
            "SELECT schema_name FROM information_schema.schemata WHERE schema_name !~ '^pg_' ORDER BY 1",
            &["features", "information_schema", "processed", "public", "raw", "tarn"],
        ),
        (
            "SELECT constraint_type, is_deferrable, count(*) FROM information_schema.table_constraints WHERE table_schema = 'raw' GROUP BY 1, 2",
            &["CHECK|NO|3"],
        ),
        (
            "SELECT constraint_name, check_clause FROM information_schema.check_constraints WHERE constraint_name = 'amount_ok'",
            &["amount_ok|((amount >= 0))"],
        ),
        (
            "SELECT table_name, column_name, constraint_name FROM information_schema.constraint_column_usage WHERE table_schema = 'raw'",
            &["tx|amount|amount_ok"],
        ),
        ("SELECT * FROM information_schema.key_column_usage", &[]),
        ("SELECT table_name, view_name FROM information_schema.view_table_usage", &["tx|big"]),
        (
            "SELECT data_type, udt_name, dtd_identifier FROM information_schema.element_types WHERE object_name = 'tx'",
            &["text|text|a7"],
        ),
        (
            "SELECT character_set_name, default_collate_name FROM information_schema.character_sets",
            &["UTF8|C"],
        ),
    ];
    for (sql, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|row| (*row).to_owned()).collect();
        // A view cannot be written to, unlike PostgreSQL's simple views.
        let expected: Vec<String> =
            expected.into_iter().map(|row| row.replace("big|VIEW|YES", "big|VIEW|NO")).collect();
        assert_eq!(ask(&fixture, sql).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_model_is_a_function() {
    let fixture = Fixture::with_model().await;
    let functions = "SELECT n.nspname, p.proname, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), l.lanname, \
        obj_description(p.oid, 'pg_proc') FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
        JOIN pg_language l ON l.oid = p.prolang WHERE n.nspname <> 'pg_catalog'";
    assert_eq!(
        ask(&fixture, functions).await.unwrap(),
        ["features|fraud|real|amount real, n_7d real|model|scores"]
    );
    let types = "SELECT proargtypes, prorettype, proargnames, pronargs FROM pg_proc WHERE proname = 'fraud'";
    assert_eq!(ask(&fixture, types).await.unwrap(), ["700 700|700|{amount,n_7d}|2"]);
    let routines = "SELECT routine_schema, routine_name, routine_type, data_type FROM information_schema.routines";
    assert_eq!(ask(&fixture, routines).await.unwrap(), ["features|fraud|FUNCTION|real"]);
    let parameters = "SELECT ordinal_position, parameter_mode, parameter_name, data_type FROM information_schema.parameters ORDER BY 1";
    assert_eq!(ask(&fixture, parameters).await.unwrap(), ["1|IN|amount|real", "2|IN|n_7d|real"]);
    assert_eq!(
        ask(&fixture, "SELECT 'features.fraud'::regproc").await.unwrap(),
        ["features.fraud"]
    );
    // A model is no relation.
    assert_eq!(
        ask(&fixture, "SELECT count(*) FROM pg_class WHERE relname = 'fraud'").await.unwrap(),
        ["0"]
    );
}

#[tokio::test]
async fn the_server_lists_its_own_functions() {
    let fixture = Fixture::new().await;
    let named = "SELECT prokind, pronargs FROM pg_proc WHERE proname IN ('pg_get_viewdef', 'count') GROUP BY 1, 2 ORDER BY 1, 2";
    let rows = ask(&fixture, named).await.unwrap();
    assert!(
        rows.contains(&"f|1".to_owned()) && rows.iter().any(|row| row.starts_with("a|")),
        "{rows:?}"
    );
    let twice = "SELECT oid FROM pg_proc GROUP BY oid HAVING count(*) > 1";
    assert_eq!(ask(&fixture, twice).await.unwrap(), [] as [&str; 0]);
}

/// Every OID that a column of a catalog points with is found where it points.
#[tokio::test]
async fn references_between_catalogs_hold() {
    let fixture = Fixture::with_model().await;
    let references = [
        ("pg_class", "relnamespace", "pg_namespace"),
        ("pg_class", "relowner", "pg_authid"),
        ("pg_class", "relam", "pg_am"),
        ("pg_attribute", "attrelid", "pg_class"),
        ("pg_attribute", "atttypid", "pg_type"),
        ("pg_attribute", "attcollation", "pg_collation"),
        ("pg_constraint", "conrelid", "pg_class"),
        ("pg_attrdef", "adrelid", "pg_class"),
        ("pg_namespace", "nspowner", "pg_authid"),
        ("pg_type", "typelem", "pg_type"),
        ("pg_type", "typarray", "pg_type"),
        ("pg_type", "typinput", "pg_proc"),
        ("pg_type", "typreceive", "pg_proc"),
        ("pg_type", "typcollation", "pg_collation"),
        ("pg_proc", "prolang", "pg_language"),
        ("pg_proc", "prorettype", "pg_type"),
        ("pg_proc", "pronamespace", "pg_namespace"),
        ("pg_rewrite", "ev_class", "pg_class"),
        ("pg_database", "dattablespace", "pg_tablespace"),
        ("pg_database", "datdba", "pg_authid"),
    ];
    for (table, column, target) in references {
        let sql = format!(
            "SELECT DISTINCT {column}::oid FROM {table} WHERE {column} <> 0 AND {column}::oid NOT IN (SELECT oid FROM {target})"
        );
        assert_eq!(
            ask(&fixture, &sql).await.unwrap(),
            [] as [&str; 0],
            "{table}.{column} -> {target}"
        );
    }
}

/// `reads` lists what was read, in the order of reading.
#[tokio::test]
async fn only_tables_that_are_asked_for_are_read() {
    let cases: [(&str, &[&str]); 7] = [
        ("SELECT relname FROM pg_class", &[]),
        ("SELECT * FROM information_schema.tables", &[]),
        ("SELECT attname FROM pg_attribute WHERE attrelid = 'raw.tx'::regclass", &["raw.tx"]),
        ("SELECT relchecks FROM pg_class WHERE oid = 'labels'::regclass", &["public.labels"]),
        (
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'raw' AND table_name = 'tx'",
            &["raw.tx"],
        ),
        (
            "SELECT column_name FROM information_schema.columns WHERE table_name IN ('tx', 'labels')",
            &["public.labels", "raw.tx"],
        ),
        ("SELECT attname FROM pg_attribute", &["features.user_7d", "public.labels", "raw.tx"]),
    ];
    for (sql, expected) in cases {
        let fixture = Fixture::new().await;
        fixture.run_without_loading(sql).await.unwrap();
        let mut reads = fixture.tables.reads.lock().clone();
        reads.sort();
        assert_eq!(reads, expected, "{sql}");
    }
}

/// A table that cannot be read hides neither itself nor the others, unless it is asked for.
#[tokio::test]
async fn a_table_that_cannot_be_read_does_not_hide_the_others() {
    let fixture = Fixture::with_broken_table().await;
    let tables =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'raw' ORDER BY 1";
    assert_eq!(ask(&fixture, tables).await.unwrap(), ["broken", "tx"]);
    let columns =
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'raw'";
    assert_eq!(ask(&fixture, columns).await.unwrap(), ["tx"]);
    let named = "SELECT column_name FROM information_schema.columns WHERE table_name = 'broken'";
    assert_eq!(sqlstate(&fixture, named).await, "58030");
}

#[test]
fn every_system_relation_is_computed_or_declared_empty() {
    for relation in relations::all() {
        assert!(tables::source(relation).is_some(), "{}.{}", relation.schema, relation.name);
    }
    let known: BTreeSet<&str> = relations::all().iter().map(|relation| relation.name).collect();
    for (reason, names) in tables::EMPTY {
        let unknown: Vec<_> = names.iter().filter(|name| !known.contains(*name)).collect();
        assert!(unknown.is_empty(), "{reason}: {unknown:?}");
    }
}

/// `SELECT *` computes every column of every relation, so a column of a wrong name or type shows.
#[tokio::test]
async fn every_system_relation_can_be_read() {
    let fixture = Fixture::with_model().await;
    for relation in relations::all().iter().filter(|relation| relation.kind != "f") {
        let sql = format!("SELECT * FROM {}.{}", relation.schema, relation.name);
        let answer = fixture.run(&sql, &[]).await.unwrap();
        let names: Vec<_> =
            answer.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let expected: Vec<_> =
            relation.columns.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, expected, "{sql}");
    }
}

#[tokio::test]
async fn columns_keep_their_postgres_types() {
    let fixture = Fixture::new().await;
    let sql = "SELECT oid, relname, relkind, relacl, relnatts, 'a'::name, 'b'::\"char\", 1::oid FROM pg_class";
    let answer = fixture.run(sql, &[]).await.unwrap();
    let types: Vec<&str> = answer
        .schema
        .fields()
        .iter()
        .map(|field: &Arc<Field>| types::pg_type_of(field).name)
        .collect();
    assert_eq!(types, ["oid", "name", "char", "_aclitem", "int2", "name", "char", "oid"]);
}

/// What a rewrite does not touch, it leaves as it was written.
#[test]
fn ordinary_statements_are_not_rewritten() {
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};
    let statements = [
        "SELECT a, b AS c, count(*) FROM t JOIN u ON t.x = u.x WHERE a LIKE 'x%' GROUP BY a, b ORDER BY 1 LIMIT 3",
        "SELECT (SELECT max(x) FROM t WHERE t.y = u.y) FROM u",
        "SELECT (SELECT x FROM t WHERE t.y = u.y LIMIT 1) FROM u",
        "SELECT x::INT, y::TIMESTAMPTZ, '{1}'::JSON FROM s.t AS z",
        "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL)",
        "SELECT \"user\", tableoid FROM t",
        "UPDATE t SET a = a + 1 WHERE b IN (SELECT b FROM u)",
        "SELECT generate_series(1, 3)",
        "SELECT coalesce(payload, '{\"a\":1}') FROM t",
    ];
    for sql in statements {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let before = statement.clone();
        pg_catalog::rewrite(&mut statement);
        assert_eq!(statement.to_string(), before.to_string());
    }
}
