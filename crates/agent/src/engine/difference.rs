//! How a resource differs from what it should be, and why it can't be made so.

use crate::fsx::{Access, FsError};
use crate::nginx::NginxError;
use crate::services::ServiceError;
use crate::userdb::UserDbError;
use std::fmt::Write as _;
use wcp360_types::plan::PlanAction;

/// Why a resource could not be made what it should be.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KindError {
    /// A service's own check refuses it. Trying again does not help.
    #[error("{0}")]
    Rejected(String),
    /// Somebody else has the name. Trying again does not help.
    #[error("{0}")]
    Taken(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<FsError> for KindError {
    fn from(error: FsError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ServiceError> for KindError {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<NginxError> for KindError {
    fn from(error: NginxError) -> Self {
        match error {
            NginxError::Rejected(_) => Self::Rejected(error.to_string()),
            NginxError::Failed(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<UserDbError> for KindError {
    fn from(error: UserDbError) -> Self {
        match error {
            UserDbError::Taken(_) => Self::Taken(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// How a resource differs from what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) action: PlanAction,
    pub(crate) summary: String,
    pub(crate) diff: Option<String>,
}

impl Difference {
    pub(super) fn create(summary: impl Into<String>) -> Option<Self> {
        Some(Self { action: PlanAction::Create, summary: summary.into(), diff: None })
    }

    pub(super) fn update(summary: impl Into<String>) -> Option<Self> {
        Some(Self { action: PlanAction::Update, summary: summary.into(), diff: None })
    }

    pub(super) fn delete(summary: impl Into<String>) -> Option<Self> {
        Some(Self { action: PlanAction::Delete, summary: summary.into(), diff: None })
    }
}

pub(super) fn access_change(old: Access, new: Access) -> String {
    let mut out = String::new();
    if (old.uid, old.gid) != (new.uid, new.gid) {
        let _ = write!(out, "owner {}:{} → {}:{}", old.uid, old.gid, new.uid, new.gid);
    }
    if old.mode != new.mode {
        let comma = if out.is_empty() { "" } else { ", " };
        let _ = write!(out, "{comma}mode {:04o} → {:04o}", old.mode, new.mode);
    }
    out
}

pub(super) fn diff(name: &str, old: &str, new: &str) -> String {
    let (before, after) =
        (format!("a/{}", name.trim_start_matches('/')), format!("b/{}", name.trim_start_matches('/')));
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(&before, &after).to_string()
}
