//! Packages (hosting plans).

use crate::PackageName;
use crate::limits::{Features, Limits, PhpLimits};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may give a package to accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its owner and everybody above and below.
    #[default]
    Public,
    /// Its owner only.
    Private,
}

/// Where files of a package's accounts are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageClass {
    /// On the node's own disks.
    #[default]
    Local,
}

/// Security rules of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityPolicy {
    /// API requests per minute of the account's owner; absent means the node's default.
    pub api_requests_per_minute: Option<u32>,
    /// Panel sessions at the same time; absent means no limit.
    pub max_sessions: Option<u32>,
}

/// What a package consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageSpec {
    /// Name.
    pub name: PackageName,
    /// For people.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub description: String,
    /// Orders packages from small to large.
    #[serde(default)]
    pub tier: u16,
    /// Who may use it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Quotas and maxima.
    #[serde(default)]
    pub limits: Limits,
    /// What is switched on.
    #[serde(default)]
    pub features: Features,
    /// PHP bounds.
    #[serde(default)]
    pub php: PhpLimits,
    /// Where files are kept.
    #[serde(default)]
    pub storage: StorageClass,
    /// Security rules.
    #[serde(default)]
    pub security: SecurityPolicy,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// What it consists of.
    #[serde(flatten)]
    pub spec: PackageSpec,
    /// Login of the administrator or reseller it belongs to.
    pub owner: String,
    /// Counts its changes, from 1.
    pub version: u32,
    /// How many accounts use it (of those you may see).
    pub accounts: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
