//! Who is asking: first boot, passwords, sessions and tokens (PLT-04, SEC-02, SEC-03).

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::{self, ApiToken};
use crate::{password, service};
use jiff::{SignedDuration, Timestamp};
use wcp360_agent_proto::VerifyRoot;
use wcp360_api::Permission;
use wcp360_store::settings::{INITIALIZED, SETUP_TOKEN_HASH};
use wcp360_store::users::StoredUser;
use wcp360_types::api::session::{Identity, Login};
use wcp360_types::api::setup::{Setup, SetupDone};
use wcp360_types::api::token::{CreateToken, CreatedToken, Token};
use wcp360_types::{Problem, Role, TokenId, UserId};

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
    let clean = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if (3..=32).contains(&name.len()) && clean && name.as_bytes()[0].is_ascii_lowercase() {
        return Ok(());
    }
    let rule = "use 3 to 32 characters a-z, 0-9, \".\", \"_\" and \"-\", starting with a letter";
    Err(Problem::invalid(field, rule))
}

impl Engine {
    /// Whether the first administrator exists, by the database or by the agent's seal.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_initialized(&self) -> Result<bool, EngineError> {
        if self.inner.db.read(|tx| tx.setting(INITIALIZED)).await?.is_some() {
            return Ok(true);
        }
        Ok(self.inner.agent.node().await.is_ok_and(|node| node.system_initialized))
    }

    /// Puts a one-time setup token where the administrator finds it, while there is no administrator; closes the agent's
    /// bootstrap where a crash left it open.
    ///
    /// # Errors
    /// The database's, or the file can't be written.
    pub async fn prepare_setup(&self) -> Result<(), EngineError> {
        let file = &self.inner.settings.setup_token_file;
        if self.inner.db.read(|tx| tx.setting(INITIALIZED)).await?.is_some() {
            let _ = std::fs::remove_file(file);
            if self.inner.agent.node().await.is_ok_and(|node| !node.system_initialized) {
                self.inner.agent.seal_bootstrap().await?;
            }
            return Ok(());
        }
        let known = self.inner.db.read(|tx| tx.setting(SETUP_TOKEN_HASH)).await?;
        let written = std::fs::read_to_string(file).ok();
        if known.is_some() && known == written.map(|text| secret::hash(text.trim())) {
            return Ok(());
        }
        let token = secret::random_hex(24);
        write_private(file, &token).map_err(|error| {
            tracing::error!(%error, path = %file.display(), "the setup token can't be written");
            Problem::internal()
        })?;
        Ok(self.inner.db.write(move |tx| tx.set_setting(SETUP_TOKEN_HASH, &secret::hash(&token))).await?)
    }

    /// Creates the first administrator, once.
    ///
    /// # Errors
    /// 409 afterwards; 403 if neither token nor root's password is right.
    pub async fn set_up(&self, source: &str, request: Setup) -> Result<SetupDone, EngineError> {
        let closed = || Problem::conflict("The panel has been set up; setup is closed. Log in as an administrator.");
        if self.is_initialized().await? {
            return Err(closed().into());
        }
        check_login_name("username", &request.username)?;
        password::check("password", &request.password, &request.username)?;
        let now = Timestamp::now();
        self.refuse_if_locked(source, "setup", now)?;
        let proven = match (&request.setup_token, &request.root_password) {
            (Some(token), None) => {
                let known = self.inner.db.read(|tx| tx.setting(SETUP_TOKEN_HASH)).await?.unwrap_or_default();
                secret::equal(&known, &secret::hash(token.trim()))
            }
            (None, Some(password)) => {
                self.inner.agent.verify_root(&VerifyRoot { password: password.clone() }).await?.ok
            }
            _ => {
                let message = "give either the setup token or the password of the machine's root user";
                return Err(Problem::invalid("setup_token", message).into());
            }
        };
        if !proven {
            self.inner.guard.failed(source, "setup", now);
            let detail = "That is not the token in setup.token, or not root's password. Check it and try again.";
            return Err(Problem::forbidden(detail).into());
        }
        let api_token = match &request.api_token {
            None => ApiToken::generate(),
            Some(text) => ApiToken::parse(text)
                .ok_or_else(|| Problem::invalid("api_token", "it is not a token; leave it out to have one made"))?,
        };
        let user = StoredUser {
            id: UserId::new(),
            username: request.username.clone(),
            role: Role::Root,
            account_id: None,
            suspended: false,
            password_hash: Some(password::hash(request.password).await),
            max_accounts: None,
        };
        let token = Token {
            id: api_token.id,
            name: "setup".into(),
            owner: user.username.clone(),
            scopes: None,
            created_at: now,
            expires_at: None,
            last_used_at: None,
        };
        let secret_hash = secret::hash(&api_token.secret);
        self.inner
            .db
            .write(move |tx| {
                // Two setups at once: the second one sees what the first one wrote.
                tx.lock_names()?;
                if tx.setting(INITIALIZED)?.is_some() {
                    return Err(EngineError::from(closed()));
                }
                tx.set_setting(INITIALIZED, &now.to_string())?;
                tx.set_setting(SETUP_TOKEN_HASH, "")?;
                tx.insert_user(&user, now)?;
                tx.insert_token(&token, user.id, &secret_hash)?;
                service::packages::insert_defaults(tx, user.id, now)?;
                Ok(())
            })
            .await?;
        let _ = std::fs::remove_file(&self.inner.settings.setup_token_file);
        if let Err(error) = self.inner.agent.seal_bootstrap().await {
            // Made up for at the next start; until then the database's flag keeps setup closed.
            tracing::warn!(%error, "the agent could not close its bootstrap");
        }
        Ok(SetupDone { username: request.username, token: api_token.to_string() })
    }

    fn refuse_if_locked(&self, source: &str, name: &str, now: Timestamp) -> Result<(), Problem> {
        match self.inner.guard.wait(source, name, now) {
            None => Ok(()),
            Some(seconds) => {
                Err(Problem::too_many_requests(format!("Too many failed attempts; try again in {seconds} seconds.")))
            }
        }
    }

    /// Begins a session: the caller and the session's secret.
    ///
    /// # Errors
    /// 401 for a wrong name or password, 403 for a suspended account, 429 after too many failures.
    pub async fn log_in(&self, source: &str, login: Login) -> Result<(Caller, String), EngineError> {
        let now = Timestamp::now();
        self.refuse_if_locked(source, &login.username, now)?;
        let user = self.user_by_name(&login.username).await?;
        let hash = user.as_ref().and_then(|u| u.password_hash.clone());
        let fits = password::verify(login.password, hash).await;
        let Some(user) = user.filter(|_| fits) else {
            self.inner.guard.failed(source, &login.username, now);
            return Err(Problem::unauthenticated("The name or the password is not right.").into());
        };
        refuse_suspended(&user)?;
        self.inner.guard.succeeded(source, &login.username);
        let (_, longest) = durations(user.role);
        let session = secret::random_hex(32);
        let session_hash = secret::hash(&session);
        let (hash, id, from) = (session_hash.clone(), user.id, source.to_owned());
        self.inner.db.write(move |tx| tx.insert_session(&hash, id, &from, now, now + longest)).await?;
        let mut caller = Caller::new(&user, "session", Some(now + longest));
        caller.session = Some(session_hash);
        Ok((caller, session))
    }

    /// The caller of a session.
    ///
    /// # Errors
    /// 401 if it is unknown or over, 403 if the account is suspended.
    pub async fn by_session(&self, session: &str) -> Result<Caller, EngineError> {
        self.session_caller(session, true).await
    }

    /// The caller of a session, without using it: somebody who only listens is idle.
    ///
    /// # Errors
    /// As [`Engine::by_session`].
    pub async fn recheck_session(&self, session: &str) -> Result<Caller, EngineError> {
        self.session_caller(session, false).await
    }

    async fn session_caller(&self, session: &str, uses: bool) -> Result<Caller, EngineError> {
        let over = || Problem::unauthenticated("Your session is over; please log in again.");
        let hash = secret::hash(session);
        let key = hash.clone();
        let found = self.inner.db.read(move |tx| tx.session(&key)).await?.ok_or_else(over)?;
        let now = Timestamp::now();
        let (idle, _) = durations(found.user.role);
        if now >= found.expires_at || now >= found.last_seen_at + idle {
            self.inner.db.write(move |tx| tx.delete_session(&hash)).await?;
            return Err(over().into());
        }
        refuse_suspended(&found.user)?;
        if uses && now.duration_since(found.last_seen_at) >= TOUCH {
            let key = hash.clone();
            self.inner.db.write(move |tx| tx.touch_session(&key, now)).await?;
        }
        let mut caller = Caller::new(&found.user, "session", Some(found.expires_at));
        caller.session = Some(hash);
        Ok(caller)
    }

    /// Ends the caller's session.
    ///
    /// # Errors
    /// The database's.
    pub async fn log_out(&self, caller: &Caller) -> Result<(), EngineError> {
        if let Some(hash) = caller.session.clone() {
            self.inner.db.write(move |tx| tx.delete_session(&hash)).await?;
        }
        Ok(())
    }

    /// The caller of a token.
    ///
    /// # Errors
    /// 401 if it is mistyped, unknown or expired, 403 if the account is suspended.
    pub async fn by_token(&self, text: &str) -> Result<Caller, EngineError> {
        let unknown = || Problem::unauthenticated("The token is not known; check it, or make a new one.");
        let token = ApiToken::parse(text).ok_or_else(unknown)?;
        let id = token.id;
        let found = self.inner.db.read(move |tx| tx.token(id)).await?.ok_or_else(unknown)?;
        if !secret::equal(&found.secret_hash, &secret::hash(&token.secret)) {
            return Err(unknown().into());
        }
        let now = Timestamp::now();
        if found.expires_at.is_some_and(|at| now >= at) {
            return Err(Problem::unauthenticated("The token has expired; make a new one.").into());
        }
        refuse_suspended(&found.user)?;
        if found.last_used_at.is_none_or(|at| now.duration_since(at) >= TOUCH) {
            self.inner.db.write(move |tx| tx.touch_token(id, now)).await?;
        }
        let mut caller = Caller::new(&found.user, "token", found.expires_at);
        // A scope that this version does not know gives nothing.
        caller.limited_to = found.scopes.map(|names| names.iter().filter_map(|name| name.parse().ok()).collect());
        Ok(caller)
    }

    /// Makes a token for the caller. In a session the password is needed once more.
    ///
    /// # Errors
    /// 403 for a wrong password, 422 for values out of range or scopes beyond the caller's own.
    pub async fn create_token(
        &self,
        source: &str,
        caller: &Caller,
        request: CreateToken,
    ) -> Result<CreatedToken, EngineError> {
        let now = Timestamp::now();
        if request.name.is_empty() || request.name.chars().count() > 64 || request.name.chars().any(char::is_control) {
            return Err(Problem::invalid("name", "use 1 to 64 characters").into());
        }
        if request.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
            return Err(Problem::invalid("expires_in_days", "use 1 to 3650, or leave it out").into());
        }
        let mut scopes = Vec::new();
        for name in request.scopes.iter().flatten() {
            let permission: Permission = name.parse().map_err(|e| Problem::invalid("scopes", format!("{e}")))?;
            if !caller.may(permission) {
                return Err(
                    Problem::invalid("scopes", format!("you don't hold \"{name}\" yourself; leave it out")).into()
                );
            }
            scopes.push(permission);
        }
        // A limited token can't make a wider one.
        let scopes = match (&request.scopes, &caller.limited_to) {
            (Some(_), _) => Some(scopes),
            (None, Some(own)) => Some(own.clone()),
            (None, None) => None,
        };
        if caller.via == "session" {
            self.refuse_if_locked(source, &caller.username, now)?;
            let user = self.user_by_name(&caller.username).await?;
            let fits = password::verify(request.password.unwrap_or_default(), user.and_then(|u| u.password_hash)).await;
            if !fits {
                self.inner.guard.failed(source, &caller.username, now);
                return Err(
                    Problem::invalid("password", "a token needs your password once more; it is not right").into()
                );
            }
        }
        let api_token = ApiToken::generate();
        let token = Token {
            id: api_token.id,
            name: request.name,
            owner: caller.username.clone(),
            scopes: scopes.map(|list| list.iter().map(|p| p.as_str().to_owned()).collect()),
            created_at: now,
            expires_at: request.expires_in_days.map(|days| now + SignedDuration::from_hours(24 * i64::from(days))),
            last_used_at: None,
        };
        let (stored, user, secret_hash) = (token.clone(), caller.user_id, secret::hash(&api_token.secret));
        self.inner.db.write(move |tx| tx.insert_token(&stored, user, &secret_hash)).await?;
        Ok(CreatedToken { token, secret: api_token.to_string() })
    }

    /// Removes a token of the caller.
    ///
    /// # Errors
    /// There is none.
    pub async fn revoke_token(&self, caller: &Caller, id: TokenId) -> Result<(), EngineError> {
        let user = caller.user_id;
        if self.inner.db.write(move |tx| tx.delete_token(user, id)).await? {
            Ok(())
        } else {
            Err(Problem::not_found("token", id).into())
        }
    }

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

fn durations(role: Role) -> (SignedDuration, SignedDuration) {
    match role {
        Role::Root | Role::Admin => (IDLE_ADMIN, LONGEST_ADMIN),
        Role::Reseller | Role::Client => (IDLE, LONGEST),
    }
}

fn refuse_suspended(user: &StoredUser) -> Result<(), Problem> {
    if user.suspended {
        return Err(Problem::forbidden("This account is suspended. Please ask your provider."));
    }
    Ok(())
}

/// Writes a file that only this user can read, whole or not at all.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = path.with_extension("new");
    let _ = std::fs::remove_file(&next);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    std::fs::rename(&next, path)
}
