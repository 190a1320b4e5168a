//! Logging in with a password.

use super::{durations, refuse_suspended};
use crate::audit::By;
use crate::caller::{Caller, Origin};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::place::place;
use crate::security_log::Event;
use crate::{password, secret};
use jiff::Timestamp;
use wcp360_store::audit::NewAudit;
use wcp360_store::logins::{NewLogin, Place};
use wcp360_store::sessions::NewSession;
use wcp360_store::users::StoredUser;
use wcp360_types::api::event::AlertSeverity;
use wcp360_types::api::session::{Login, LoginFailure, LoginRecord};
use wcp360_types::{Problem, Role, SessionId, UserId};

/// Sessions of one person at the same time, unless the package says less.
const SESSIONS: u32 = 100;

/// What comes with a login besides name and password.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// What the browser says about itself.
    pub user_agent: String,
    /// The session that the browser holds already. It ends: whoever knows it must not share the new one.
    pub session: Option<String>,
}

/// Somebody who gave the right password.
struct Verified<'u> {
    user: &'u StoredUser,
    /// What it was compared with.
    hash: Option<String>,
    /// A stronger hash of it, if that was weak.
    renewed: Option<String>,
}

fn wrong() -> Problem {
    Problem::unauthenticated("The name or the password is not right.")
}

