//! All tests of the server from outside, one binary, with a list of tests of its own: each `.slt`
//! file and each Python file is a test, and one that lacks its component counts as ignored.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets the unexpected must stop"
)]

mod backup;
mod clients;
mod copy;
mod cost;
mod docs;
mod faults;
mod heavy;
mod known_failures;
mod protocol;
mod shared;
mod sqllogic;
mod stores;
mod tidy;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::shared::Shared;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = Arc::new(Shared::default());
    let mut trials = tidy::trials();
    trials.extend(sqllogic::trials(&shared));
    trials.extend(protocol::trials(&shared));
    trials.extend(copy::trials(&shared));
    trials.extend(cost::trials());
    trials.extend(faults::trials());
    trials.extend(heavy::trials());
    trials.extend(backup::trials());
    trials.extend(stores::trials());
    trials.extend(clients::trials());
    trials.extend(docs::trials(&shared));
    let trials = known_failures::mark(trials);
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared.stop();
    conclusion.exit_code()
}

/// A test that awaits.
fn trial<T>(name: impl Into<String>, test: impl FnOnce() -> T + Send + 'static) -> Trial
where
    T: Future<Output = ()>,
{
    Trial::test(name, move || {
        run(test());
        Ok(())
    })
}

/// The same for a test that measures time, or that uses the whole machine: one of them at once.
fn trial_alone<T>(name: impl Into<String>, test: impl FnOnce() -> T + Send + 'static) -> Trial
where
    T: Future<Output = ()>,
{
    static ALONE: Mutex<()> = Mutex::new(());
    Trial::test(name, move || {
        // One that failed leaves nothing behind that the next would feel.
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        run(test());
        Ok(())
    })
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(test)
}

/// How a test that cannot have its component ends.
fn skipped(reason: &str) -> Completion {
    Completion::ignored_with(reason.lines().next().unwrap_or_default())
}

/// Long tests run when asked for.
fn slow() -> bool {
    tests::setting("TARN_TEST_SLOW").is_some()
}
