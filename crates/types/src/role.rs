//! Roles.

use serde::{Deserialize, Serialize};

/// What somebody is in the panel; what each may do is the matrix in `wcp360-api`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Owns the installation: everything, including other administrators.
    Root,
    /// Runs the host: all accounts, packages and settings.
    Admin,
    /// Sells hosting: own packages and the accounts under them.
    Reseller,
    /// Owns one account.
    Client,
}

impl Role {
    /// All roles, most powerful first.
    pub const ALL: [Role; 4] = [Role::Root, Role::Admin, Role::Reseller, Role::Client];

    /// The name used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Admin => "admin",
            Role::Reseller => "reseller",
            Role::Client => "client",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = crate::ValueError;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|r| r.as_str() == value).ok_or_else(|| {
            crate::ValueError::new(format!("{value:?} is not a role"), "use root, admin, reseller or client")
        })
    }
}
