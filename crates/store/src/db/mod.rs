//! Transactions.
//!
//! A transaction is a function that runs on a thread of the database, from its first statement to its commit. So no
//! transaction stays open while a program waits for something else, and none pays for a change of threads per statement.
//! On SQLite one thread writes; what has gathered while it was busy goes to the disk with one commit, each transaction in a
//! savepoint of its own. On PostgreSQL every thread has a connection.

mod migrate;
mod postgres;
mod sqlite;
mod tx;
mod value;
mod work;

use crate::StoreError;
use crossbeam_channel::Sender;
use std::path::Path;
use std::sync::Arc;
pub(crate) use tx::Lock;
pub use tx::Tx;
pub(crate) use value::{Param, Row, Value, params};
use work::{Purpose, Task, Work};

/// A handle on the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    inner: Arc<Threads>,
}

#[derive(Debug)]
struct Threads {
    read: Sender<Box<dyn Work>>,
    write: Sender<Box<dyn Work>>,
    shared: bool,
}

impl Db {
    /// Opens (and creates) an SQLite database and brings its schema up to date.
    ///
    /// # Errors
    /// It can't be opened, or its schema is newer than this program.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let (read, write) = blocking(move || sqlite::start(&path)).await?;
        Ok(Self { inner: Arc::new(Threads { read, write, shared: false }) })
    }

    /// Connects to a PostgreSQL database and brings its schema up to date. `url` as libpq has it, e.g.
    /// `postgresql://wcp360@%2Frun%2Fpostgresql/wcp360`.
    ///
    /// # Errors
    /// It can't be reached, or its schema is newer than this program.
    pub async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let url = url.to_owned();
        let pool = blocking(move || postgres::start(&url)).await?;
        Ok(Self { inner: Arc::new(Threads { read: pool.clone(), write: pool, shared: true }) })
    }

    /// Whether other processes may use the database at the same time.
    pub fn is_shared(&self) -> bool {
        self.inner.shared
    }

    /// Runs a transaction that changes something. It is committed if `work` gives `Ok`, else rolled back. When this returns
    /// `Ok`, the changes are on disk. Not awaited to the end, it may still run.
    ///
    /// # Errors
    /// Those of `work`; the database's, then nothing was changed.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.inner.write, work, Purpose::Change).await
    }

    /// Runs a transaction as [`Db::write`] does and takes it back, whatever it gives: what would happen.
    ///
    /// # Errors
    /// As for [`Db::write`].
    pub async fn rehearse<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.inner.write, work, Purpose::Rehearse).await
    }

    /// Runs a transaction that only reads, over one state of the database.
    ///
    /// # Errors
    /// Those of `work`; the database's.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.inner.read, work, Purpose::Read).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// The database's.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| tx.query("SELECT 1 AS one", &[]).map(|_| ())).await
    }
}

async fn run<T, E, F>(threads: &Sender<Box<dyn Work>>, work: F, purpose: Purpose) -> Result<T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (task, answer) = Task::new(work, purpose);
    let gone = || E::from(StoreError::Database("the database's thread has ended".into()));
    threads.send(Box::new(task)).map_err(|_| gone())?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Opening takes a while; the runtime's threads have other things to do.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = send.send(work());
    });
    receive.await.map_err(|_| StoreError::Database("opening the database failed".into()))?
}
