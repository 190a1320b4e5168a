//! What can go wrong between the program and the database.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed or can't be reached.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database migration: {0}; restore the backup made before the upgrade, or install the newer release again")]
    Migration(#[from] sqlx::migrate::MigrateError),
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

impl StoreError {
    /// Names what is taken, if `error` is a violated unique constraint.
    pub(crate) fn taken(error: sqlx::Error, what: &'static str) -> Self {
        match &error {
            sqlx::Error::Database(e) if e.is_unique_violation() => StoreError::Taken(what),
            _ => StoreError::Sql(error),
        }
    }
}
