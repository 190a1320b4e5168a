//! What resellers may give, and what they gave (TEN-06).

use crate::PackageName;
use crate::limits::{FeatureName, Limit, Limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an administrator gives to a reseller. Everything is optional: absent means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResellerLimits {
    /// Accounts.
    #[schemars(range(min = 0, max = 1_000_000_000_000u64))]
    pub accounts: Limit,
    /// Packages of its own.
    #[schemars(range(min = 0, max = 1_000_000_000_000u64))]
    pub packages: Limit,
    /// Names that its accounts have together, of all kinds: those that are in use, not those that packages allow.
    #[schemars(range(min = 0, max = 1_000_000_000_000u64))]
    pub domains: Limit,
    /// What the limits of all its accounts may come to together: what is given counts, used or not. Where there is such a
    /// maximum, no account can be unlimited.
    pub totals: Limits,
    /// What a single account, and so each package of its own, may be given.
    pub per_account: Limits,
    /// Features that its accounts and packages can't have.
    #[schemars(length(max = 32))]
    pub without: Vec<FeatureName>,
}

/// What somebody's accounts were given of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Given {
    /// The limit, e.g. `disk_mb`.
    pub name: String,
    /// The sum of what is given to accounts that have a limit.
    pub given: u64,
    /// Accounts without a limit.
    pub unlimited: u64,
    /// What may be given in all.
    pub total: Limit,
}

/// How many accounts there are of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Of what: a state, a package.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// What somebody's accounts use and were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Login.
    pub username: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// What it may give.
    pub limits: ResellerLimits,
    /// Accounts.
    pub accounts: u64,
    /// Accounts in each state.
    pub states: Vec<Count>,
    /// Accounts of each package.
    pub packages: Vec<Count>,
    /// Packages of its own.
    pub own_packages: u64,
    /// Names of its accounts, of all kinds, reserved ones included.
    pub domains: u64,
    /// Names of each kind.
    pub domain_kinds: Vec<Count>,
    /// What the accounts were given together.
    pub given: Vec<Given>,
}

/// A new owner for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetOwner {
    /// Login of the reseller or administrator it shall belong to.
    pub owner: String,
}

/// Which package accounts get that ask for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefaultPackage {
    /// The package.
    pub package: PackageName,
}

impl ResellerLimits {
    /// Everything that is out of range: the field and the remedy.
    pub fn problems(&self) -> Vec<crate::FieldError> {
        let groups = [("totals", &self.totals), ("per_account", &self.per_account)];
        let mut all: Vec<_> = groups
            .into_iter()
            .flat_map(|(group, limits)| {
                limits.out_of_range().into_iter().map(move |(field, error)| crate::FieldError {
                    field: format!("{group}.{field}"),
                    message: error.to_string(),
                })
            })
            .collect();
        for (field, value) in [("accounts", self.accounts), ("packages", self.packages), ("domains", self.domains)] {
            if value.is_some_and(|value| value > crate::limits::MAX_LIMIT) {
                let message = format!("use 0 to {}, or null for no limit", crate::limits::MAX_LIMIT);
                all.push(crate::FieldError { field: field.into(), message });
            }
        }
        if self.without.len() > 32 {
            all.push(crate::FieldError { field: "without".into(), message: "name every feature once".into() });
        }
        all
    }
}
