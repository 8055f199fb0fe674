//! A proxy between the server and an HTTP object store that loses, delays and refuses.
//!
//! A rule sees every request and says what becomes of it. What is lost is the answer: the request
//! has been carried out. Every request is noted, so that a test can count.
//!
//! Never: a request is changed, or carried out twice.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HEAD_BYTES_MAX: usize = 64 << 10;

/// What becomes of a request or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store is not asked, the answer is this status.
    Refused(u16),
    /// The store is not asked, the connection is reset.
    Reset,
    /// The store does it, the answer is this status.
    LostBehind(u16),
    /// The store does it, the connection is reset.
    LostByReset,
    /// The store does it, the answer never comes.
    LostForever,
    /// The store does it, the answer breaks off in its middle.
    Short,
    /// The store is asked later.
    Slow(Duration),
}

/// A request as the proxy saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, PUT, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Which bytes it asked for.
    pub range: Option<String>,
    /// Whose it is.
    pub authorization: String,
    /// How many came before it, of all kinds.
    pub number: u64,
}

impl Request {
    /// Whether it puts an entry of a Delta log.
    #[must_use]
    pub fn puts_log_entry(&self) -> bool {
        self.method == "PUT"
            && self.target.contains("/_delta_log/")
            && self.target.contains(".json")
    }
}

type Rule = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

struct State {
    upstream: SocketAddr,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Request>>,
}

/// A proxy on a port of its own. It ends with the process.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl FaultProxy {
    /// A proxy before `upstream` that does nothing to anything yet.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        let state =
            State { upstream, rule: Mutex::new(Box::new(|_| None)), seen: Mutex::default() };
        let state = Arc::new(state);
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        listener.set_nonblocking(true).expect("a listener can be asked without waiting");
        let shared = Arc::clone(&state);
        // A runtime of its own: it must serve whatever the runtime of the test is doing.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            let served = async move {
                let listener = TcpListener::from_std(listener).expect("the listener is sound");
                while let Ok((client, _)) = listener.accept().await {
                    let state = Arc::clone(&shared);
                    // A client that hung up is a part of the game.
                    tokio::spawn(async move { drop(serve(client, &state).await) });
                }
            };
            runtime.block_on(served);
        });
        Self { address, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on.
    pub fn set(&self, rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        *lock(&self.state.rule) = Box::new(rule);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.set(|_| None);
    }

    /// What was asked for since the last call.
    pub fn take_seen(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state.seen))
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One message: its head as text, and all of its bytes.
struct Message {
    head: String,
    bytes: Vec<u8>,
}

async fn serve(mut client: TcpStream, state: &State) -> std::io::Result<()> {
    let Some(message) = read(&mut client, false).await? else { return Ok(()) };
    let request = {
        let mut seen = lock(&state.seen);
        let number = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        let request = describe(&message.head, number);
        seen.push(request.clone());
        request
    };
    let fault = (*lock(&state.rule))(&request);
    match fault {
        Some(Fault::Refused(status)) => return answer(&mut client, status).await,
        Some(Fault::Reset) => return reset(&client),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let mut store = TcpStream::connect(state.upstream).await?;
    store.write_all(&closing(&message)).await?;
    let no_body = request.method == "HEAD";
    let answered = read(&mut store, no_body).await?;
    match fault {
        Some(Fault::LostBehind(status)) => answer(&mut client, status).await,
        Some(Fault::LostByReset) => reset(&client),
        Some(Fault::LostForever) => {
            // Until the client gives up.
            drop(client.read(&mut [0; 1]).await);
            Ok(())
        }
        _ => {
            let Some(answered) = answered else { return reset(&client) };
            let bytes = closing(&answered);
            let length = if fault == Some(Fault::Short) { bytes.len() / 2 } else { bytes.len() };
            client.write_all(&bytes[..length]).await?;
            client.shutdown().await
        }
    }
}

fn describe(head: &str, number: u64) -> Request {
    let mut words = head.split_whitespace();
    let mut next = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (next(), next());
    let authorization = header(head, "authorization").unwrap_or_default();
    Request { method, target, range: header(head, "range"), authorization, number }
}

/// The same message, after which the connection closes.
fn closing(message: &Message) -> Vec<u8> {
    let (first, rest) = message.head.split_once("\r\n").unwrap_or((&message.head, ""));
    let kept = rest
        .split("\r\n")
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"));
    let mut head = format!("{first}\r\n");
    kept.for_each(|line| head += &format!("{line}\r\n"));
    head += "Connection: close\r\n\r\n";
    let mut bytes = head.into_bytes();
    bytes.extend(&message.bytes[message.head.len()..]);
    bytes
}

fn header(head: &str, name: &str) -> Option<String> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// Reads a message; none if the other side closed before one began.
async fn read(stream: &mut TcpStream, no_body: bool) -> std::io::Result<Option<Message>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    if header(&head, "expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
    let chunked = header(&head, "transfer-encoding").is_some();
    let is_answer = head.starts_with("HTTP/");
    let without = no_body || head.starts_with("HTTP/1.1 204") || head.starts_with("HTTP/1.1 304");
    match length {
        _ if without => {}
        Some(length) => {
            while bytes.len() < end + length {
                if stream.read_buf(&mut bytes).await? == 0 {
                    break;
                }
            }
        }
        None if chunked => {
            while !bytes.ends_with(b"0\r\n\r\n") {
                if stream.read_buf(&mut bytes).await? == 0 {
                    break;
                }
            }
        }
        None if is_answer => {
            stream.read_to_end(&mut bytes).await?;
        }
        None => {}
    }
    Ok(Some(Message { head, bytes }))
}

async fn answer(client: &mut TcpStream, status: u16) -> std::io::Result<()> {
    let code = match status {
        429 | 503 => "SlowDown",
        409 => "ConditionalRequestConflict",
        _ => "InternalError",
    };
    let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
    let text = format!(
        "HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

fn reset(client: &TcpStream) -> std::io::Result<()> {
    client.set_zero_linger()
}
