//! Small facts about the installation.

use crate::db::params;
use crate::row::columns;
use crate::{StoreError, Tx};

/// Whether the first administrator exists.
pub const INITIALIZED: &str = "system_initialized";
/// What the last comparison of the machine with the manifests found, as JSON.
pub const DRIFT_REPORT: &str = "drift_report";
/// Whether only administrators may change something, as JSON.
pub const MAINTENANCE: &str = "maintenance";
/// SHA-256 of the one-time setup token.
pub const SETUP_TOKEN_HASH: &str = "setup_token_hash";

impl Tx<'_> {
    /// The value of a setting.
    ///
    /// # Errors
    /// The database's.
    pub fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.query_opt("SELECT value FROM settings WHERE name = $1", params![name])?;
        row.map(|row| columns("settings", &row).text("value")).transpose()
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// The database's.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
        self.execute(sql, params![name, value])?;
        Ok(())
    }
}
