//! The extended query protocol: order, errors, portions, pipelines.

use postgres_types::{ToSql, Type};

use super::*;

const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";

#[tokio::test]
async fn one_batch_is_answered_in_order() {
    let mut client = Client::connect(&server().await).await;
    let batch = [
        parse("s", "SELECT $1 + 1 AS n", &[20]),
        describe(b'S', "s"),
        bind("", "s", &[Some("41")], 1),
        describe(b'P', ""),
        execute("", 0),
        close(b'S', "s"),
        sync(),
    ];
    client.send(&batch.concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "1tT2TDC3Z", "{replies:?}");
    assert_eq!(replies[1].body, [&[0, 1][..], &20_u32.to_be_bytes()].concat());
    // Before Bind the format is not known and told as text, after it as asked for.
    assert_eq!(replies[2].body[replies[2].body.len() - 2..], [0, 0]);
    assert_eq!(replies[4].body[replies[4].body.len() - 2..], [0, 1]);
    assert_eq!(replies[5].row(), [Some(42_i64.to_be_bytes().to_vec())]);
    assert_eq!(replies[6].text(), "SELECT 1");
}

#[tokio::test]
async fn nothing_is_said_before_flush_or_sync() {
    let mut client = Client::connect(&server().await).await;
    client.send(&parse("", "SELECT 1", &[])).await;
    let early = timeout(Duration::from_millis(50), client.next()).await;
    assert!(early.is_err(), "{early:?}");
    client.send(&flush()).await;
    client.expect(b'1').await;
    client.send(&sync()).await;
    client.expect(b'Z').await;
}

#[tokio::test]
async fn after_an_error_everything_up_to_sync_is_skipped() {
    let mut client = Client::connect(&server().await).await;
    let batch = [
        parse("bad", "SELECT nothing_like_it", &[]),
        parse("good", "SELECT 1", &[]),
        bind("", "good", &[], 0),
        execute("", 0),
        sync(),
        parse("", "SELECT 2", &[]),
        sync(),
    ];
    client.send(&batch.concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "EZ");
    assert_eq!(sqlstate(&replies), "42703");
    assert_eq!(tags(&client.until_ready().await), "1Z");
    client.send(&[bind("", "good", &[], 0), sync()].concat()).await;
    assert_eq!(sqlstate(&client.until_ready().await), "26000");
    client.assert_usable().await;
}

#[tokio::test]
async fn pipelined_batches_are_each_answered() {
    let mut client = Client::connect(&server().await).await;
    let mut all = parse("s", "SELECT $1::int", &[]);
    for number in 0..200 {
        let number = number.to_string();
        all.extend([bind("", "s", &[Some(&number)], 0), execute("", 0), sync()].concat());
    }
    let (mut input, mut output) = tokio::io::split(client.stream);
    let writing = tokio::spawn(async move { output.write_all(&all).await.map(|()| output) });
    let mut answers = Vec::new();
    while answers.windows(6).filter(|bytes| bytes == b"Z\0\0\0\x05I").count() < 200 {
        let mut chunk = [0; 1024];
        let read = timeout(PATIENCE, input.read(&mut chunk)).await.unwrap().unwrap();
        answers.extend(&chunk[..read]);
    }
    let output = writing.await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&answers);
    assert!(text.find("\0\x03199").unwrap() > text.find("\0\x0242").unwrap());
    client = Client { stream: input.unsplit(output) };
    client.assert_usable().await;
}

