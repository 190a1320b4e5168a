//! Showing jobs.

use super::{JOB, LeasedJob, job, leased};
use crate::db::{Param, params};
use crate::row::{columns, decode_cursor, page};
use crate::{Scope, StoreError, Tx};
use wcp360_types::JobId;
use wcp360_types::api::job::{Job, JobFilter, JobLogLine};
use wcp360_types::api::page::Page;

impl Tx<'_> {
    /// The jobs in a scope, newest first. Rows that can't be read are left out and reported in the log.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn jobs(
        &mut self,
        scope: Scope,
        filter: &JobFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Job>, StoreError> {
        // Sorts after every identifier.
        let before = cursor.and_then(decode_cursor).unwrap_or_else(|| "~".into());
        let mut values = params![scope.key(), before, i64::from(limit) + 1].to_vec();
        let mut conditions = scope.condition("account_id", "owner_id");
        let mut only = |column: &str, value: Option<Param>| {
            if let Some(value) = value {
                values.push(value);
                conditions += &format!(" AND {column} = ${}", values.len());
            }
        };
        only("account", filter.account.as_ref().map(|name| Param::from(name.as_str())));
        only("state", filter.state.map(|state| Param::from(state.as_str())));
        only("operation", filter.operation.as_ref().map(Param::from));
        let sql = format!("{JOB} WHERE id < $2 AND {conditions} ORDER BY id DESC LIMIT $3");
        let rows = self.query(&sql, &values)?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            match job(row) {
                Ok(job) => jobs.push(job),
                Err(error) => tracing::error!(%error, "a job can't be shown"),
            }
        }
        Ok(page(jobs, limit, |j| j.id.to_string()))
    }

    /// A job in a scope, with its steps.
    pub fn job(&mut self, scope: Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        let sql = format!("{JOB} WHERE id = $2 AND {}", scope.condition("account_id", "owner_id"));
        self.query_opt(&sql, params![scope.key(), id])?.as_ref().map(job).transpose()
    }

    /// A job in a scope as the engine needs it.
    pub fn stored_job(&mut self, scope: Scope, id: JobId) -> Result<Option<LeasedJob>, StoreError> {
        let sql = format!("{JOB} WHERE id = $2 AND {}", scope.condition("account_id", "owner_id"));
        self.query_opt(&sql, params![scope.key(), id])?.as_ref().map(leased).transpose()
    }

    /// Lines of a job's log after a position.
    pub fn job_log(&mut self, id: JobId, after: u64) -> Result<Vec<JobLogLine>, StoreError> {
        let sql =
            "SELECT job_id, seq, at, step, message FROM job_log WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT 1000";
        let rows = self.query(sql, params![id, after])?;
        rows.iter()
            .map(|row| {
                let c = columns("job_log", row);
                Ok(JobLogLine {
                    seq: c.count("seq")?,
                    at: c.time("at")?,
                    step: c.maybe_text("step")?,
                    message: c.text("message")?,
                })
            })
            .collect()
    }

    /// How many jobs are in each state.
    pub fn job_counts(&mut self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = self.query("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state", &[])?;
        rows.iter()
            .map(|row| {
                let c = columns("jobs", row);
                Ok((c.text("state")?, c.count("n")?))
            })
            .collect()
    }
}
