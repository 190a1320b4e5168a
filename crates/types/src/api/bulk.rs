//! Changes of many accounts at once (TEN-05, TEN-07).

use super::account::AccountFilter;
use super::job::JobState;
use crate::{BulkId, FieldError, JobId, PackageName, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accounts in one bulk change, at most.
pub const MAX_BULK: usize = 10_000;

/// What is done to each account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Suspend it.
    Suspend,
    /// Bring it back.
    Unsuspend,
    /// Give it another package, or the newest version of its own.
    ChangePackage,
    /// Delete it.
    Delete,
}

impl BulkAction {
    /// The name used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            BulkAction::Suspend => "suspend",
            BulkAction::Unsuspend => "unsuspend",
            BulkAction::ChangePackage => "change_package",
            BulkAction::Delete => "delete",
        }
    }
}

/// A change of many accounts. Name them, or give a filter; each gets a job of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBulk {
    /// What is done to each account.
    pub action: BulkAction,
    /// The accounts, 10,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10_000))]
    pub accounts: Option<Vec<Username>>,
    /// All accounts that this fits; `{}` is every account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<BulkFilter>,
    /// For `change_package`: the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// For `change_package`: change accounts that have more of something than the package allows; what is there stays.
    #[serde(default)]
    pub keep_excess: bool,
    /// For `suspend`: why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub reason: Option<String>,
}

/// Which accounts: all conditions that are given have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BulkFilter {
    /// Accounts whose name or primary domain contains this.
    pub search: Option<String>,
    /// Accounts of this package.
    pub package: Option<PackageName>,
    /// Accounts in this state.
    pub state: Option<super::account::AccountState>,
    /// Accounts of this reseller or administrator.
    pub owner: Option<String>,
}

impl From<BulkFilter> for AccountFilter {
    fn from(filter: BulkFilter) -> Self {
        Self { search: filter.search, package: filter.package, state: filter.state, owner: filter.owner }
    }
}

/// Where a bulk change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkState {
    /// Jobs are being queued or worked on.
    Running,
    /// Every job is over, and every account was changed.
    Succeeded,
    /// Every job is over, and some accounts were not changed.
    Incomplete,
}

/// A bulk change and its progress. The numbers add up to `accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bulk {
    /// Identifier.
    pub id: BulkId,
    /// The operation that made it.
    pub operation: String,
    /// What is done to each account.
    pub action: BulkAction,
    /// For `change_package`: the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// Who asked for it.
    pub actor: String,
    /// Where it stands.
    pub state: BulkState,
    /// Accounts in all.
    pub accounts: u64,
    /// Accounts that have no job yet.
    pub pending: u64,
    /// Accounts whose jobs are not over.
    pub running: u64,
    /// Accounts that were changed.
    pub succeeded: u64,
    /// Accounts whose jobs failed, were taken back or cancelled.
    pub failed: u64,
    /// Accounts that got no job, because the change does not fit them.
    pub refused: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where one account of a bulk change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkItemState {
    /// It has no job yet.
    Pending,
    /// It has a job.
    Queued,
    /// The change does not fit it.
    Refused,
}

/// One account of a bulk change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkItem {
    /// The account.
    pub account: Username,
    /// Where it stands.
    pub state: BulkItemState,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Where its job stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<JobState>,
    /// Why it was refused, or why its job failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a bulk change would do to one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkPlanItem {
    /// The account.
    pub account: Username,
    /// Whether it would get a job.
    pub fits: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// What a bulk change would do: every account, with what does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkPlan {
    /// Accounts that would get a job.
    pub changes: u64,
    /// Accounts that would be refused.
    pub refused: u64,
    /// The accounts, by name.
    pub items: Vec<BulkPlanItem>,
}
