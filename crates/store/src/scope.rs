//! Whose data a caller may see.

use wcp360_types::{AccountId, UserId};

/// A part of the tenant tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything: root and administrators.
    All,
    /// What belongs to this reseller.
    Owner(UserId),
    /// One account.
    Account(AccountId),
}

impl Scope {
    /// A condition over the columns that hold the account's id and its owner's, with `$1` bound to
    /// [`Scope::key`]. All three forms use `$1`, so that statements can number their own parameters from `$2`.
    pub(crate) fn condition(&self, account: &str, owner: &str) -> String {
        match self {
            Scope::All => "$1 = ''".into(),
            Scope::Owner(_) => format!("{owner} = $1"),
            Scope::Account(_) => format!("{account} = $1"),
        }
    }

    /// The value of `$1`.
    pub(crate) fn key(&self) -> String {
        match self {
            Scope::All => String::new(),
            Scope::Owner(id) => id.to_string(),
            Scope::Account(id) => id.to_string(),
        }
    }
}
