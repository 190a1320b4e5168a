//! Changes that are asked for later.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::schedule;

const COLUMNS: &[&str] = &["id", "name", "account", "operation", "cron", "next_run", "last_job", "last_error"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("schedules.list", Get, "/schedules", "List scheduled changes")
            .needs(P::JobsRead)
            .list::<schedule::Schedule>()
            .columns(COLUMNS),
        op("schedules.show", Get, "/schedules/{schedule}", "Show a scheduled change")
            .needs(P::JobsRead)
            .gives::<schedule::Schedule>(200)
            .columns(COLUMNS),
        op("schedules.create", Post, "/schedules", "Schedule a change of an account")
            .about("Once at a time, or again and again as crontab(5) has it, in UTC. It runs with the rights that you have then; times that were missed while the panel was down come once.")
            .needs(P::JobsManage)
            .body::<schedule::CreateSchedule>()
            .gives::<schedule::Schedule>(201)
            .positional(&["account"])
            .columns(COLUMNS),
        op("schedules.delete", Delete, "/schedules/{schedule}", "Forget a scheduled change")
            .needs(P::JobsManage)
            .gives_nothing(),
    ]
}
