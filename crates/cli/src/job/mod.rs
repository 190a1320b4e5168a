//! Jobs, one or many: following them to their end.

mod bulk;
mod progress;
mod watch;

pub use bulk::{Followed, follow as follow_bulk, outcome as bulk_outcome};
pub use watch::{Follow, follow};

use crate::failure::Failure;
use serde_json::Value;
use wcp360_types::api::job::Job;

/// A job, from the API's answer.
///
/// # Errors
/// It is something else.
pub fn parse(value: &Value) -> Result<Job, Failure> {
    watch::parse(value)
}

/// What a job is about, for a line about it.
pub(crate) fn subject(job: &Job) -> &str {
    job.account.as_ref().map_or("-", |name| name.as_str())
}

/// Nothing if a job ended well.
///
/// # Errors
/// How else it ended.
pub fn outcome(job: &Job) -> Result<(), Failure> {
    watch::outcome(job)
}
