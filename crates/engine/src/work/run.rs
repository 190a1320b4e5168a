//! A job at work: what its steps get, and how they end.

use crate::engine::Engine;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use wcp360_agent_proto::{AgentError, AgentErrorCode};
use wcp360_store::jobs::LeasedJob;
use wcp360_store::{StoreError, Tx};
use wcp360_types::Revision;
use wcp360_types::api::job::{JobState, JobStep};

/// Attempts of a step that fails in a way that may pass.
pub(crate) const MAX_ATTEMPTS: u32 = 5;
/// Attempts while the agent can't be reached: with pauses of 15 s at most, about a day.
const MAX_ATTEMPTS_UNREACHABLE: u32 = 6000;

/// Something to be written in the transaction that completes a step.
pub(crate) type Write = Box<dyn FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send>;

/// A job at work.
pub(crate) struct Run {
    pub(crate) job: LeasedJob,
    /// The steps as they stand; written down with each outcome.
    pub(crate) steps: Vec<JobStep>,
    /// What earlier steps left, by step.
    pub(crate) artifacts: HashMap<String, String>,
}

/// What a step that succeeded leaves.
#[derive(Default)]
pub(crate) struct Done {
    /// For later steps, as JSON.
    pub(crate) artifact: Option<String>,
    /// Lines for the job's log.
    pub(crate) notes: Vec<String>,
    /// Written together with the step's completion.
    pub(crate) write: Option<Write>,
}

/// How a step ended that did not succeed.
pub(crate) enum StepError {
    /// It may work later.
    Transient { message: String, attempts: u32 },
    /// It won't.
    Final(String),
    /// The job is not ours any more, or the database is away: stop, write nothing.
    Abandon(StoreError),
}

/// How what was done was taken back.
pub(crate) enum Unwound {
    /// Everything is as it was before.
    Back { notes: Vec<String>, write: Option<Write> },
    /// Not everything; why.
    Not(String),
}

/// What the audit entry of a job's end says besides.
#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) before: Option<Revision>,
    pub(crate) after: Option<Revision>,
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        StepError::Abandon(error)
    }
}

impl From<AgentError> for StepError {
    fn from(error: AgentError) -> Self {
        match error.code {
            AgentErrorCode::Unreachable => {
                StepError::Transient { message: error.message, attempts: MAX_ATTEMPTS_UNREACHABLE }
            }
            _ if error.is_transient() => StepError::Transient { message: error.message, attempts: MAX_ATTEMPTS },
            _ => StepError::Final(error.message),
        }
    }
}

impl Run {
    /// A leased job with what its earlier steps left.
    pub(crate) async fn resume(engine: &Engine, job: LeasedJob) -> Result<Self, StoreError> {
        let mut artifacts = HashMap::new();
        let done: Vec<String> =
            job.steps.iter().filter(|s| s.state == JobState::Succeeded).map(|s| s.name.clone()).collect();
        if !done.is_empty() {
            let id = job.id;
            artifacts = engine
                .inner
                .db
                .read(move |tx| {
                    let mut found = HashMap::new();
                    for name in done {
                        if let Some(content) = tx.artifact(id, &name)? {
                            found.insert(name, content);
                        }
                    }
                    Ok::<_, StoreError>(found)
                })
                .await?;
        }
        Ok(Self { steps: job.steps.clone(), job, artifacts })
    }

    /// The first step that has not succeeded.
    pub(crate) fn position(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.state != JobState::Succeeded)
    }

    /// Notes that a step is being tried. Written with what is written next.
    pub(crate) fn begin(&mut self, position: usize, now: Timestamp) {
        let step = &mut self.steps[position];
        step.state = JobState::Running;
        step.attempts += 1;
        step.started_at.get_or_insert(now);
    }

    /// Notes how a step ended.
    pub(crate) fn end(&mut self, position: usize, state: JobState, error: Option<&str>, now: Timestamp) {
        let step = &mut self.steps[position];
        step.state = state;
        step.error = error.map(str::to_owned);
        step.finished_at = state.is_final().then_some(now);
    }

    /// What an earlier step left.
    pub(crate) fn artifact<T: DeserializeOwned>(&self, step: &str) -> Result<T, StepError> {
        let text = self.artifacts.get(step);
        let text = text.ok_or_else(|| StepError::Final(format!("what the step \"{step}\" left is missing")))?;
        serde_json::from_str(text)
            .map_err(|e| StepError::Final(format!("what the step \"{step}\" left can't be read by this version: {e}")))
    }
}

/// Plain data as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}
