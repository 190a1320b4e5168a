//! The audit trail.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Position in the trail, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// For whom, if the actor acts as somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf: Option<String>,
    /// From which address; `local` for the machine itself.
    pub source: String,
    /// The operation, e.g. `accounts.create`.
    pub action: String,
    /// What it was about, e.g. an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `started`, `accepted`, `succeeded`, `refused` or `failed`.
    pub outcome: String,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The revision of the account before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<crate::Revision>,
    /// The revision of the account after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<crate::Revision>,
    /// The request.
    pub request_id: String,
    /// The job, if one came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<crate::JobId>,
    /// SHA-256 over the entry before and this one, hexadecimal.
    pub hash: String,
}

/// Filters of the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditFilter {
    /// Only entries by this login.
    pub actor: Option<String>,
    /// Only entries of this operation.
    pub action: Option<String>,
    /// Only entries about this account.
    pub target: Option<String>,
}
