//! Who is asking: first boot, logins, sessions, tokens and JWTs (PLT-04, SEC-02, SEC-03, SEC-04).

mod access;
mod jwt;
mod login;
mod mint;
mod secrets;
mod sessions;
mod setup;
mod tokens;
pub(crate) mod upkeep;
mod uses;

pub use login::Attempt;
pub(crate) use mint::Minting;
pub(crate) use uses::Uses;

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::SignedDuration;
use wcp360_store::users::StoredUser;
use wcp360_types::api::session::Identity;
use wcp360_types::{LoginName, Problem, Role};

/// Sessions of people who run the host end sooner.
const IDLE: SignedDuration = SignedDuration::from_mins(30);
const IDLE_ADMIN: SignedDuration = SignedDuration::from_mins(15);
const LONGEST: SignedDuration = SignedDuration::from_hours(12);
const LONGEST_ADMIN: SignedDuration = SignedDuration::from_hours(8);
/// Last use is written at most this often.
const TOUCH: SignedDuration = SignedDuration::from_mins(1);

/// Refuses login names with anything but `a-z 0-9 . _ -`, or of the wrong length.
///
/// # Errors
/// 422 about `field`.
pub fn check_login_name(field: &str, name: &str) -> Result<(), Problem> {
    LoginName::parse(name).map(drop).map_err(|error| Problem::invalid(field, error.remedy))
}

impl Engine {
    pub(crate) async fn user_by_name(&self, name: &str) -> Result<Option<StoredUser>, EngineError> {
        let name = name.to_owned();
        Ok(self.inner.db.read(move |tx| tx.user_by_name(&name)).await?)
    }

    /// What the caller is told about itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn identity(&self, caller: &Caller) -> Result<Identity, EngineError> {
        let account = match caller.role {
            Role::Client => caller.username.parse().ok(),
            _ => None,
        };
        Ok(Identity {
            username: caller.username.clone(),
            role: caller.role,
            account,
            via: caller.via.into(),
            expires_at: caller.expires_at,
        })
    }
}

/// How long a session may be idle, and how long it may last.
fn durations(role: Role) -> (SignedDuration, SignedDuration) {
    match role {
        Role::Root | Role::Admin => (IDLE_ADMIN, LONGEST_ADMIN),
        Role::Reseller | Role::Client => (IDLE, LONGEST),
    }
}

/// Refuses a caller whose rights are bounded to make a login: whoever has its password has all the rights of that login, from
/// everywhere and for ever.
pub(crate) fn refuse_lasting(caller: &Caller) -> Result<(), Problem> {
    let ends = caller.via != "session" && caller.expires_at.is_some();
    if caller.limited_to.is_some() || caller.networks.is_some() || ends {
        let detail =
            "A token with scopes, networks or an expiry, and a JWT, set no password; use another token, or a session.";
        return Err(Problem::forbidden(detail));
    }
    Ok(())
}

fn refuse_suspended(user: &StoredUser) -> Result<(), Problem> {
    if user.suspended {
        return Err(Problem::forbidden("This account is suspended. Please ask your provider."));
    }
    Ok(())
}
