//! PostgreSQL: threads with a connection each.

use super::work::Work;
use super::{Param, Row, Tx, Value, migrate};
use crate::StoreError;
use crossbeam_channel::{Receiver, Sender, unbounded};
use postgres::IsolationLevel::RepeatableRead;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, NoTls, Statement, Transaction};
use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

const CONNECTIONS: usize = 8;
/// Every query of ours has an index. Without statistics, as in the first minutes of a new table, the planner would read all of
/// a growing table all the same, again and again. And statements are short: planning and compiling them anew costs more than
/// it gives.
const SESSION: &str = "-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan";

/// Connects, and starts the threads.
pub(crate) fn start(url: &str) -> Result<Sender<Box<dyn Work>>, StoreError> {
    let mut config: Config = url.parse().map_err(|error| {
        StoreError::Database(format!("the database's address is not valid: {error}; use postgresql://user@host/name"))
    })?;
    config.application_name("wcp360-core").connect_timeout(Duration::from_secs(10));
    let given = config.get_options().map_or(String::new(), |options| format!("{options} "));
    config.options(&format!("{given}{SESSION}"));
    migrate::postgres(&mut config.connect(NoTls)?)?;
    let (send, queue) = unbounded();
    for number in 0..CONNECTIONS {
        let (config, queue) = (config.clone(), queue.clone());
        let started = std::thread::Builder::new().name(format!("db-{number}")).spawn(move || serve(&config, &queue));
        started.map_err(|error| StoreError::Database(format!("a thread can't be started: {error}")))?;
    }
    Ok(send)
}

/// One connection's life; a broken one is replaced when there is work.
fn serve(config: &Config, queue: &Receiver<Box<dyn Work>>) {
    let mut connection: Option<Connection> = None;
    while let Ok(work) = queue.recv() {
        if connection.as_ref().is_none_or(|c| c.client.is_closed()) {
            match config.connect(NoTls) {
                Ok(client) => connection = Some(Connection { client, statements: HashMap::new() }),
                Err(error) => {
                    work.answer(Err(error.into()));
                    continue;
                }
            }
        }
        if let Some(connection) = &mut connection {
            connection.run(work);
        }
    }
}

struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Connection {
    fn run(&mut self, mut work: Box<dyn Work>) {
        let begin = self.client.build_transaction();
        // Else every statement would see a state of its own.
        let begin = if work.reads() { begin.isolation_level(RepeatableRead).read_only(true) } else { begin };
        let transaction = match begin.start() {
            Ok(transaction) => transaction,
            Err(error) => return work.answer(Err(error.into())),
        };
        let mut tx = Tx::postgres(PostgresTx { transaction, statements: &mut self.statements });
        let keep = work.run(&mut tx);
        let outcome = match tx.into_postgres() {
            Some(PostgresTx { transaction, .. }) if keep => transaction.commit(),
            Some(PostgresTx { transaction, .. }) => transaction.rollback(),
            None => Ok(()),
        };
        work.answer(outcome.map_err(StoreError::from));
    }
}

/// A transaction on a connection, with the statements that were prepared on it before.
pub(crate) struct PostgresTx<'c> {
    transaction: Transaction<'c>,
    statements: &'c mut HashMap<String, Statement>,
}

impl PostgresTx<'_> {
    fn statement(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.transaction.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Param]) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
        Ok(self.transaction.execute(&statement, &params)?)
    }

    pub(crate) fn query(&mut self, sql: &str, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql)?;
        let names: Rc<[String]> = statement.columns().iter().map(|c| c.name().to_owned()).collect();
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
        let rows = self.transaction.query(&statement, &params)?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let mut values = Vec::with_capacity(names.len());
            for position in 0..names.len() {
                values.push(row.try_get::<_, Value>(position)?);
            }
            found.push(Row { names: names.clone(), values });
        }
        Ok(found)
    }
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Param::Null => Ok(IsNull::Yes),
            Param::Integer(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Param::Integer(number) => number.to_sql(ty, out),
            // Text of SQLite may hold it, text of PostgreSQL never: then nothing there is called so.
            Param::Text(text) if text.contains('\0') => text.replace('\0', "\u{fffd}").to_sql(ty, out),
            Param::Text(text) => text.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::TEXT | Type::VARCHAR)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Value::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Integer(i64::from(i32::from_sql(ty, raw)?)),
            Type::VOID => Value::Null,
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::TEXT | Type::VARCHAR | Type::VOID)
    }
}
