//! What a job carries.

use crate::change::Change;
use serde::{Deserialize, Serialize};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{OperationId, Revision};

/// The steps of every change of an account, in order.
///
/// `prepare` fixes from what to what, so that repeating `apply` after a crash asks for the same thing; `apply` converges the
/// machine; `verify` asks nginx.
pub(crate) const STEPS: &[&str] = &[PREPARE, APPLY, VERIFY];
pub(crate) const PREPARE: &str = "prepare";
pub(crate) const APPLY: &str = "apply";
pub(crate) const VERIFY: &str = "verify";

/// The payload of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    /// The change.
    pub(crate) change: Change,
    /// The revision that the caller saw (`If-Match`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Revision>,
}

/// The output of `prepare`.
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

/// The output of `apply`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// The manifests as published.
    pub(crate) after: Option<ManifestSet>,
    /// What was changed.
    pub(crate) plan: wcp360_types::plan::Plan,
}
