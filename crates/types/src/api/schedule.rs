//! Changes that are to be asked for later.

use super::account::SuspendAccount;
use super::domain::AddDomain;
use crate::{Domain, JobId, ScheduleId, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change of an account that can be asked for ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "operation", deny_unknown_fields)]
pub enum ScheduledChange {
    /// Suspend the account.
    #[serde(rename = "accounts.suspend")]
    Suspend(SuspendAccount),
    /// Bring it back.
    #[serde(rename = "accounts.unsuspend")]
    Unsuspend {},
    /// Delete it.
    #[serde(rename = "accounts.delete")]
    Delete {},
    /// Add a domain.
    #[serde(rename = "domains.add")]
    AddDomain(AddDomain),
    /// Remove a domain.
    #[serde(rename = "domains.remove")]
    RemoveDomain {
        /// The domain.
        domain: Domain,
    },
}

impl ScheduledChange {
    /// The operation it asks for.
    pub fn operation(&self) -> &'static str {
        match self {
            ScheduledChange::Suspend(_) => "accounts.suspend",
            ScheduledChange::Unsuspend {} => "accounts.unsuspend",
            ScheduledChange::Delete {} => "accounts.delete",
            ScheduledChange::AddDomain(_) => "domains.add",
            ScheduledChange::RemoveDomain { .. } => "domains.remove",
        }
    }
}

/// Asks for a change at a time, or again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// The account.
    pub account: Username,
    /// What it is for, in words: at most 100 characters.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub name: String,
    /// Once, at this time.
    #[serde(default)]
    pub run_at: Option<Timestamp>,
    /// Again and again: five fields as in crontab(5), in UTC, e.g. `0 3 * * 1`.
    #[serde(default)]
    pub cron: Option<String>,
    /// The change.
    pub change: ScheduledChange,
}

/// A change that is asked for later. It runs with the rights that who asked for it has at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Identifier.
    pub id: ScheduleId,
    /// What it is for.
    pub name: String,
    /// The account.
    pub account: Username,
    /// The operation that it asks for.
    pub operation: String,
    /// When again; none: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// When next; none: never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Timestamp>,
    /// When last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Timestamp>,
    /// The job that came of it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<JobId>,
    /// Why it was refused last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Who asked.
    pub actor: String,
    /// When it was made.
    pub created_at: Timestamp,
}
