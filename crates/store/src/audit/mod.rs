//! The audit trail: append-only, chained by hashes and signed (SEC-06).
//!
//! An entry is written to an inbox in the transaction of what it is about, so that neither exists without the other. Moments
//! later it gets its place in the chain; doing that one after the other, in batches, keeps changes from waiting for each
//! other.
//!
//! - `inbox`: recording and chaining;
//! - `search`: reading with filters, and in order;
//! - `checkpoints`: signatures, and what verifying needs.

mod checkpoints;
mod inbox;
mod search;
#[cfg(test)]
mod tests;

pub use inbox::NewAudit;
pub use search::Wanted;

use crate::StoreError;
use crate::db::Row;
use crate::row::columns;
use wcp360_types::api::audit::AuditEntry;

const ENTRY: &str = "SELECT seq, at, actor, on_behalf, source, action, target, owner_id, account_id, outcome, detail, \
                     before, after, request_id, job, previous, hash FROM audit";

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let c = columns("audit", row);
    Ok(AuditEntry {
        seq: c.count("seq")?,
        at: c.time("at")?,
        actor: c.text("actor")?,
        on_behalf: c.maybe_text("on_behalf")?,
        source: c.text("source")?,
        action: c.text("action")?,
        target: c.maybe_text("target")?,
        owner: c.maybe_parsed("owner_id")?,
        account: c.maybe_parsed("account_id")?,
        outcome: c.text("outcome")?,
        detail: c.maybe_text("detail")?,
        before: c.maybe_parsed("before")?,
        after: c.maybe_parsed("after")?,
        request_id: c.text("request_id")?,
        job: c.maybe_parsed("job")?,
        previous: c.text("previous")?,
        hash: c.text("hash")?,
    })
}
