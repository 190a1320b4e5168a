//! SQLite: one writing thread, and readers that see the last committed state.

use super::Tx;
use super::migrate;
use super::work::Work;
use crate::StoreError;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rusqlite::Connection;
use std::path::Path;

type Queue = Sender<Box<dyn Work>>;

const READERS: usize = 2;
/// Transactions that share one commit at most: none waits for more than these.
const TOGETHER: usize = 64;

/// FULL: a commit is on disk when it returns (https://www.sqlite.org/pragma.html#pragma_synchronous).
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                       PRAGMA busy_timeout = 10000; PRAGMA cache_size = -2000; PRAGMA temp_store = MEMORY;";

/// Opens the database and starts its threads: those for reading and the one for writing.
pub(crate) fn start(path: &Path) -> Result<(Queue, Queue), StoreError> {
    let writer = open(path)?;
    migrate::sqlite(&writer)?;
    let (write, writing) = unbounded();
    thread("db-write", move || write_loop(&writer, &writing))?;
    let (read, reading) = unbounded();
    for _ in 0..READERS {
        let (reader, reading) = (open(path)?, reading.clone());
        thread("db-read", move || read_loop(&reader, &reading))?;
    }
    Ok((read, write))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(|_| ()).map_err(|error| StoreError::Database(format!("a thread can't be started: {error}")))
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.execute_batch(PRAGMAS)?;
    connection.set_prepared_statement_cache_capacity(200);
    Ok(connection)
}

fn read_loop(connection: &Connection, queue: &Receiver<Box<dyn Work>>) {
    while let Ok(mut work) = queue.recv() {
        let begun = connection.execute_batch("BEGIN");
        if begun.is_ok() {
            work.run(&mut Tx::sqlite(connection));
            let _ = connection.execute_batch("COMMIT");
        }
        work.answer(begun.map_err(StoreError::from));
    }
}

fn write_loop(connection: &Connection, queue: &Receiver<Box<dyn Work>>) {
    while let Ok(first) = queue.recv() {
        let mut done = Vec::new();
        let committed = together(connection, first, queue, &mut done);
        if committed.is_err() && !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        for work in done {
            work.answer(committed.clone());
        }
    }
}

/// Runs what has gathered and commits it all at once.
fn together(
    connection: &Connection,
    first: Box<dyn Work>,
    queue: &Receiver<Box<dyn Work>>,
    done: &mut Vec<Box<dyn Work>>,
) -> Result<(), StoreError> {
    let mut next = Some(first);
    let begun = statement(connection, "BEGIN IMMEDIATE");
    while let Some(mut work) = next {
        if begun.is_ok() {
            let kept = one(connection, work.as_mut());
            done.push(work);
            kept?;
        } else {
            done.push(work);
        }
        next = if done.len() < TOGETHER { queue.try_recv().ok() } else { None };
    }
    begun?;
    statement(connection, "COMMIT")
}

/// Runs one transaction in a savepoint, so that it can be taken back without the others.
fn one(connection: &Connection, work: &mut dyn Work) -> Result<(), StoreError> {
    statement(connection, "SAVEPOINT one")?;
    if !work.run(&mut Tx::sqlite(connection)) {
        statement(connection, "ROLLBACK TO one")?;
    }
    statement(connection, "RELEASE one")
}

fn statement(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
