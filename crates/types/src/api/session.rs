//! Logins, sessions and what is minted from them (SEC-02).

use crate::{LoginId, Role, SessionId, Username};
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
    /// `session`, `token` or `jwt`.
    pub via: String,
    /// When the session, token or JWT ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A session that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Identifier.
    pub id: SessionId,
    /// Login of the person.
    pub username: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// The address it was begun from; `local` for the panel's own machine.
    pub source: String,
    /// What the browser said about itself, at most 200 characters; unusual ones are replaced by `?`.
    pub user_agent: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest. Without use it ends sooner.
    pub expires_at: Timestamp,
}

/// How an attempt to log in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginOutcome {
    /// A session was begun.
    Success,
    /// None was.
    Failure,
}

impl LoginOutcome {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            LoginOutcome::Success => "success",
            LoginOutcome::Failure => "failure",
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginFailure {
    /// The password was not right.
    Password,
    /// The account is suspended.
    Suspended,
}

impl LoginFailure {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            LoginFailure::Password => "password",
            LoginFailure::Suspended => "suspended",
        }
    }
}

/// One attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginRecord {
    /// Identifier.
    pub id: LoginId,
    /// Login of the person.
    pub username: String,
    /// When.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: LoginOutcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<LoginFailure>,
    /// From which address; `local` for the panel's own machine.
    pub source: String,
    /// What the browser said about itself, at most 200 characters; unusual ones are replaced by `?`.
    pub user_agent: String,
    /// Whether the person had not logged in from this address (IPv6: this /64) in the history before.
    pub new_address: bool,
    /// Whether the person had not logged in with this browser in the history before.
    pub new_agent: bool,
    /// Whether somebody should look at it: a success from a new address or with a new browser, after others.
    pub alert: bool,
}

/// Filters of the login history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LoginFilter {
    /// Only those that somebody should look at.
    pub alert: Option<bool>,
}

/// Where a JWT is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Requests to the API.
    #[default]
    Api,
    /// Opening a WebSocket.
    Ws,
}

impl Audience {
    /// As in JSON, and as the claim `aud` (RFC 7519).
    pub fn as_str(self) -> &'static str {
        match self {
            Audience::Api => "api",
            Audience::Ws => "ws",
        }
    }
}

/// A JWT to be minted from the session or token that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MintJwt {
    /// Where it is good for: `api` (if absent) or `ws`.
    pub audience: Audience,
    /// What it may be used for, as permission names; absent means everything that the session or token may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub scopes: Option<Vec<String>>,
    /// Seconds until it expires, 30 to 900; 300 if absent. It never outlives the session or token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 900))]
    pub expires_in_seconds: Option<u32>,
}

/// A JWT, shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MintedJwt {
    /// The JWT (RFC 7519, EdDSA): `Authorization: Bearer <secret>`.
    pub secret: String,
    /// Where it is good for.
    pub audience: Audience,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it expires.
    pub expires_at: Timestamp,
}
