//! What can go wrong between the program and the database.

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database failed or can't be reached.
    #[error("database: {0}")]
    Database(String),
    /// The schema could not be brought up to date.
    #[error("{0}; restore the backup made before the upgrade, or install the newer release again")]
    Migration(String),
    /// A row holds what no version of this program wrote.
    #[error("table {table}, row {row}: {reason}")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Key of the row.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A unique value is taken already.
    #[error("{0} is taken")]
    Taken(&'static str),
    /// The worker's lease on the job is over: another worker has it.
    #[error("the lease on the job is over")]
    LeaseLost,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Database(error.to_string())
    }
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        // The outer message alone is "db error".
        match error.as_db_error() {
            Some(inner) => StoreError::Database(inner.to_string()),
            None => StoreError::Database(error.to_string()),
        }
    }
}
