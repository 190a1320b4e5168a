//! The audit trail.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::audit;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("audit.list", Get, "/audit", "Read the audit trail, newest first")
            .needs(P::AuditRead)
            .query::<audit::AuditFilter>()
            .list::<audit::AuditEntry>()
            .columns(&["seq", "at", "actor", "source", "action", "target", "outcome"]),
    ]
}
