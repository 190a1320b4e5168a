//! Sessions of people in a browser. Only the SHA-256 of a session's secret is stored.

use crate::row::columns;
use crate::users::StoredUser;
use crate::{Db, StoreError};
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

impl Db {
    /// Begins a session.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub async fn insert_session(
        &self,
        secret_hash: &str,
        user: UserId,
        source: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions (secret_hash, user_id, source, created_at, last_seen_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $4, $5)";
        sqlx::query(sql)
            .bind(secret_hash)
            .bind(user.to_string())
            .bind(source)
            .bind(now.as_millisecond())
            .bind(expires_at.as_millisecond())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The session with this secret, whether it is over or not.
    pub async fn session(&self, secret_hash: &str) -> Result<Option<StoredSession>, StoreError> {
        let sql = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, \
                   s.last_seen_at, s.expires_at FROM sessions s JOIN users u ON u.id = s.user_id \
                   LEFT JOIN accounts a ON a.id = u.account_id WHERE s.secret_hash = $1";
        let row = sqlx::query(sql).bind(secret_hash).fetch_optional(&self.read).await?;
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
    pub async fn touch_session(&self, secret_hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET last_seen_at = $2 WHERE secret_hash = $1";
        sqlx::query(sql).bind(secret_hash).bind(now.as_millisecond()).execute(&self.write).await?;
        Ok(())
    }

    /// Ends a session.
    pub async fn delete_session(&self, secret_hash: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE secret_hash = $1").bind(secret_hash).execute(&self.write).await?;
        Ok(())
    }

    /// Removes sessions that ended before `now`.
    pub async fn purge_sessions(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE expires_at < $1")
            .bind(now.as_millisecond())
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
