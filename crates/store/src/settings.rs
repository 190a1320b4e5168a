//! Small facts about the installation.

use crate::{Db, StoreError, Tx};
use sqlx::Row as _;

/// Whether the first administrator exists.
pub const INITIALIZED: &str = "system_initialized";
/// SHA-256 of the one-time setup token.
pub const SETUP_TOKEN_HASH: &str = "setup_token_hash";

impl Db {
    /// The value of a setting.
    ///
    /// # Errors
    /// The database's.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let row =
            sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name).fetch_optional(&self.read).await?;
        Ok(row.map(|r| r.try_get(0)).transpose()?)
    }
}

impl Tx {
    /// The value of a setting, as this transaction sees it.
    ///
    /// # Errors
    /// The database's.
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name);
        Ok(query.fetch_optional(&mut *self.inner).await?.map(|r| r.try_get(0)).transpose()?)
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
        sqlx::query(sql).bind(name).bind(value).execute(&mut *self.inner).await?;
        Ok(())
    }
}
