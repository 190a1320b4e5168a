//! Jobs.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{job, page};

const COLUMNS: &[&str] = &["id", "operation", "account", "state", "actor", "created_at"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("jobs.list", Get, "/jobs", "List jobs, newest first")
            .needs(P::JobsRead)
            .query::<job::JobFilter>()
            .list::<job::Job>()
            .columns(COLUMNS),
        op("jobs.show", Get, "/jobs/{job}", "Show a job with its steps")
            .needs(P::JobsRead)
            .gives::<job::Job>(200)
            .columns(COLUMNS),
        op("jobs.log", Get, "/jobs/{job}/log", "Show a job's log")
            .needs(P::JobsRead)
            .query::<job::JobLogQuery>()
            .gives::<page::Page<job::JobLogLine>>(200)
            .columns(&["at", "step", "message"]),
    ]
}
