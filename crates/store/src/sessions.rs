//! Sessions of people in a browser. Only the SHA-256 of a session's secret is stored.

use crate::db::{Row, params};
use crate::row::{columns, decode_cursor, page};
use crate::users::StoredUser;
use crate::{StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::page::Page;
use wcp360_types::api::session::Session;
use wcp360_types::{SessionId, UserId};

/// A session that has not ended.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// Its public name.
    pub id: SessionId,
    /// Whose.
    pub user: StoredUser,
    /// SHA-256 of its secret, hexadecimal.
    pub secret_hash: String,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// A session to begin.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its public name.
    pub id: SessionId,
    /// SHA-256 of its secret, hexadecimal.
    pub secret_hash: String,
    /// Whose.
    pub user: UserId,
    /// The address it is begun from.
    pub source: String,
    /// What the browser says about itself, cleaned.
    pub user_agent: String,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

const STORED: &str = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, u.suspended_at, \
                      s.id AS session_id, s.secret_hash, s.last_seen_at, s.expires_at \
                      FROM sessions s JOIN users u ON u.id = s.user_id LEFT JOIN accounts a ON a.id = u.account_id";

fn stored(row: &Row) -> Result<StoredSession, StoreError> {
    let c = columns("sessions", row);
    Ok(StoredSession {
        id: c.parsed("session_id")?,
        user: crate::users::stored(row)?,
        secret_hash: c.text("secret_hash")?,
        last_seen_at: c.time("last_seen_at")?,
        expires_at: c.time("expires_at")?,
    })
}

impl Tx<'_> {
    /// Begins a session.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_session(&mut self, new: &NewSession, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions (secret_hash, id, user_id, source, user_agent, created_at, last_seen_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $6, $7)";
        self.execute(
            sql,
            params![&new.secret_hash, new.id, new.user, &new.source, &new.user_agent, now, new.expires_at],
        )?;
        Ok(())
    }

    /// The session with this secret, whether it is over or not.
    pub fn session(&mut self, secret_hash: &str) -> Result<Option<StoredSession>, StoreError> {
        let row = self.query_opt(&format!("{STORED} WHERE s.secret_hash = $1"), params![secret_hash])?;
        row.as_ref().map(stored).transpose()
    }

    /// The session with this public name, whether it is over or not.
    pub fn session_by_id(&mut self, id: SessionId) -> Result<Option<StoredSession>, StoreError> {
        let row = self.query_opt(&format!("{STORED} WHERE s.id = $1"), params![id])?;
        row.as_ref().map(stored).transpose()
    }

    /// The sessions of a person that end after `now` and were used after `active_since`, in the order they were begun.
    pub fn sessions(
        &mut self,
        user: UserId,
        now: Timestamp,
        active_since: Timestamp,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Session>, StoreError> {
        let sql = "SELECT s.id, u.username, s.source, s.user_agent, s.created_at, s.last_seen_at, s.expires_at \
                   FROM sessions s JOIN users u ON u.id = s.user_id \
                   WHERE s.user_id = $1 AND s.expires_at > $2 AND s.last_seen_at > $3 AND s.id > $4 ORDER BY s.id LIMIT $5";
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let rows = self.query(sql, params![user, now, active_since, after, i64::from(limit) + 1])?;
        let sessions: Result<Vec<Session>, StoreError> = rows
            .iter()
            .map(|row| {
                let c = columns("sessions", row);
                Ok(Session {
                    id: c.parsed("id")?,
                    username: c.text("username")?,
                    current: false,
                    source: c.text("source")?,
                    user_agent: c.text("user_agent")?,
                    created_at: c.time("created_at")?,
                    last_seen_at: c.time("last_seen_at")?,
                    expires_at: c.time("expires_at")?,
                })
            })
            .collect();
        Ok(page(sessions?, limit, |session| session.id.to_string()))
    }

    /// Notes that a session is in use.
    pub fn touch_session(&mut self, secret_hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET last_seen_at = $2 WHERE secret_hash = $1";
        self.execute(sql, params![secret_hash, now])?;
        Ok(())
    }

    /// Ends a session.
    pub fn delete_session(&mut self, secret_hash: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM sessions WHERE secret_hash = $1", params![secret_hash])?;
        Ok(())
    }

    /// Ends a session of a person; whether there was one.
    pub fn delete_session_of(&mut self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        let done = self.execute("DELETE FROM sessions WHERE id = $1 AND user_id = $2", params![id, user])?;
        Ok(done > 0)
    }

    /// Ends all sessions of a person but the one with this secret; how many.
    pub fn delete_sessions_but(&mut self, user: UserId, secret_hash: Option<&str>) -> Result<u64, StoreError> {
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND secret_hash <> $2";
        self.execute(sql, params![user, secret_hash.unwrap_or_default()])
    }

    /// Ends all sessions of a person but the `keep` that were used last.
    pub fn keep_sessions(&mut self, user: UserId, keep: u32) -> Result<(), StoreError> {
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND id NOT IN \
                   (SELECT id FROM sessions WHERE user_id = $1 ORDER BY last_seen_at DESC, id DESC LIMIT $2)";
        self.execute(sql, params![user, i64::from(keep)])?;
        Ok(())
    }

    /// Removes sessions that ended before `now`.
    pub fn purge_sessions(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM sessions WHERE expires_at < $1", params![now])?;
        Ok(())
    }
}