impl Engine {
    /// Begins a session with a new secret: the caller and that secret.
    ///
    /// # Errors
    /// 401 for a wrong name or password, 403 for a suspended account, 429 after too many failures.
    pub async fn log_in(
        &self,
        origin: &Origin,
        attempt: Attempt,
        login: Login,
    ) -> Result<(Caller, String), EngineError> {
        let now = Timestamp::now();
        let source = origin.source.as_str();
        let place = place(source, &attempt.user_agent);
        let user = self.user_by_name(&login.username).await?;
        // Asked of nobody too: how long the answer takes must not tell which names there are.
        let (id, at) = (user.as_ref().map_or_else(UserId::new, |user| user.id), place.clone());
        let known = self.inner.db.read(move |tx| tx.known_place(id, &at)).await?.network;
        self.refuse_if_locked(source, &login.username, known, now)?;
        let hash = user.as_ref().and_then(|u| u.password_hash.clone());
        let checked = password::verify(login.password.clone(), hash.clone(), known).await?;
        let Some(user) = user.as_ref().filter(|_| checked.fits) else {
            self.inner.security_log.note(Event::LoginFailed, source, "password", &login.username, &origin.request_id);
            if let Some(user) = user {
                // Not waited for, for the same reason.
                let engine = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = engine.remember(&user, place, Some(LoginFailure::Password), now).await {
                        tracing::error!(%error, "a failed login can't be added to the history");
                    }
                });
            }
            self.note_failure(origin, &login.username, now).await;
            return Err(wrong().into());
        };
        if let Err(refused) = refuse_suspended(user) {
            self.remember(user, place, Some(LoginFailure::Suspended), now).await?;
            return Err(refused.into());
        }
        self.inner.guard.succeeded(source, &login.username);
        let renewed = if checked.outdated { Some(password::hash(login.password).await?) } else { None };
        let verified = Verified { user, hash, renewed };
        let begun = self.begin_session(verified, place.clone(), attempt.session, now).await?;
        let record = self.remember(user, place, None, now).await?;
        if record.alert {
            self.tell_new_place(origin, user, &record).await;
        }
        Ok(begun)
    }

    /// Asks for the password once more, unless a token asks: a session alone gets nothing that outlives it. `field` names the
    /// input.
    ///
    /// # Errors
    /// 422 if it is not right, 429 after too many failures.
    pub(crate) async fn step_up(
        &self,
        origin: &Origin,
        caller: &Caller,
        field: &str,
        password: Option<String>,
    ) -> Result<(), EngineError> {
        if caller.via == "token" {
            return Ok(());
        }
        self.confirm(origin, caller, field, password).await
    }

    /// Asks for the password once more, whoever asks. `field` names the input.
    ///
    /// # Errors
    /// As [`Engine::step_up`].
    pub(crate) async fn confirm(
        &self,
        origin: &Origin,
        caller: &Caller,
        field: &str,
        password: Option<String>,
    ) -> Result<(), EngineError> {
        let now = Timestamp::now();
        self.refuse_if_locked(&origin.source, &caller.username, true, now)?;
        let user = self.user_by_name(&caller.username).await?;
        let hash = user.and_then(|u| u.password_hash);
        // An empty field is no guess.
        let Some(password) = password.filter(|text| !text.is_empty()) else {
            return Err(Problem::invalid(field, "this needs your password once more; give it").into());
        };
        if password::verify(password, hash, true).await?.fits {
            return Ok(());
        }
        let (log, source) = (&self.inner.security_log, &origin.source);
        log.note(Event::LoginFailed, source, "step-up", &caller.username, &origin.request_id);
        self.note_failure(origin, &caller.username, now).await;
        Err(Problem::invalid(field, "this needs your password once more; it is not right").into())
    }

    async fn begin_session(
        &self,
        verified: Verified<'_>,
        place: Place,
        before: Option<String>,
        now: Timestamp,
    ) -> Result<(Caller, String), EngineError> {
        let Verified { user, hash, renewed } = verified;
        let (_, longest) = durations(user.role);
        let session = secret::random_hex(32);
        let new = NewSession {
            id: SessionId::new(),
            secret_hash: secret::hash(&session),
            user: user.id,
            source: place.source,
            user_agent: place.user_agent,
            expires_at: now + longest,
        };
        let mut caller = Caller::new(user, "session", Some(new.expires_at));
        caller.session = Some(new.secret_hash.clone());
        caller.session_id = Some(new.id);
        let account = user.account_id;
        let begun: Result<(), EngineError> = self
            .inner
            .db
            .write(move |tx| {
                // Comparing took a while: who was suspended or got another password meanwhile does not get in.
                let now_there = tx.user(new.user)?.filter(|user| user.password_hash == hash).ok_or_else(wrong)?;
                refuse_suspended(&now_there)?;
                if let Some(renewed) = renewed {
                    tx.rehash_password(new.user, &renewed)?;
                }
                if let Some(before) = before {
                    tx.delete_session(&secret::hash(&before))?;
                }
                let allowed = match account {
                    Some(account) => tx.security_policy(account)?.max_sessions.unwrap_or(SESSIONS).clamp(1, SESSIONS),
                    None => SESSIONS,
                };
                tx.keep_sessions(new.user, allowed - 1)?;
                Ok(tx.insert_session(&new, now)?)
            })
            .await;
        begun.map(|()| (caller, session))
    }

    async fn remember(
        &self,
        user: &StoredUser,
        place: Place,
        failure: Option<LoginFailure>,
        now: Timestamp,
    ) -> Result<LoginRecord, EngineError> {
        let new = NewLogin { user: user.id, place, failure };
        Ok(self.inner.db.write(move |tx| tx.insert_login(&new, now)).await?)
    }

    /// Refuses somebody who has failed too often. `known`: the person has logged in from there before.
    pub(super) fn refuse_if_locked(
        &self,
        source: &str,
        name: &str,
        known: bool,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let Some(seconds) = self.inner.guard.wait(source, name, known, now) else { return Ok(()) };
        let detail = format!("Too many failed attempts; try again in {seconds} seconds.");
        Err(Problem::too_many_requests(seconds.unsigned_abs(), detail))
    }

    /// Counts a failure. If it makes the address wait, that is told and recorded.
    pub(super) async fn note_failure(&self, origin: &Origin, name: &str, now: Timestamp) {
        let Some(lockout) = self.inner.guard.failed(&origin.source, name, now) else { return };
        self.inner.security_log.note(Event::LockedOut, &origin.source, "failures", name, &origin.request_id);
        // Within the bound of refusals: with enough names and addresses lockouts would fill the trail too.
        if !self.inner.audit.admits_refusal(By::Stranger(&origin.source), "session.lockout", "lockout") {
            return;
        }
        let detail = format!("{} failed attempts; the address waits {} seconds", lockout.failures, lockout.seconds);
        self.tell_trail(origin, "session.lockout", name, None, detail).await;
    }

    async fn tell_new_place(&self, origin: &Origin, user: &StoredUser, record: &LoginRecord) {
        let (reason, detail) = match (record.new_address, record.new_agent) {
            (true, true) => ("address-and-agent", "a login from a new address with a new browser"),
            (true, false) => ("address", "a login from a new address"),
            _ => ("agent", "a login with a new browser"),
        };
        self.inner.security_log.note(Event::NewPlace, &origin.source, reason, &user.username, &origin.request_id);
        if matches!(user.role, Role::Root | Role::Admin) {
            let message = format!("{}: {detail}, {}; if it was not them, end it", user.username, origin.source);
            self.inner.events.alert(AlertSeverity::Critical, message);
        }
        self.tell_trail(origin, "session.new-place", &user.username, Some(user), detail.to_owned()).await;
    }

    /// Records what nobody asked for. The login itself is recorded around it, so a failure here must not stop it.
    async fn tell_trail(&self, origin: &Origin, action: &str, name: &str, who: Option<&StoredUser>, detail: String) {
        let entry = NewAudit {
            actor: who.map_or("-", |user| user.username.as_str()).to_owned(),
            source: origin.source.clone(),
            action: action.to_owned(),
            target: Some(name.chars().take(64).collect()),
            outcome: "succeeded".to_owned(),
            detail: Some(detail),
            request_id: origin.request_id.clone(),
            ..NewAudit::default()
        };
        if let Err(error) = self.inner.audit.record(entry).await {
            tracing::error!(%error, action, "it could not be recorded");
        }
    }
}
