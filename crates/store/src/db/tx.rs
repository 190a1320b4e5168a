//! One transaction, on either database.

use super::postgres::PostgresTx;
use super::{Param, Row, Value};
use crate::StoreError;
use std::rc::Rc;

/// A transaction; exists only within [`crate::Db::read`] and [`crate::Db::write`].
pub struct Tx<'c> {
    backend: Backend<'c>,
}

enum Backend<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(PostgresTx<'c>),
}

/// What only one process at a time may do, where several share a database.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lock<'a> {
    /// Checking names and limits and reserving.
    Names,
    /// Giving audit entries their place in the chain.
    Audit,
    /// The order of one lane of jobs.
    Lane(&'a str),
}

impl<'c> Tx<'c> {
    pub(crate) fn sqlite(connection: &'c rusqlite::Connection) -> Self {
        Self { backend: Backend::Sqlite(connection) }
    }

    pub(crate) fn postgres(transaction: PostgresTx<'c>) -> Self {
        Self { backend: Backend::Postgres(transaction) }
    }

    pub(crate) fn into_postgres(self) -> Option<PostgresTx<'c>> {
        match self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(transaction) => Some(transaction),
        }
    }

    /// Runs a statement that gives rows. Parameters are `$1`, `$2` …
    pub(crate) fn query(&mut self, sql: &str, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => sqlite_query(connection, sql, params),
            Backend::Postgres(transaction) => transaction.query(sql, params),
        }
    }

    /// Runs a statement that gives one row or none.
    pub(crate) fn query_opt(&mut self, sql: &str, params: &[Param]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Runs a statement that gives one row.
    pub(crate) fn query_one(&mut self, sql: &str, params: &[Param]) -> Result<Row, StoreError> {
        let row = self.query_opt(sql, params)?;
        row.ok_or_else(|| StoreError::Database(format!("no row where there is always one: {sql}")))
    }

    /// Runs a statement that changes rows; how many.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Param]) -> Result<u64, StoreError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&numbered(sql))?;
                Ok(statement.execute(rusqlite::params_from_iter(params))? as u64)
            }
            Backend::Postgres(transaction) => transaction.execute(sql, params),
        }
    }

    /// Inserts a row unless a unique value of it exists.
    ///
    /// # Errors
    /// [`StoreError::Taken`] then; the transaction can go on.
    pub(crate) fn insert_new(&mut self, sql: &str, params: &[Param], what: &'static str) -> Result<(), StoreError> {
        match self.execute(&format!("{sql} ON CONFLICT DO NOTHING"), params)? {
            0 => Err(StoreError::Taken(what)),
            _ => Ok(()),
        }
    }

    /// Waits for its turn to do something, until the end of the transaction. One process alone has nothing to wait for.
    pub(crate) fn lock(&mut self, lock: Lock<'_>) -> Result<(), StoreError> {
        let Backend::Postgres(transaction) = &mut self.backend else { return Ok(()) };
        let name = match lock {
            Lock::Names => "names".to_owned(),
            Lock::Audit => "audit".to_owned(),
            Lock::Lane(lane) => format!("lane {lane}"),
        };
        transaction.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 360))", &[Param::Text(name)])?;
        Ok(())
    }

    /// What a `SELECT` says so that two processes never take the same row.
    pub(crate) fn skip_locked(&self) -> &'static str {
        match self.backend {
            Backend::Sqlite(_) => "",
            Backend::Postgres(_) => "FOR UPDATE SKIP LOCKED",
        }
    }
}

/// SQLite numbers its parameters with a question mark.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn sqlite_query(connection: &rusqlite::Connection, sql: &str, params: &[Param]) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(&numbered(sql))?;
    let names: Rc<[String]> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(names.len());
        for position in 0..names.len() {
            values.push(match row.get_ref(position)? {
                rusqlite::types::ValueRef::Null => Value::Null,
                rusqlite::types::ValueRef::Integer(number) => Value::Integer(number),
                rusqlite::types::ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                other => return Err(StoreError::Database(format!("a column holds {:?}", other.data_type()))),
            });
        }
        found.push(Row { names: names.clone(), values });
    }
    Ok(found)
}

impl rusqlite::ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Param::Null => ValueRef::Null,
            Param::Integer(number) => ValueRef::Integer(*number),
            Param::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
