//! Who is asking.

use jiff::Timestamp;
use wcp360_api::Permission;
use wcp360_store::Scope;
use wcp360_store::users::StoredUser;
use wcp360_types::{AccountId, Network, Role, SessionId, TokenId, UserId};

/// Somebody whose identity was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Identifier.
    pub user_id: UserId,
    /// Login name.
    pub username: String,
    /// Role.
    pub role: Role,
    /// For a client: the account.
    pub account_id: Option<AccountId>,
    /// For a token: the permissions it is limited to.
    pub limited_to: Option<Vec<Permission>>,
    /// `session`, `token` or `jwt`.
    pub via: &'static str,
    /// When the session, token or JWT ends.
    pub expires_at: Option<Timestamp>,
    /// For a session: the hash of its secret.
    pub session: Option<String>,
    /// For a session, or a JWT minted from one: its name.
    pub session_id: Option<SessionId>,
    /// For a token, or a JWT minted from one: its name.
    pub token_id: Option<TokenId>,
    /// For a token, or a JWT minted from one: the networks it may be used from.
    pub networks: Option<Vec<Network>>,
}

/// Where a request came from, for audit, log and limits.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Address of the client; `local` for the machine itself.
    pub source: String,
    /// Identifier of the request.
    pub request_id: String,
}

impl Caller {
    /// A caller from what the store knows of a person.
    pub(crate) fn new(user: &StoredUser, via: &'static str, expires_at: Option<Timestamp>) -> Self {
        Self {
            user_id: user.id,
            username: user.username.clone(),
            role: user.role,
            account_id: user.account_id,
            limited_to: None,
            via,
            expires_at,
            session: None,
            session_id: None,
            token_id: None,
            networks: None,
        }
    }

    /// Whether the caller holds a permission: by role, and for a token within its scopes.
    pub fn may(&self, permission: Permission) -> bool {
        permission.held_by(self.role) && self.limited_to.as_ref().is_none_or(|scopes| scopes.contains(&permission))
    }

    /// The part of the tenant tree the caller may see. A client without an account sees nothing.
    pub fn scope(&self) -> Scope {
        match self.role {
            Role::Root | Role::Admin => Scope::All,
            Role::Reseller => Scope::Owner(self.user_id),
            Role::Client => match self.account_id {
                Some(id) => Scope::Account(id),
                None => Scope::Owner(self.user_id),
            },
        }
    }

    /// Whether the caller administers the whole installation.
    pub fn is_admin(&self) -> bool {
        matches!(self.role, Role::Root | Role::Admin)
    }
}
