//! An object store that fails on purpose, for tests and simulations of this and the other crates.
//!
//! Two ways to fail: at one chosen operation ([`FaultStore::fail_nth`]), or at random from a seed
//! ([`FaultStore::seeded`]), which prints with the store (`{store}`) and reproduces the run as long as
//! the operations come in the same order.
//!
//! Never: a fault changes what a successful operation does.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use parking_lot::Mutex;

/// Something that a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A put, or the completion of a multipart upload.
    Put,
    /// A part of a multipart upload, or its start.
    Part,
    /// A read, of a whole object or of ranges.
    Get,
    /// A listing.
    List,
    /// A deletion.
    Delete,
    /// A copy or rename.
    Copy,
}

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing happened.
    Before,
    /// An error, although it happened: the answer was lost.
    After,
    /// No error, but late.
    Delay(Duration),
    /// Of a conditional put: it is called taken (412, 409), although nothing is there. Of anything else,
    /// as [`Fault::Before`].
    Denied,
}

/// How often an operation fails, of 1,000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// [`Fault::Before`].
    pub before: u16,
    /// [`Fault::After`].
    pub after: u16,
    /// [`Fault::Delay`], for up to 50 ms.
    pub delay: u16,
    /// [`Fault::Denied`].
    pub denied: u16,
    /// [`Fault::Delay`], for up to 400 ms: the process slept.
    pub sleep: u16,
}

/// A wrapper that makes another store fail.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    rates: Rates,
    seed: u64,
    random: u64,
    counts: HashMap<Operation, u64>,
    chosen: Vec<(Operation, u64, Fault)>,
    /// Puts that are still carried out before nothing is.
    puts_left: Option<u64>,
}

impl FaultStore {
    /// A store that does not fail until it is told to.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Self::seeded(inner, 0, Rates::default())
    }

    /// A store that fails at random, the same way for the same seed.
    #[must_use]
    pub fn seeded(inner: Arc<dyn ObjectStore>, seed: u64, rates: Rates) -> Arc<Self> {
        let plan = Plan { rates, seed, random: seed, ..Plan::default() };
        Arc::new(Self { inner, plan: Arc::new(Mutex::new(plan)) })
    }

    /// Makes the `nth` operation of a kind from now on fail; the next one is 1.
    pub fn fail_nth(&self, operation: Operation, nth: u64, fault: Fault) {
        let mut plan = self.plan.lock();
        let at = plan.counts.get(&operation).copied().unwrap_or(0) + nth;
        plan.chosen.push((operation, at, fault));
    }

    /// Fails at random from now on, as a new store with this seed would.
    pub fn reseed(&self, seed: u64, rates: Rates) {
        let mut plan = self.plan.lock();
        (plan.seed, plan.random) = (seed, seed);
        plan.rates = rates;
    }

    /// After this many puts nothing is carried out or answered any more, as if the process had died.
    pub fn die_after_puts(&self, puts: u64) {
        self.plan.lock().puts_left = Some(puts);
    }

    /// No more faults from now on.
    pub fn heal(&self) {
        let mut plan = self.plan.lock();
        plan.rates = Rates::default();
        plan.chosen.clear();
        plan.puts_left = None;
    }

    /// How many operations of a kind were asked for.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.plan.lock().counts.get(&operation).copied().unwrap_or(0)
    }

    async fn run<T: Send>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let (alive, fault) = self.next(operation);
        carry_out(alive, fault, work).await
    }

    /// Whether the process lives, and how the operation fails.
    fn next(&self, operation: Operation) -> (bool, Option<Fault>) {
        let mut plan = self.plan.lock();
        (plan.is_alive_for(operation), plan.next(operation))
    }
}

async fn carry_out<T: Send>(
    alive: bool,
    fault: Option<Fault>,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    if !alive {
        std::future::pending::<()>().await;
    }
    run(fault, work).await
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults with seed {} over {}", self.plan.lock().seed, self.inner)
    }
}

