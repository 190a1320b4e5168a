//! Sessions of people in a browser.

use crate::{Role, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A login with a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Login name.
    #[schemars(length(min = 1, max = 64))]
    pub username: String,
    /// Password.
    #[schemars(length(min = 1, max = 256))]
    pub password: String,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Login name.
    pub username: String,
    /// Role.
    pub role: Role,
    /// For a client: the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Username>,
    /// `session` or `token`.
    pub via: String,
    /// When the session or token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}
