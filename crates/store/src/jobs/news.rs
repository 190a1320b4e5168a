//! What listeners are told of jobs (ENG-09).

use super::{JOB, OPEN, job};
use crate::db::params;
use crate::row::columns;
use crate::{StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::job::{Job, JobLogLine};
use wcp360_types::{AccountId, JobId, UserId};

/// How a job stands.
#[derive(Debug, Clone)]
pub struct JobNews {
    /// The job.
    pub job: Job,
    /// New lines of its log, at most 1000.
    pub lines: Vec<JobLogLine>,
    /// Whose it is.
    pub owner: UserId,
    /// The account it is about.
    pub account: Option<AccountId>,
}

impl Tx<'_> {
    /// A job and the lines of its log after a position. One that can't be read is left out.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn job_news(&mut self, id: JobId, after: u64) -> Result<Option<JobNews>, StoreError> {
        let Some(row) = self.query_opt(&format!("{JOB} WHERE id = $1"), params![id])? else { return Ok(None) };
        let c = columns("jobs", &row);
        match (job(&row), c.parsed("owner_id"), c.maybe_parsed("account_id")) {
            (Ok(job), Ok(owner), Ok(account)) => {
                Ok(Some(JobNews { job, lines: self.job_log(id, after)?, owner, account }))
            }
            _ => Ok(None),
        }
    }

    /// The jobs that changed at a moment or after, at most 500.
    pub fn jobs_changed_since(&mut self, since: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let sql = format!(
            "SELECT id FROM (SELECT id, updated_at FROM jobs WHERE state IN {OPEN} AND updated_at >= $1 \
             UNION ALL SELECT id, updated_at FROM jobs WHERE finished_at >= $1) AS changed \
             ORDER BY updated_at DESC LIMIT 500"
        );
        let rows = self.query(&sql, params![since])?;
        // An identifier that is none is reported where jobs are listed.
        Ok(rows.iter().filter_map(|row| columns("jobs", row).parsed("id").ok()).collect())
    }
}
