//! Sessions of people in a browser. Only the SHA-256 of a session's secret is stored.

use crate::db::params;
use crate::row::columns;
use crate::users::StoredUser;
use crate::{StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::UserId;

/// A session that has not ended.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// Whose.
    pub user: StoredUser,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

impl Tx<'_> {
    /// Begins a session.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_session(
        &mut self,
        secret_hash: &str,
        user: UserId,
        source: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions (secret_hash, user_id, source, created_at, last_seen_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $4, $5)";
        self.execute(sql, params![secret_hash, user, source, now, expires_at])?;
        Ok(())
    }

    /// The session with this secret, whether it is over or not.
    pub fn session(&mut self, secret_hash: &str) -> Result<Option<StoredSession>, StoreError> {
        let sql = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, \
                   s.last_seen_at, s.expires_at FROM sessions s JOIN users u ON u.id = s.user_id \
                   LEFT JOIN accounts a ON a.id = u.account_id WHERE s.secret_hash = $1";
        let row = self.query_opt(sql, params![secret_hash])?;
        row.map(|row| {
            let c = columns("sessions", &row);
            Ok(StoredSession {
                user: crate::users::stored(&row)?,
                last_seen_at: c.time("last_seen_at")?,
                expires_at: c.time("expires_at")?,
            })
        })
        .transpose()
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

    /// Removes sessions that ended before `now`.
    pub fn purge_sessions(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM sessions WHERE expires_at < $1", params![now])?;
        Ok(())
    }
}
