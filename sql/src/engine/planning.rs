//! DataFusion's state under the settings that planning reads.
//!
//! A state holds maps of all functions: a copy of it costs as much as planning a small query. What does
//! not depend on the time of its statement is planned and run with one that all share.

use std::sync::Arc;

use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use parking_lot::Mutex;

/// Combinations of settings that are remembered; others are made anew.
const STATES_MAX: usize = 16;

/// What planning reads of a session's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanningSettings {
    pub(crate) time_zone: String,
    /// Rows.
    pub(crate) batch_size: i64,
    /// Streams; 0 is what the server has.
    pub(crate) target_partitions: i64,
}

impl PlanningSettings {
    /// Puts them into a state.
    pub(crate) fn set(self, state: &mut SessionState) {
        let options = state.config_mut().options_mut();
        let zone = self.time_zone;
        options.execution.time_zone = Some(if zone == "UTC" { "+00:00".to_owned() } else { zone });
        let size = usize::try_from(self.batch_size).ok();
        if let Some(size) = size.and_then(|rows| ConfigNonZeroUsize::try_new(rows).ok()) {
            options.execution.batch_size = size;
        }
        if let Ok(partitions @ 1..) = usize::try_from(self.target_partitions) {
            options.execution.target_partitions = partitions;
        }
    }
}

/// A state to plan with, and the context in which its plans run.
#[derive(Debug)]
pub(crate) struct PlanningState {
    pub(crate) state: SessionState,
    pub(crate) context: Arc<TaskContext>,
}

/// The states that sessions share, by their settings.
#[derive(Debug, Default)]
pub(super) struct PlanningStates(Mutex<Vec<(PlanningSettings, Arc<PlanningState>)>>);

impl PlanningStates {
    pub(super) fn get(
        &self,
        base: &SessionState,
        settings: &PlanningSettings,
    ) -> Arc<PlanningState> {
        if let Some((_, state)) = self.0.lock().iter().find(|(known, _)| known == settings) {
            return Arc::clone(state);
        }
        let mut state = base.clone();
        settings.clone().set(&mut state);
        let context = state.task_ctx();
        let state = Arc::new(PlanningState { state, context });
        let mut states = self.0.lock();
        if states.len() == STATES_MAX {
            states.remove(0);
        }
        states.push((settings.clone(), Arc::clone(&state)));
        state
    }
}
