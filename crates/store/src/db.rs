//! Connections and transactions.

use crate::StoreError;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, Transaction};
use std::path::Path;
use std::time::Duration;

/// A handle on the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pub(crate) read: AnyPool,
    pub(crate) write: AnyPool,
}

/// A writing transaction. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    pub(crate) inner: Transaction<'static, Any>,
}

impl Tx {
    /// Makes the changes durable and visible.
    ///
    /// # Errors
    /// The database's; nothing is changed then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }
}

impl Db {
    /// Opens (and creates) an SQLite database and brings its schema up to date.
    ///
    /// # Errors
    /// It can't be opened, or its schema is newer than this program.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", path.display());
        // FULL: a commit is on disk when it returns (https://www.sqlite.org/pragma.html#pragma_synchronous).
        const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                               PRAGMA busy_timeout = 10000; PRAGMA cache_size = -2000; PRAGMA temp_store = MEMORY;";
        let options = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .min_connections(1)
                .acquire_timeout(Duration::from_secs(20))
                .idle_timeout(None)
                .max_lifetime(None)
                // A file does not hang up; asking each time costs as much as a query.
                .test_before_acquire(false)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        sqlx::raw_sql(PRAGMAS).execute(connection).await?;
                        Ok(())
                    })
                })
        };
        let write = options(1).connect(&url).await?;
        sqlx::migrate!("./migrations").run(&write).await?;
        let read = options(3).connect(&url).await?;
        Ok(Self { read, write })
    }

    /// Begins a writing transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx { inner: self.write.begin().await? })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// The database's.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").fetch_one(&self.read).await?;
        Ok(())
    }
}

/// How this crate names a row of any backend.
pub(crate) type Row = AnyRow;
