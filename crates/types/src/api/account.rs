//! Accounts.

use crate::content::Overrides;
use crate::manifest::{AccountStatus, ManifestSet};
use crate::{Domain, EmailAddress, PackageName, Revision, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An account to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// Name of the account and of its Linux user.
    pub username: Username,
    /// The account's first domain.
    pub primary_domain: Domain,
    /// The package that says what it may use; the default package if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// What it gets besides the package, or less than it.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
    /// Where its owner can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_email: Option<EmailAddress>,
    /// The reseller the account belongs to; yourself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Lets the account's owner log in to the panel with this password (8 to 256 characters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 256))]
    pub password: Option<String>,
}

/// An account to be made like another one: its package, what was set for it alone, how its PHP runs, and its domains under
/// new names. Files and databases are not copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneAccount {
    /// Name of the new account and of its Linux user.
    pub username: Username,
    /// The new account's first domain. Names under the other account's first domain become names under this one.
    pub primary_domain: Domain,
    /// New names for further domains. Those for which there is none are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub domains: Vec<NewName>,
    /// Where the new account's owner can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_email: Option<EmailAddress>,
    /// The reseller the new account belongs to; that of the other account if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Lets the new account's owner log in to the panel with this password (8 to 256 characters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 256))]
    pub password: Option<String>,
}

/// A domain and the name that it gets in a clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    /// The domain of the account that is cloned.
    pub from: Domain,
    /// Its name in the clone.
    pub to: Domain,
}

/// A reason for a suspension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SuspendAccount {
    /// Why, in words; shown to the account's owner.
    #[schemars(length(max = 200))]
    pub reason: Option<String>,
}

/// What the index knows of an account, beyond the manifest's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// A job is creating it.
    Provisioning,
    /// In use.
    Active,
    /// Suspended.
    Suspended,
    /// A job is deleting it.
    Deleting,
}

impl AccountState {
    /// The name used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountState::Provisioning => "provisioning",
            AccountState::Active => "active",
            AccountState::Suspended => "suspended",
            AccountState::Deleting => "deleting",
        }
    }
}

impl From<AccountStatus> for AccountState {
    fn from(status: AccountStatus) -> Self {
        match status {
            AccountStatus::Active => AccountState::Active,
            AccountStatus::Suspended => AccountState::Suspended,
        }
    }
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Name.
    pub username: Username,
    /// First domain.
    pub primary_domain: Domain,
    /// What it is now.
    pub state: AccountState,
    /// Package.
    pub package: PackageName,
    /// The version of the package that it was given.
    pub package_version: u32,
    /// Login of the reseller or administrator it belongs to.
    pub owner: String,
    /// Numeric user id, once created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// How many domains it has, aliases included.
    pub domains: u64,
    /// Where its owner can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_email: Option<EmailAddress>,
    /// Revision of its manifests: the ETag for `If-Match`. Absent while it is being created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An account with its manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub account: Account,
    /// The manifests, once there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<ManifestSet>,
}

/// Filters of the account list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AccountFilter {
    /// Only accounts whose name or primary domain contains this.
    pub search: Option<String>,
    /// Only accounts of this package.
    pub package: Option<PackageName>,
    /// Only accounts in this state.
    pub state: Option<AccountState>,
    /// Only accounts of this reseller or administrator.
    pub owner: Option<String>,
}
