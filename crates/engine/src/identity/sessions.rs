//! Sessions and the login history: one's own, and those of people below.

use super::{TOUCH, durations, refuse_suspended};
use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret;
use jiff::Timestamp;
use wcp360_store::sessions::StoredSession;
use wcp360_store::users::StoredUser;
use wcp360_types::api::page::Page;
use wcp360_types::api::session::{LoginFilter, LoginRecord, Session};
use wcp360_types::{Problem, SessionId, UserId};

impl Engine {
    /// The caller of a session. Without `uses` it is not kept awake: somebody who only listens is idle.
    ///
    /// # Errors
    /// 401 if it is unknown or over, 403 if the account is suspended.
    pub async fn by_session(&self, session: &str, uses: bool) -> Result<Caller, EngineError> {
        let key = secret::hash(session);
        let found = self.inner.db.read(move |tx| tx.session(&key)).await?.ok_or_else(over)?;
        self.check_session(&found, uses).await?;
        let mut caller = Caller::new(&found.user, "session", Some(found.expires_at));
        caller.session_id = Some(found.id);
        caller.session = Some(found.secret_hash);
        Ok(caller)
    }

    /// Refuses a session that is over; with `uses`, notes that another one is in use.
    pub(super) async fn check_session(&self, found: &StoredSession, uses: bool) -> Result<(), EngineError> {
        let now = Timestamp::now();
        let (idle, _) = durations(found.user.role);
        let hash = found.secret_hash.clone();
        if now >= found.expires_at || now >= found.last_seen_at + idle {
            self.inner.db.write(move |tx| tx.delete_session(&hash)).await?;
            return Err(over().into());
        }
        refuse_suspended(&found.user)?;
        if uses && now.duration_since(found.last_seen_at) >= TOUCH {
            self.inner.db.write(move |tx| tx.touch_session(&hash, now)).await?;
        }
        Ok(())
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

    /// Sessions that are not over: the caller's own, or those of the person with this login name.
    ///
    /// # Errors
    /// There is no such person for the caller.
    pub async fn sessions(
        &self,
        caller: &Caller,
        of: Option<&str>,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<Session>, EngineError> {
        let (user, role) = match of {
            None => (caller.user_id, caller.role),
            Some(name) => self.below(caller, name).await.map(|user| (user.id, user.role))?,
        };
        let now = Timestamp::now();
        let active_since = now - durations(role).0;
        let page = self.inner.db.read(move |tx| tx.sessions(user, now, active_since, limit, cursor.as_deref()));
        let mut page = page.await?;
        for session in &mut page.items {
            session.current = caller.session_id == Some(session.id);
        }
        Ok(page)
    }

    /// Ends a session: of the caller, or of the person with this login name.
    ///
    /// # Errors
    /// There is no such person for the caller, or no such session.
    pub async fn revoke_session(&self, caller: &Caller, of: Option<&str>, id: SessionId) -> Result<(), EngineError> {
        let user = self.oneself_or_below(caller, of).await?;
        match self.inner.db.write(move |tx| tx.delete_session_of(user, id)).await? {
            true => Ok(()),
            false => Err(Problem::not_found("session", id).into()),
        }
    }

    /// Ends all sessions: of the caller but the one that asks, or of the person with this login name.
    ///
    /// # Errors
    /// There is no such person for the caller.
    pub async fn revoke_sessions(&self, caller: &Caller, of: Option<&str>) -> Result<(), EngineError> {
        let user = self.oneself_or_below(caller, of).await?;
        let own = caller.session.clone().filter(|_| user == caller.user_id);
        self.inner.db.write(move |tx| tx.delete_sessions_but(user, own.as_deref())).await?;
        Ok(())
    }

    /// The login history: the caller's own, or that of the person with this login name.
    ///
    /// # Errors
    /// There is no such person for the caller.
    pub async fn logins(
        &self,
        caller: &Caller,
        of: Option<&str>,
        filter: LoginFilter,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<LoginRecord>, EngineError> {
        let user = self.oneself_or_below(caller, of).await?;
        Ok(self.inner.db.read(move |tx| tx.logins(user, &filter, limit, cursor.as_deref())).await?)
    }

    /// The caller, or the person with this login name.
    pub(super) async fn oneself_or_below(&self, caller: &Caller, of: Option<&str>) -> Result<UserId, EngineError> {
        match of {
            None => Ok(caller.user_id),
            Some(name) => Ok(self.below(caller, name).await?.id),
        }
    }

    /// A person whose logins, sessions and tokens the caller may see and end: the caller, and people below.
    async fn below(&self, caller: &Caller, name: &str) -> Result<StoredUser, EngineError> {
        let user = self.user_by_name(name).await?;
        match user {
            Some(user) if user.id == caller.user_id || self.administers(caller, &user).await? => Ok(user),
            _ => Err(Problem::not_found("user", name).into()),
        }
    }
}

fn over() -> Problem {
    Problem::unauthenticated("Your session is over; please log in again.")
}
