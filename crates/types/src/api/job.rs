//! Jobs.

use crate::plan::Plan;
use crate::{JobId, ScheduleId, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a job stands (ENG-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// A worker is at it.
    Running,
    /// Waits for its next attempt.
    Waiting,
    /// Done.
    Succeeded,
    /// Given up, and what it had done could not be taken back entirely: the log says what remains.
    Failed,
    /// Stopped on request before it changed anything.
    Cancelled,
    /// Given up; everything it had done was taken back.
    RolledBack,
}

impl JobState {
    /// The name used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Waiting => "waiting",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
            JobState::RolledBack => "rolled_back",
        }
    }

    /// Whether nothing more will happen to the job.
    pub fn is_final(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::RolledBack)
    }
}

impl std::str::FromStr for JobState {
    type Err = crate::ValueError;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        use JobState::*;
        [Queued, Running, Waiting, Succeeded, Failed, Cancelled, RolledBack]
            .into_iter()
            .find(|s| s.as_str() == value)
            .ok_or_else(|| crate::ValueError::new(format!("{value:?} is not a job state"), "use e.g. queued or failed"))
    }
}

/// One step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobStep {
    /// Position, from 0.
    pub index: u32,
    /// What it does, e.g. `apply`.
    pub name: String,
    /// Where it stands.
    pub state: JobState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl JobStep {
    /// A step that waits for its turn.
    pub fn queued(index: u32, name: &str) -> Self {
        Self {
            index,
            name: name.to_owned(),
            state: JobState::Queued,
            attempts: 0,
            started_at: None,
            finished_at: None,
            error: None,
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Identifier.
    pub id: JobId,
    /// The operation that made it, e.g. `accounts.create`.
    pub operation: String,
    /// The account it changes, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Username>,
    /// Where it stands.
    pub state: JobState,
    /// Who asked for it.
    pub actor: String,
    /// The request that made it.
    pub request_id: String,
    /// Its steps.
    pub steps: Vec<JobStep>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether somebody asked to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// While it waits: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// The job that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<JobId>,
    /// The job that takes or took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<JobId>,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleId>,
    /// What somebody found out about a failed job, and settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// What can be done with it now: `cancel`, `retry`, `undo`, `resolve`. Only in a single job's answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<JobAction>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last worked on.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What it changed, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Plan>,
}

/// What can be done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobAction {
    /// Stop it; of a failed one: take back what can be taken back.
    Cancel,
    /// Try it again, from the step that failed.
    Retry,
    /// Take back what it changed.
    Undo,
    /// Note that a failed one was settled by hand.
    Resolve,
}

/// Asks to take back what a job changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UndoJob {
    /// Do it although something is lost that can't be brought back; `dry_run` says what. Of a deletion whose files are not in
    /// the trash any more: bring the account back without them.
    pub accept_data_loss: bool,
}

/// Notes that a failed job was settled by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveJob {
    /// What was found out and done: 1 to 500 characters.
    #[schemars(length(min = 1, max = 500))]
    pub note: String,
}

/// What a step of a job left: manifests before and after, what was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobArtifact {
    /// Its name: that of the step.
    pub name: String,
    /// What it holds.
    pub content: serde_json::Value,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobLogLine {
    /// Position in the log, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The step it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What.
    pub message: String,
}

/// Filters of the job list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobFilter {
    /// Only jobs of this account.
    pub account: Option<Username>,
    /// Only jobs in this state.
    pub state: Option<JobState>,
    /// Only jobs of this operation, e.g. `accounts.create`.
    pub operation: Option<String>,
}

/// Which part of a job's log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobLogQuery {
    /// Only lines after this position.
    pub after: Option<u64>,
}

/// The answer to an accepted change: the job that does it, or with `dry_run` what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Accepted {
    /// `202`: the job.
    Job(Box<Job>),
    /// `200`, with `dry_run`: the plan.
    Plan(Plan),
}

/// Asks for the plan instead of the change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DryRun {
    /// Only say what would be done: resources, file diffs, services.
    pub dry_run: bool,
}
