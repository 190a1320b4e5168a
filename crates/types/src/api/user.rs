//! People who can log in.

use super::reseller::ResellerLimits;
use crate::{Role, UserId, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An administrator or reseller to be made. Clients come with their accounts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Login name: 3 to 32 characters a-z, 0-9, `.`, `_`, `-`, starting with a letter.
    #[schemars(length(min = 3, max = 32), extend("pattern" = "^[a-z][a-z0-9._-]{2,31}$"))]
    pub username: String,
    /// `admin` or `reseller`.
    pub role: Role,
    /// Password, 8 to 256 characters.
    #[schemars(length(min = 8, max = 256))]
    pub password: String,
    /// For a reseller: how many accounts it may have at most; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_accounts: Option<u64>,
    /// Your own current password: needed in a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub current_password: Option<String>,
}

/// Somebody who can log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Identifier.
    pub id: UserId,
    /// Login name.
    pub username: String,
    /// Role.
    pub role: Role,
    /// For a client: the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Username>,
    /// For a reseller: how many accounts it may have at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_accounts: Option<u64>,
    /// For a reseller: all that it may give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResellerLimits>,
    /// Whether it is suspended: a reseller by itself, a client with its account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Whether a password is set.
    pub has_password: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A new password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// Your own current password: needed in a session, and always when you change your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub current_password: Option<String>,
    /// The new password, 8 to 256 characters. All of the person's sessions end.
    #[schemars(length(min = 8, max = 256))]
    pub password: String,
}
