//! What the agent did, by its own books (SEC-06): who compares them with the audit trail finds a core that was by-passed, or
//! that kept something to itself.
//!
//! | method and path | request | answer |
//! |---|---|---|
//! | `POST /v1/operations` | [`OperationsRequest`] | [`OperationsPage`] |
//!
//! The agent remembers the last 30 days, and at most 50,000 operations.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wcp360_types::manifest::AuditReference;
use wcp360_types::{OperationId, Revision, Username};

/// Asks for operations, oldest first, page by page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsRequest {
    /// Go on behind this one; absent: from the oldest that is remembered.
    #[serde(default)]
    pub after: Option<OperationPosition>,
    /// How many, 1 to 2,000; absent: 500.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Where an operation stands in the agent's books: later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationPosition {
    /// The file.
    pub file: u64,
    /// The byte in it.
    pub byte: u64,
}

/// What an operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// An account was made.
    Create,
    /// It was changed.
    Change,
    /// It was deleted.
    Delete,
    /// It was noted whose the account is.
    Owner,
    /// Single differences were put back, accepted or ignored.
    Repair,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationOutcome {
    /// The machine is what was asked for.
    Done,
    /// The machine is what it was before.
    RolledBack,
    /// It has not ended yet.
    Open,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSummary {
    /// Where it stands.
    pub position: OperationPosition,
    /// Its name.
    pub operation: OperationId,
    /// The account.
    pub account: Username,
    /// What it was.
    pub kind: OperationKind,
    /// Who caused it, as core said.
    pub audit: AuditReference,
    /// The account's revision before; absent: there was no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Revision>,
    /// The revision that was asked for; absent: no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Revision>,
    /// How it ended.
    pub outcome: OperationOutcome,
    /// When it began.
    pub at: Timestamp,
}

/// One page of operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationsPage {
    /// Oldest first. Everything after the first one of the first page is remembered.
    pub operations: Vec<OperationSummary>,
    /// Go on behind this one; absent: that was all.
    pub next: Option<OperationPosition>,
}
