//! Any order of messages, good and bad: the server answers each as the protocol says, or hangs up
//! with a reason; it never falls over.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What a client does next, and how many times the server must then be ready.
#[derive(Debug, Clone)]
struct Step {
    bytes: Vec<u8>,
    ready: usize,
}

fn step(bytes: Vec<u8>, ready: usize) -> Step {
    Step { bytes, ready }
}

fn text() -> impl Strategy<Value = &'static str> {
    select(&[
        "",
        ";",
        "SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT $1::int",
        "SELECT nothing_like_it",
        "selec",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SET TimeZone TO 'UTC'",
        "SELECT value FROM generate_series(1, 20)",
        "SELECT value FROM generate_series(1, 1000000000000) LIMIT 5",
    ])
}

fn name() -> impl Strategy<Value = &'static str> {
    select(&["", "a", "b"])
}

const TYPES: &[&[u32]] = &[&[], &[23], &[25, 20], &[999_999]];
const PARAMETERS: &[&[Option<&str>]] = &[&[], &[Some("1")], &[Some("x")], &[None, None]];

/// Messages that leave the stream in rhythm.
fn good_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        text().prop_map(|text| step(query(text), 1)),
        (name(), text(), select(TYPES))
            .prop_map(|(name, text, types)| step(parse(name, text, types), 0)),
        (name(), name(), select(PARAMETERS), 0..3_u16).prop_map(
            |(portal, statement, parameters, format)| {
                step(bind(portal, statement, parameters, format), 0)
            }
        ),
        (select(b"SPx"), name()).prop_map(|(target, name)| step(describe(target, name), 0)),
        (name(), 0..4_u32).prop_map(|(name, rows)| step(execute(name, rows), 0)),
        (select(b"SPx"), name()).prop_map(|(target, name)| step(close(target, name), 0)),
        Just(step(flush(), 0)),
        Just(step(sync(), 1)),
        select(b"dcf").prop_map(|tag| step(message(tag, b"1\tone\n\0"), 0)),
        Just(step(message(b'F', b"\0"), 1)),
        // A known message whose body is anything at all.
        (select(b"PBDEC"), any::<Vec<u8>>()).prop_map(|(tag, body)| step(message(tag, &body), 0)),
    ]
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

/// What the client does when it has sent everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Listen,
    HangUp,
}

/// Everything that the server says until it hangs up itself.
async fn answers(client: &mut Client, sent: Vec<u8>, then: Then) -> Vec<Reply> {
    let (stream, _) = tokio::io::duplex(1);
    let (input, mut output) = tokio::io::split(std::mem::replace(&mut client.stream, stream));
    let writing = tokio::spawn(async move {
        // The server may hang up before it has read everything.
        let _ = output.write_all(&sent).await;
        if then == Then::HangUp {
            let _ = output.shutdown().await;
        }
        output
    });
    let mut reader = FrameReader::new(input);
    reader.allow(usize::MAX);
    let mut replies = Vec::new();
    while let Ok(Some(frame)) = timeout(PATIENCE, reader.frame()).await.unwrap() {
        replies.push(Reply { tag: frame.tag, body: frame.body.to_vec() });
    }
    drop(writing.await);
    replies
}

fn assert_no_fault(replies: &[Reply]) {
    for reply in replies.iter().filter(|reply| reply.tag == b'E') {
        assert_ne!(reply.field(b'C').as_deref(), Some("XX000"), "{reply:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn good_frames_in_any_order_are_answered(steps in proptest::collection::vec(good_step(), 0..40)) {
        run(async {
            let server = server().await;
            let mut client = Client::connect(&server).await;
            let mut sent: Vec<u8> = steps.iter().flat_map(|step| step.bytes.clone()).collect();
            // A simple query ends no skipping, so a last Sync does; then the client leaves.
            sent.extend([sync(), message(b'X', b"")].concat());
            let replies = answers(&mut client, sent, Then::Listen).await;
            assert_no_fault(&replies);
            let fatal = replies.iter().any(|reply| {
                reply.tag == b'E' && reply.field(b'S').as_deref() == Some("FATAL")
            });
            assert!(!fatal, "{replies:?}");
            assert_eq!(replies.last().map(|reply| reply.tag), Some(b'Z'));
            let ready = replies.iter().filter(|reply| reply.tag == b'Z').count();
            let most = 1 + steps.iter().map(|step| step.ready).sum::<usize>();
            // What comes while the server skips to a Sync is passed over.
            let syncs = 1 + steps.iter().filter(|step| step.bytes[0] == b'S').count();
            assert!((syncs..=most).contains(&ready), "{ready} of {most}: {replies:?}");
            eventually("the session ends", || server.metrics.connections.get() == 0).await;
        });
    }

    #[test]
    fn any_bytes_end_with_a_reason_or_wait_for_more(
        steps in proptest::collection::vec(good_step(), 0..5),
        noise in any::<Vec<u8>>(),
    ) {
        run(async {
            let server = server().await;
            let mut other = Client::connect(&server).await;
            let mut client = Client::connect(&server).await;
            let mut sent: Vec<u8> = steps.iter().flat_map(|step| step.bytes.clone()).collect();
            sent.extend(&noise);
            let replies = answers(&mut client, sent, Then::HangUp).await;
            assert_no_fault(&replies);
            other.assert_usable().await;
            eventually("the session ends", || server.metrics.sessions.get() == 1).await;
        });
    }

    #[test]
    fn any_first_bytes_are_survived(noise in any::<Vec<u8>>()) {
        run(async {
            let server = server().await;
            let mut client = Client::open(&server);
            let replies = answers(&mut client, noise, Then::HangUp).await;
            assert_no_fault(&replies);
            Client::connect(&server).await.assert_usable().await;
        });
    }
}
