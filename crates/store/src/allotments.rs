//! What accounts are given, as numbers that can be added up (TEN-06).
//!
//! What holds and what is queued stand side by side until a job is over, so that however many changes wait, neither a
//! reseller's totals nor an account's own maxima are exceeded.

use crate::db::{Param, params};
use crate::row::columns;
use crate::{StoreError, Tx};
use std::collections::BTreeMap;
use wcp360_types::limits::{Limit, Limits, MAX_LIMIT};
use wcp360_types::{AccountId, JobId, PackageName, UserId};

/// How "unlimited" stands in the table: above all limits, and a sum of 900,000 of them still fits into 63 bits.
const UNLIMITED: u64 = 10 * MAX_LIMIT;

fn amount(limit: Limit) -> u64 {
    limit.map_or(UNLIMITED, |limit| limit.min(MAX_LIMIT))
}

fn limit(amount: u64) -> Limit {
    (amount < UNLIMITED).then_some(amount)
}

/// What accounts were given of one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Those that have a limit, together.
    pub given: u64,
    /// How many have none.
    pub unlimited: u64,
}

impl Tx<'_> {
    /// Writes down what an account is to be given by a job.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn allot(
        &mut self,
        id: AccountId,
        package: &PackageName,
        limits: &Limits,
        job: JobId,
    ) -> Result<(), StoreError> {
        self.write_allotment(id, package, limits, &job.to_string())
    }

    /// Makes what holds follow the manifests; what `job` had asked for is over with it.
    pub(crate) fn settle_allotment(
        &mut self,
        id: AccountId,
        package: &PackageName,
        limits: &Limits,
        job: JobId,
    ) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM allotments WHERE account_id = $1 AND (job_id = '' OR job_id = $2)",
            params![id, job],
        )?;
        self.write_allotment(id, package, limits, "")
    }

    fn write_allotment(
        &mut self,
        id: AccountId,
        package: &PackageName,
        limits: &Limits,
        job: &str,
    ) -> Result<(), StoreError> {
        let names = Limits::NAMES.join(", ");
        let places: Vec<String> = (0..Limits::NAMES.len()).map(|n| format!("${}", n + 4)).collect();
        let sql = format!(
            "INSERT INTO allotments (account_id, job_id, package, {names}) VALUES ($1, $2, $3, {})",
            places.join(", ")
        );
        let mut values = params![id, job, package.as_str()].to_vec();
        values.extend(limits.entries().map(|(_, limit)| Param::from(amount(limit))));
        self.execute(&sql, &values)?;
        Ok(())
    }

    /// The least that an account is given of something, now or after one of its queued changes.
    pub fn tightest(&mut self, id: AccountId, name: &'static str) -> Result<Limit, StoreError> {
        let sql = format!("SELECT MIN({}) AS n FROM allotments WHERE account_id = $1", known(name)?);
        let row = self.query_one(&sql, params![id])?;
        Ok(columns("allotments", &row).maybe_number("n")?.and_then(|n| limit(n.max(0) as u64)))
    }

    /// The most that an account is given, now or after one of its queued changes; `None`: nothing is known of it.
    pub fn most_allotted(&mut self, id: AccountId) -> Result<Option<Limits>, StoreError> {
        let each: Vec<String> = Limits::NAMES.iter().map(|name| format!("MAX({name}) AS {name}")).collect();
        let sql = format!("SELECT {} FROM allotments WHERE account_id = $1", each.join(", "));
        let row = self.query_one(&sql, params![id])?;
        let c = columns("allotments", &row);
        let mut limits = Limits::default();
        for name in Limits::NAMES {
            let Some(number) = c.maybe_number(name)? else { return Ok(None) };
            if let Some(field) = limits.field_mut(name) {
                *field = limit(number.max(0) as u64);
            }
        }
        Ok(Some(limits))
    }

    /// What the accounts of somebody are given of these things together, without one of them. Of an account with queued
    /// changes the larger amount counts.
    pub fn allotted(
        &mut self,
        owner: UserId,
        without: Option<AccountId>,
        names: &[&'static str],
    ) -> Result<BTreeMap<&'static str, Sum>, StoreError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let inner: Vec<String> =
            names.iter().map(|name| known(name).map(|n| format!("MAX(l.{n}) AS {n}"))).collect::<Result<_, _>>()?;
        // Numbers stay below 2^63 in both sums; SUM is numeric on PostgreSQL.
        let outer: Vec<String> = names
            .iter()
            .map(|n| {
                format!(
                    "CAST(COALESCE(SUM(CASE WHEN {n} < {UNLIMITED} THEN {n} ELSE 0 END), 0) AS BIGINT) AS {n}, \
                     CAST(COALESCE(SUM(CASE WHEN {n} < {UNLIMITED} THEN 0 ELSE 1 END), 0) AS BIGINT) AS {n}_none"
                )
            })
            .collect();
        let sql = format!(
            "SELECT {} FROM (SELECT {} FROM allotments l JOIN accounts a ON a.id = l.account_id \
             WHERE a.owner_id = $1 AND a.id <> $2 GROUP BY l.account_id) AS each_account",
            outer.join(", "),
            inner.join(", ")
        );
        let row = self.query_one(&sql, params![owner, without.map(|id| id.to_string()).unwrap_or_default()])?;
        let c = columns("allotments", &row);
        names
            .iter()
            .map(|name| Ok((*name, Sum { given: c.count(name)?, unlimited: c.count(&format!("{name}_none"))? })))
            .collect()
    }
}

/// Column names come from the program alone; this keeps it so.
fn known(name: &str) -> Result<&str, StoreError> {
    match Limits::NAMES.contains(&name) {
        true => Ok(name),
        false => Err(StoreError::Database(format!("there is no limit {name:?}"))),
    }
}
