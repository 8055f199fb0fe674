//! A warehouse on an object store: the same story as on a disk, on real servers of S3 and Azure.
//!
//! The servers are started by `tests/services`; where one cannot be had, its tests count as skipped.

mod cache;
mod locations;
mod place;
mod secrets;
mod story;
mod weather;
mod writers;

use std::path::Path;

use libtest_mimic::{Completion, Failed, Trial};

use self::place::{Kind, Place};
use crate::{run, skipped, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, kind) in [("s3", Kind::S3), ("azure", Kind::Azure), ("memory", Kind::Memory)] {
        trials.push(on(format!("stores::a_story_on_{name}"), kind, story::tell));
    }
    for (name, kind) in [("s3", Kind::S3), ("azure", Kind::Azure)] {
        trials.push(on(format!("stores::two_servers_on_{name}"), kind, story::two_servers));
    }
    for (name, kind) in [("s3", Kind::S3), ("azure", Kind::Azure), ("disk", Kind::Disk)] {
        trials.push(on(format!("stores::concurrent_writers_on_{name}"), kind, writers::race));
    }
    trials.push(on("stores::kill_loses_and_doubles_nothing_on_s3", Kind::S3, writers::kill));
    trials.push(on("stores::lost_answers_double_nothing", Kind::S3, weather::lost_answers));
    let name = "stores::concurrent_writers_survive_lost_answers";
    trials.push(on(name, Kind::S3, weather::race_with_lost_answers));
    trials.push(on("stores::files_are_loaded_in_bad_weather", Kind::S3, weather::bad_weather));
    trials.push(on(
        "stores::uploads_with_a_lost_answer_are_there",
        Kind::S3,
        weather::lost_uploads,
    ));
    let name = "stores::a_store_that_is_away_is_told_in_time";
    trials.push(on(name, Kind::S3, weather::a_store_that_is_away));
    trials.push(on("stores::the_cache_saves_requests", Kind::S3, cache::saves_requests));
    let name = "stores::locations_and_secrets_of_sql";
    trials.push(on(name, Kind::S3, secrets::locations_of_sql));
    let name = "stores::no_spelling_leads_out_of_a_bucket";
    trials.push(on(name, Kind::S3, locations::nothing_outside_a_bucket));
    let name = "stores::no_spelling_leads_out_of_a_folder";
    trials.push(trial(name, locations::nothing_outside_a_folder));
    trials
        .push(trial("stores::no_log_leads_out_of_its_table", locations::nothing_outside_by_a_log));
    trials
}

/// A test of one kind of store.
fn on<T>(name: impl Into<String>, kind: Kind, test: impl Fn(Place) -> T + Send + 'static) -> Trial
where
    T: Future<Output = ()>,
{
    Trial::ignorable_test(name, move || with_place(kind, &test))
}

fn with_place<T>(kind: Kind, test: &impl Fn(Place) -> T) -> Result<Completion, Failed>
where
    T: Future<Output = ()>,
{
    match Place::open(kind, Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Err(reason) => Ok(skipped(&reason)),
        Ok(place) => {
            run(test(place));
            Ok(Completion::Completed)
        }
    }
}
