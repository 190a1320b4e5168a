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
        op("jobs.artifacts", Get, "/jobs/{job}/artifacts", "Show what a job's steps left")
            .about("Manifests before and after, and what was changed with the differences of the files.")
            .needs(P::JobsRead)
            .gives::<page::Page<job::JobArtifact>>(200)
            .columns(&["name"]),
        op("jobs.cancel", Post, "/jobs/{job}/cancel", "Stop a job and take back what it did")
            .about("A job that waits is stopped at once, a running one before its next step. Of a failed job, what can be taken back is tried again.")
            .needs(P::JobsManage)
            .gives::<job::Job>(200)
            .columns(COLUMNS),
        op("jobs.retry", Post, "/jobs/{job}/retry", "Try a job again")
            .about("A failed job goes on from the step that failed; one that was cancelled or taken back is asked for anew.")
            .needs(P::JobsManage)
            .starts::<job::Job>(),
        op("jobs.undo", Post, "/jobs/{job}/undo", "Take back what a job changed")
            .about("Refused if the account was changed again since. Of a deletion the files come back too, with their owner, as long as the trash has them. With `dry_run` it says what would change, what comes back and what would be lost.")
            .needs(P::JobsManage)
            .maybe_body::<job::UndoJob>()
            .job(),
        op("jobs.resolve", Post, "/jobs/{job}/resolve", "Note that a failed job was settled by hand")
            .needs(P::JobsManage)
            .body::<job::ResolveJob>()
            .gives::<job::Job>(200)
            .columns(COLUMNS),
    ]
}
