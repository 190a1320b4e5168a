//! What a job carries, and what its steps leave behind for later ones.

use crate::change::Change;
use serde::{Deserialize, Serialize};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{OperationId, Revision};

/// The payload of a job: which workflow, and about what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "workflow", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Payload {
    /// A change of one account.
    Account {
        /// The change.
        change: Change,
        /// The revision that the caller saw (`If-Match`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<Revision>,
        /// For a job that takes back another: the operation whose permission it needs, which is the other's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
    },
    /// Nothing: what a job costs by itself, for benchmarks and tests.
    Nothing {},
}

/// The steps of every change of an account, in order.
///
/// `prepare` fixes from what to what, so that repeating `apply` after a crash asks for the same thing; `apply` converges the
/// machine; `verify` asks nginx.
pub(crate) const ACCOUNT_STEPS: &[&str] = &[PREPARE, APPLY, VERIFY];
pub(crate) const PREPARE: &str = "prepare";
pub(crate) const APPLY: &str = "apply";
pub(crate) const VERIFY: &str = "verify";

/// What `prepare` leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prepared {
    /// Names the request to the agent.
    pub(crate) operation: OperationId,
    /// From what.
    pub(crate) before: Option<ManifestSet>,
    /// To what.
    pub(crate) desired: Option<ManifestSet>,
}

/// What `apply` leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// The manifests as published.
    pub(crate) after: Option<ManifestSet>,
    /// What was changed.
    pub(crate) plan: wcp360_types::plan::Plan,
}
