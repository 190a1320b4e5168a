//! Changes of many accounts at once.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::bulk;

pub(super) const COLUMNS: &[&str] =
    &["id", "operation", "state", "accounts", "pending", "running", "succeeded", "failed", "refused"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("bulk.start", Post, "/bulk", "Change many accounts at once")
            .about(
                "Suspends, brings back, deletes or gives a package to all accounts that are named or that a filter fits, \
                 10,000 at most: each gets a job of its own, and they run side by side. What does not fit an account is \
                 told with the account. With `dry_run`: what would become of each.",
            )
            .needs(P::AccountsManage)
            .body::<bulk::StartBulk>()
            .bulk()
            .positional(&["action"]),
        op("bulk.list", Get, "/bulk", "List changes of many accounts, newest first")
            .needs(P::BulkRead)
            .list::<bulk::Bulk>()
            .columns(COLUMNS),
        op("bulk.show", Get, "/bulk/{bulk}", "Show how far a change of many accounts is")
            .needs(P::BulkRead)
            .gives::<bulk::Bulk>(200)
            .columns(COLUMNS),
        op("bulk.accounts", Get, "/bulk/{bulk}/accounts", "List the accounts of a change of many, with their jobs")
            .needs(P::BulkRead)
            .list::<bulk::BulkItem>()
            .columns(&["account", "state", "job", "job_state", "error"]),
    ]
}