#[tokio::test]
async fn a_portal_is_read_in_portions_and_computed_no_further() {
    let mut client = Client::connect(&server().await).await;
    client.query("BEGIN").await;
    client.send(&[parse("", ENDLESS, &[]), bind("p", "", &[], 0), execute("p", 2)].concat()).await;
    client.send(&sync()).await;
    assert_eq!(tags(&client.until_ready().await), "12DDsZ");
    let mut next = 3;
    // Far enough to cross from one batch into the next.
    for portion in [1, 10_000, 7] {
        client.send(&[execute("p", portion), sync()].concat()).await;
        for _ in 0..portion {
            let row = client.expect(b'D').await.row();
            assert_eq!(row, [Some(next.to_string().into_bytes())]);
            next += 1;
        }
        client.expect(b's').await;
        client.expect(b'Z').await;
    }
    client.send(&[close(b'P', "p"), execute("p", 1), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "3EZ");
    assert_eq!(sqlstate(&replies), "34000");
    assert_eq!(status(&replies), 'E');
    client.query("ROLLBACK").await;
    client.assert_usable().await;
}

#[tokio::test]
async fn a_declared_cursor_is_described_like_a_portal() {
    let mut client = Client::connect(&server().await).await;
    client.query("BEGIN").await;
    let declared = client.query("DECLARE \"My c\" CURSOR FOR SELECT 1::int AS one").await;
    assert_eq!(tags(&declared), "CZ", "{declared:?}");
    client.send(&[describe(b'P', "My c"), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "TZ", "{replies:?}");
    assert!(replies[0].body[2..].starts_with(b"one\0"));
    client.send(&[describe(b'P', "none"), sync()].concat()).await;
    assert_eq!(sqlstate(&client.until_ready().await), "34000");
}

#[tokio::test]
async fn a_limit_that_is_met_exactly_suspends_as_in_postgres() {
    let mut client = Client::connect(&server().await).await;
    client.query("BEGIN").await;
    let text = "SELECT value FROM generate_series(1, 3)";
    client.send(&[parse("", text, &[]), bind("p", "", &[], 0), execute("p", 3)].concat()).await;
    client.send(&[execute("p", 3), execute("p", 3), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "12DDDsCCZ");
    assert_eq!(replies[6].text(), "SELECT 0");
    assert_eq!(replies[7].text(), "SELECT 0");
}

#[tokio::test]
async fn portals_end_with_their_transaction_and_statements_do_not() {
    let mut client = Client::connect(&server().await).await;
    client.send(&[parse("s", "SELECT 1", &[]), bind("p", "s", &[], 0), sync()].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "12Z");
    client.send(&[execute("p", 0), sync()].concat()).await;
    assert_eq!(sqlstate(&client.until_ready().await), "34000");
    client.send(&[bind("p", "s", &[], 0), execute("p", 0), sync()].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "2DCZ");
}

#[tokio::test]
async fn an_open_portal_in_a_failed_transaction_gives_no_more_rows() {
    let mut client = Client::connect(&server().await).await;
    client.query("BEGIN").await;
    client.send(&[parse("", ENDLESS, &[]), bind("p", "", &[], 0), execute("p", 1)].concat()).await;
    client.send(&sync()).await;
    client.until_ready().await;
    client.send(&[parse("", "SELECT nothing_like_it", &[]), sync()].concat()).await;
    assert_eq!(status(&client.until_ready().await), 'E');
    client.send(&[execute("p", 1), sync()].concat()).await;
    assert_eq!(sqlstate(&client.until_ready().await), "25P02");
}

#[tokio::test]
async fn wrong_messages_have_the_codes_of_postgres() {
    let mut client = Client::connect(&server().await).await;
    client.send(&[parse("two", "SELECT $1::int, $2::text", &[23, 25]), sync()].concat()).await;
    client.until_ready().await;
    for (batch, expected) in [
        (parse("two", "SELECT 1", &[]), "42P05"),
        (parse("", "SELECT 1; SELECT 2", &[]), "42601"),
        (parse("", "selec 1", &[]), "42601"),
        (parse("", "SELECT $1", &[999_999]), "42704"),
        (bind("", "none", &[], 0), "26000"),
        (bind("", "two", &[Some("1")], 0), "08P01"),
        (bind("", "two", &[Some("x"), None], 0), "22P02"),
        (describe(b'S', "none"), "26000"),
        (describe(b'P', "none"), "34000"),
        (describe(b'X', "none"), "08P01"),
        (execute("none", 0), "34000"),
        (message(b'B', b"\0two\0\0\xff"), "08P01"),
    ] {
        client.send(&[batch, execute("", 0), sync()].concat()).await;
        let replies = client.until_ready().await;
        assert_eq!(tags(&replies), "EZ", "{replies:?}");
        assert_eq!(sqlstate(&replies), expected, "{replies:?}");
        client.assert_usable().await;
    }
}

#[tokio::test]
async fn an_error_in_bind_fails_the_transaction() {
    let mut client = Client::connect(&server().await).await;
    client.query("BEGIN").await;
    client.send(&[parse("", "SELECT $1::int", &[]), bind("", "", &[], 0), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!((sqlstate(&replies).as_str(), status(&replies)), ("08P01", 'E'));
}

#[tokio::test]
async fn nulls_keep_their_place() {
    let mut client = Client::connect(&server().await).await;
    let text = "SELECT $1::text, $2::bigint, $3::text";
    let parameters = [None, None, Some("c")];
    client.send(&[parse("", text, &[]), bind("", "", &parameters, 0)].concat()).await;
    client.send(&[execute("", 0), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(replies[2].row(), [None, None, Some(b"c".to_vec())]);
}

#[tokio::test]
async fn an_empty_statement_has_no_columns_and_an_answer_of_its_own() {
    let mut client = Client::connect(&server().await).await;
    let batch = [parse("", " ;", &[]), describe(b'S', ""), bind("", "", &[], 0), execute("", 0)];
    client.send(&[batch.concat(), sync()].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "1tn2IZ");
}

#[tokio::test]
async fn a_statement_without_rows_runs_once() {
    let mut client = Client::connect(&server().await).await;
    client
        .send(&[parse("", "BEGIN", &[]), bind("p", "", &[], 0), describe(b'P', "p")].concat())
        .await;
    client.send(&[execute("p", 0), execute("p", 0), sync()].concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(tags(&replies), "12nCEZ");
    assert_eq!(replies[3].text(), "BEGIN");
    assert_eq!((sqlstate(&replies).as_str(), status(&replies)), ("55000", 'E'));
}

#[tokio::test]
async fn a_driver_of_the_field_works() {
    let server = server().await;
    let client = Client::open(&server);
    let mut config = tokio_postgres::Config::new();
    config.user("ann").dbname("lake");
    let (driver, connection) =
        config.connect_raw(client.stream, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let types = [Type::INT8, Type::TEXT, Type::FLOAT8, Type::BOOL, Type::BYTEA];
    let text = "SELECT $1 + 1, $2, $3, $4, $5";
    let statement = driver.prepare_typed(text, &types).await.unwrap();
    let bytes = &[0_u8, 255][..];
    let parameters: [&(dyn ToSql + Sync); 5] = [&41_i64, &"grüße", &2.5_f64, &None::<bool>, &bytes];
    let row = driver.query_one(&statement, &parameters).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 42);
    assert_eq!(row.get::<_, &str>(1), "grüße");
    assert!((row.get::<_, f64>(2) - 2.5).abs() < f64::EPSILON);
    assert_eq!(row.get::<_, Option<bool>>(3), None);
    assert_eq!(row.get::<_, &[u8]>(4), [0, 255]);
    let missing = driver.query("SELECT * FROM nowhere", &[]).await.unwrap_err();
    assert_eq!(missing.code(), Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE));
}
