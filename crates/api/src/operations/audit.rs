//! The audit trail.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::audit;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("audit.list", Get, "/audit", "Read the audit trail, newest first")
            .about(
                "A reseller sees what is about its accounts and what it did itself, a client what is about its account. All \
                 filters that are given must fit. A page can hold fewer entries than asked for, even none, although there \
                 are more: go on while there is a `next_cursor`.",
            )
            .needs(P::AuditRead)
            .query::<audit::AuditFilter>()
            .list::<audit::AuditEntry>()
            .columns(&["seq", "at", "actor", "source", "action", "target", "outcome"]),
        op("audit.export", Get, "/audit/export", "Take the audit trail away, oldest first")
            .about(
                "The whole trail comes with its keys and signed checkpoints, and `wcp360 audit verify --file` verifies it \
                 anywhere. With filters, or for a reseller, it is a selection: each entry can be checked, not that none is \
                 missing. It ends with a line that says so; without it, it was broken off.",
            )
            .needs(P::AuditExport)
            .query::<audit::AuditFilter>()
            .query::<audit::AuditExport>()
            .gives_media(&["application/x-ndjson", "text/csv"]),
        op("audit.key", Get, "/audit/key", "Show the public key that verifies the audit trail")
            .about("Keep it where the panel can't change it, and verify exports with `--key`.")
            .needs(P::AuditRead)
            .gives::<audit::AuditKey>(200)
            .columns(&["id", "public_key", "signed_through"]),
        op("audit.rotate-key", Post, "/audit/key", "Replace the key that signs the audit trail")
            .about("The old key signs the entry that names the new one, and is destroyed.")
            .needs(P::AuditManage)
            .gives::<audit::AuditKey>(200)
            .columns(&["id", "public_key", "signed_through"]),
        op("audit.verify", Get, "/audit/verify", "Verify the audit trail")
            .about(
                "Looks at every entry and every checkpoint and names the first entry that was altered, removed, reordered or \
                 rewritten, and a missing end. It reads everything: a million entries take some seconds. Only one \
                 verification runs at a time; another one is refused with 409.",
            )
            .needs(P::AuditManage)
            .gives::<audit::AuditVerification>(200),
        op("audit.compare", Get, "/audit/compare", "Compare the audit trail with the agent's own books")
            .about(
                "The agent, which is root, notes what it did; the trail says what the panel asked for. Names what the agent did \
                 without an entry, what the trail says was changed and the agent did not do, and what became something else. The \
                 agent remembers 30 days, and at most 50,000 operations. Only one comparison runs at a time; another one is \
                 refused with 409.",
            )
            .needs(P::AuditManage)
            .gives::<audit::AuditComparison>(200),
    ]
}