impl Plan {
    fn is_alive_for(&mut self, operation: Operation) -> bool {
        let Some(left) = &mut self.puts_left else { return true };
        let alive = *left > 0;
        if operation == Operation::Put {
            *left = left.saturating_sub(1);
        }
        alive
    }

    fn next(&mut self, operation: Operation) -> Option<Fault> {
        let count = self.counts.entry(operation).or_default();
        *count += 1;
        let count = *count;
        if let Some(index) =
            self.chosen.iter().position(|(kind, at, _)| *kind == operation && *at == count)
        {
            return Some(self.chosen.swap_remove(index).2);
        }
        let Rates { before, after, delay, denied, sleep } = self.rates;
        if before + after + delay + denied + sleep == 0 {
            return None;
        }
        let draw = u16::try_from(self.random() % 1000).unwrap_or(0);
        if draw < before {
            Some(Fault::Before)
        } else if draw < before + after {
            Some(Fault::After)
        } else if draw < before + after + delay {
            Some(Fault::Delay(Duration::from_micros(self.random() % 50_000)))
        } else if draw < before + after + delay + denied {
            Some(Fault::Denied)
        } else if draw < before + after + delay + denied + sleep {
            Some(Fault::Delay(Duration::from_micros(self.random() % 400_000)))
        } else {
            None
        }
    }

    /// SplitMix64: small, and good enough to spread faults.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

async fn run<T: Send>(
    fault: Option<Fault>,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    match fault {
        None => work.await,
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            work.await
        }
        Some(Fault::Before | Fault::Denied) => Err(injected("nothing happened")),
        Some(Fault::After) => {
            work.await?;
            Err(injected("it happened, the answer was lost"))
        }
    }
}

fn injected(what: &str) -> Error {
    Error::Generic { store: "fault", source: format!("injected fault: {what}").into() }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let creates = opts.mode == PutMode::Create;
        let work = self.inner.put_opts(location, payload, opts);
        let (alive, fault) = self.next(Operation::Put);
        if alive && creates && fault == Some(Fault::Denied) {
            let (path, source) = (location.to_string(), "injected fault: denied".into());
            return Err(Error::AlreadyExists { path, source });
        }
        carry_out(alive, fault, work).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload =
            self.run(Operation::Part, self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FaultUpload { upload, plan: Arc::clone(&self.plan) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.run(Operation::Get, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.run(Operation::Get, self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        locations
            .then(move |location| {
                let (inner, fault) = (Arc::clone(&inner), plan.lock().next(Operation::Delete));
                async move {
                    let one = stream::iter([location]).boxed();
                    let gone = Error::Generic { store: "fault", source: "no answer".into() };
                    run(
                        fault,
                        async move { inner.delete_stream(one).next().await.unwrap_or(Err(gone)) },
                    )
                    .await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.plan.lock().next(Operation::List);
        faulty_list(fault, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.plan.lock().next(Operation::List);
        faulty_list(fault, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run(Operation::List, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run(Operation::Copy, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.run(Operation::Copy, self.inner.rename_opts(from, to, options)).await
    }
}

/// A listing breaks off at its start or, where the answer is lost, at its end.
fn faulty_list(
    fault: Option<Fault>,
    list: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    match fault {
        None => list,
        Some(Fault::Delay(time)) => stream::once(tokio::time::sleep(time))
            .flat_map(|()| stream::empty())
            .chain(list)
            .boxed(),
        Some(Fault::Before | Fault::Denied) => {
            stream::once(async { Err(injected("nothing listed")) }).boxed()
        }
        Some(Fault::After) => {
            list.chain(stream::once(async { Err(injected("the listing broke off")) })).boxed()
        }
    }
}

#[derive(Debug)]
struct FaultUpload {
    upload: Box<dyn MultipartUpload>,
    plan: Arc<Mutex<Plan>>,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = self.plan.lock().next(Operation::Part);
        Box::pin(run(fault, self.upload.put_part(data)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.plan.lock().next(Operation::Put);
        run(fault, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
