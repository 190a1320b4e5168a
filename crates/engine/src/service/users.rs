//! Administrators and resellers, and passwords.

use crate::caller::{Caller, Origin};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::identity::refuse_lasting;
use crate::place::is_local;
use crate::{identity, password};
use jiff::Timestamp;
use wcp360_store::users::StoredUser;
use wcp360_store::{StoreError, Tx};
use wcp360_types::api::reseller::ResellerLimits;
use wcp360_types::api::user::{CreateUser, SetPassword, User};
use wcp360_types::{Problem, Role, UserId};

impl Engine {
    /// Makes an administrator or reseller.
    ///
    /// # Errors
    /// A name that is taken or not one, a weak password, a role that the caller may not give; in a session, the caller's
    /// own password is not right.
    pub async fn create_user(
        &self,
        origin: &Origin,
        caller: &Caller,
        request: CreateUser,
    ) -> Result<User, EngineError> {
        refuse_lasting(caller)?;
        identity::check_login_name("username", &request.username)?;
        password::check("password", &request.password, &request.username)?;
        match request.role {
            Role::Reseller => {}
            Role::Admin if caller.role == Role::Root => {}
            Role::Admin => return Err(Problem::forbidden("Only root makes administrators.").into()),
            Role::Root | Role::Client => {
                let message = "use admin or reseller; a client comes with its account";
                return Err(Problem::invalid("role", message).into());
            }
        }
        if request.max_accounts.is_some() && request.role != Role::Reseller {
            return Err(Problem::invalid("max_accounts", "only a reseller has this limit; leave it out").into());
        }
        self.step_up(origin, caller, "current_password", request.current_password).await?;
        let now = Timestamp::now();
        let user = StoredUser {
            id: UserId::new(),
            username: request.username,
            role: request.role,
            account_id: None,
            suspended: false,
            password_hash: Some(password::hash(request.password).await?),
            max_accounts: request.max_accounts,
        };
        let stored = user.clone();
        let inserted = self.inner.db.write(move |tx| tx.insert_user(&stored, now)).await;
        inserted.map_err(|error| match error {
            StoreError::Taken(_) => {
                let message = format!("\"{}\" is taken; choose another name", user.username);
                EngineError::from(Problem::field_conflict("username", message))
            }
            other => other.into(),
        })?;
        Ok(User {
            id: user.id,
            username: user.username,
            role: user.role,
            account: None,
            max_accounts: user.max_accounts,
            limits: (user.role == Role::Reseller)
                .then(|| ResellerLimits { accounts: user.max_accounts, ..ResellerLimits::default() }),
            suspended: false,
            has_password: true,
            created_at: now,
        })
    }

    /// Removes an administrator or reseller who owns nothing.
    ///
    /// # Errors
    /// There is no such person for the caller, it is a client, root or the caller, or it owns something.
    pub async fn delete_user(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        let (caller, name) = (caller.clone(), name.to_owned());
        self.inner.db.write(move |tx| remove_user(tx, &caller, &name)).await
    }

    /// Sets a password: one's own, or that of somebody under the caller.
    ///
    /// # Errors
    /// There is no such person for the caller, the current password is wrong, the new one is weak.
    pub async fn set_password(
        &self,
        origin: &Origin,
        caller: &Caller,
        name: &str,
        request: SetPassword,
    ) -> Result<(), EngineError> {
        refuse_lasting(caller)?;
        let user = self.user_by_name(name).await?;
        let user = match user {
            Some(user) if user.id == caller.user_id => {
                // Who reads the installation's own token on the machine has forgotten the password, and is root there.
                let by_root = caller.role == Role::Root && caller.via == "token" && is_local(&origin.source);
                if !by_root {
                    self.confirm(origin, caller, "current_password", request.current_password).await?;
                }
                user
            }
            Some(user) if self.administers(caller, &user).await? => {
                self.step_up(origin, caller, "current_password", request.current_password).await?;
                user
            }
            _ => return Err(Problem::not_found("user", name).into()),
        };
        password::check("password", &request.password, &user.username)?;
        let hash = password::hash(request.password).await?;
        Ok(self.inner.db.write(move |tx| tx.set_password(user.id, &hash)).await?)
    }

    /// Whether somebody else is below a caller, within the tenant tree: the caller may set the password, see logins, sessions
    /// and tokens, and end them.
    pub(crate) async fn administers(&self, caller: &Caller, user: &StoredUser) -> Result<bool, EngineError> {
        Ok(match (caller.role, user.role) {
            (Role::Root, _) => true,
            (Role::Admin, Role::Reseller | Role::Client) => true,
            (Role::Reseller, Role::Client) => {
                let name = user.username.parse();
                let scope = caller.scope();
                match name {
                    Ok(name) => self.inner.db.read(move |tx| tx.account(scope, &name)).await?.is_some(),
                    Err(_) => false,
                }
            }
            _ => false,
        })
    }
}

fn remove_user(tx: &mut Tx<'_>, caller: &Caller, name: &str) -> Result<(), EngineError> {
    tx.lock_names()?;
    let user = tx.user_by_name(name)?.ok_or_else(|| Problem::not_found("user", name))?;
    let refused = match user.role {
        Role::Client => Some("A client goes with its account; delete that."),
        Role::Root => Some("Root can't be deleted."),
        Role::Admin if caller.role != Role::Root => Some("Only root deletes administrators."),
        _ if user.id == caller.user_id => Some("You can't delete yourself."),
        _ => None,
    };
    if let Some(detail) = refused {
        return Err(Problem::conflict(detail).into());
    }
    let (accounts, packages) = tx.possessions(user.id)?;
    if accounts + packages > 0 {
        let detail = format!("\"{name}\" owns {accounts} accounts and {packages} packages; delete those first.");
        return Err(Problem::conflict(detail).into());
    }
    Ok(tx.delete_user(user.id)?)
}
