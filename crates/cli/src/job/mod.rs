//! Jobs: following them to their end.

mod progress;
mod watch;

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

/// Nothing if a job ended well.
///
/// # Errors
/// How else it ended.
pub fn outcome(job: &Job) -> Result<(), Failure> {
    watch::outcome(job)
}
