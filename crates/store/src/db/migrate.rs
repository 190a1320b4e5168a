//! Brings a schema up to date.
//!
//! Migrations are numbered, applied in order, each in a transaction, and remembered with a digest: a migration that was
//! edited after it had been applied, or that this program does not know, stops the start instead of guessing.

use super::{Param, Row, Tx, Value};
use crate::StoreError;
use sha2::{Digest, Sha256};

const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_first.sql")];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, digest TEXT NOT NULL)";
const KNOWN: &str = "SELECT version, digest FROM schema_migrations ORDER BY version";
const REMEMBER: &str = "INSERT INTO schema_migrations (version, digest) VALUES ($1, $2)";

pub(crate) fn sqlite(connection: &rusqlite::Connection) -> Result<(), StoreError> {
    connection.execute_batch(TABLE)?;
    let done = applied(&Tx::sqlite(connection).query(KNOWN, &[])?)?;
    for (version, sql) in numbered().skip(done) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = connection.execute_batch(sql).map_err(|e| failed(version, &e)).and_then(|()| {
            Tx::sqlite(connection).execute(REMEMBER, &[Param::Integer(version), Param::Text(digest(sql))])
        });
        match outcome {
            Ok(_) => connection.execute_batch("COMMIT")?,
            Err(error) => {
                let _ = connection.execute_batch("ROLLBACK");
                return Err(error);
            }
        }
    }
    Ok(())
}

pub(crate) fn postgres(client: &mut postgres::Client) -> Result<(), StoreError> {
    let mut transaction = client.transaction()?;
    // Two processes that start together: the second one finds the work done.
    transaction.execute("SELECT pg_advisory_xact_lock(360)", &[])?;
    transaction.batch_execute(TABLE)?;
    let rows: Vec<(i64, String)> = transaction.query(KNOWN, &[])?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let done = check(&rows)?;
    for (version, sql) in numbered().skip(done) {
        // Names sort by bytes, as in SQLite, whatever the database's locale.
        let here = sql.replace(" TEXT", " TEXT COLLATE \"C\"");
        transaction.batch_execute(&here).map_err(|e| failed(version, &e))?;
        transaction.execute(REMEMBER, &[&version, &digest(sql)])?;
    }
    Ok(transaction.commit()?)
}

fn numbered() -> impl Iterator<Item = (i64, &'static str)> {
    (1..).zip(MIGRATIONS.iter().copied())
}

fn failed(version: i64, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Migration(format!("migration {version} failed: {error}"))
}

fn digest(sql: &str) -> String {
    Sha256::digest(sql).iter().map(|b| format!("{b:02x}")).collect()
}

fn applied(rows: &[Row]) -> Result<usize, StoreError> {
    let pairs: Vec<(i64, String)> = rows
        .iter()
        .filter_map(|row| match (row.value("version"), row.value("digest")) {
            (Some(Value::Integer(version)), Some(Value::Text(digest))) => Some((*version, digest.clone())),
            _ => None,
        })
        .collect();
    check(&pairs)
}

/// How many of our migrations were applied.
fn check(applied: &[(i64, String)]) -> Result<usize, StoreError> {
    for (position, (version, known)) in applied.iter().enumerate() {
        let Some((ours, sql)) = numbered().nth(position) else {
            return Err(StoreError::Migration(format!(
                "the schema has migration {version}, which this release does not know"
            )));
        };
        if ours != *version || digest(sql) != *known {
            return Err(StoreError::Migration(format!("migration {version} is not the one that this release has")));
        }
    }
    Ok(applied.len())
}
