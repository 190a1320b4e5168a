//! Taking, keeping and ending jobs, fenced by a token: whoever lost its lease can't write any more.

use super::{LeasedJob, leased};
use crate::db::{Param, params};
use crate::row::{columns, to_json};
use crate::{Lock, StoreError, Tx};
use jiff::{SignedDuration, Timestamp};
use wcp360_types::JobId;
use wcp360_types::api::job::{JobState, JobStep};

/// Columns of a leased job, for `RETURNING`.
const RETURNING: &str = "id, operation, lane, tenant, account_id, account, owner_id, actor, actor_id, source, request_id, \
                         payload, steps, lease_token, cancel_requested, undoes";

impl Tx<'_> {
    /// Takes the next job that may run: the first of its lane, whose tenant's turn it is.
    ///
    /// A row that can't be read is ended as failed, with the reason, and the next one is taken.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn lease_job(&mut self, now: Timestamp, lease: SignedDuration) -> Result<Option<LeasedJob>, StoreError> {
        let sql = format!(
            "UPDATE jobs SET state = 'running', lease_token = lease_token + 1, lease_until = $2, updated_at = $1 WHERE id = \
             (SELECT id FROM jobs WHERE state = 'queued' AND head = 1 ORDER BY priority DESC, turn, id LIMIT 1 {}) \
             RETURNING {RETURNING}",
            self.skip_locked()
        );
        loop {
            let Some(row) = self.query_opt(&sql, params![now, now + lease])? else { return Ok(None) };
            match leased(&row) {
                Ok(job) => return Ok(Some(job)),
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "a job can't be read; it is ended as failed");
                    let c = columns("jobs", &row);
                    let (id, lane) = (c.text("id")?, c.text("lane")?);
                    let sql = "UPDATE jobs SET state = 'failed', error = $2, finished_at = $3, updated_at = $3, \
                               lease_until = 0 WHERE id = $1";
                    self.execute(sql, params![id, format!("the job's row can't be read: {error}"), now])?;
                    self.lock(Lock::Lane(&lane))?;
                    self.promote(&lane)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is a job that may run: a look that need not wait for whoever is writing.
    pub fn has_ready_job(&mut self) -> Result<bool, StoreError> {
        Ok(self.query_opt("SELECT id FROM jobs WHERE state = 'queued' AND head = 1 LIMIT 1", &[])?.is_some())
    }

    /// Frees what a process that is gone held. Only for a database that one process uses at a time.
    pub fn release_leases(&mut self) -> Result<u64, StoreError> {
        self.execute("UPDATE jobs SET state = 'queued', lease_until = 0 WHERE state = 'running'", &[])
    }

    /// Prolongs a lease; whether somebody asked to stop the job.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker has the job; so for all that take a lease.
    pub fn renew_lease(&mut self, job: JobId, token: i64, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_token = $2 AND state = 'running' \
                   RETURNING cancel_requested";
        let row = self.query_opt(sql, params![job, token, until])?.ok_or(StoreError::LeaseLost)?;
        Ok(columns("jobs", &row).number("cancel_requested")? == 1)
    }

    /// Writes down where the steps stand; whether somebody asked to stop the job.
    pub fn save_steps(
        &mut self,
        job: JobId,
        token: i64,
        steps: &[JobStep],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET steps = $3, updated_at = $4 \
                   WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING cancel_requested";
        let row = self.query_opt(sql, params![job, token, to_json(&steps), now])?.ok_or(StoreError::LeaseLost)?;
        Ok(columns("jobs", &row).number("cancel_requested")? == 1)
    }

    /// Gives a job back that was not begun.
    pub fn unlease_job(&mut self, job: &LeasedJob, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET state = 'queued', updated_at = $3, lease_until = 0 \
                   WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        fenced(self.execute(sql, params![job.id, job.lease_token, now])?)
    }

    /// Gives a job back, to run again at `run_at`; it stays the first of its lane.
    pub fn postpone_job(
        &mut self,
        job: &LeasedJob,
        steps: &[JobStep],
        error: &str,
        run_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET state = 'waiting', steps = $3, error = $4, run_at = $5, updated_at = $6, lease_until = 0 \
                   WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        fenced(self.execute(sql, params![job.id, job.lease_token, to_json(&steps), error, run_at, now])?)
    }

    /// Ends a job and lets the next one of its lane run.
    pub fn finish_job(
        &mut self,
        job: &LeasedJob,
        steps: &[JobStep],
        state: JobState,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.lock(Lock::Lane(&job.subject.lane))?;
        let sql = "UPDATE jobs SET state = $3, steps = $4, error = $5, finished_at = $6, updated_at = $6, lease_until = 0 \
                   WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        fenced(self.execute(sql, params![job.id, job.lease_token, state.as_str(), to_json(&steps), error, now])?)?;
        if let Some(undone) = job.undoes.filter(|_| state != JobState::Succeeded) {
            // It was not undone after all, and may be tried again.
            self.execute("UPDATE jobs SET undone_by = NULL WHERE id = $1 AND undone_by = $2", params![undone, job.id])?;
        }
        self.promote(&job.subject.lane)
    }

    /// Asks for a job to be stopped; a waiting one is looked at at once. Whether it was still open.
    pub fn request_cancel(&mut self, job: JobId, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET cancel_requested = 1, updated_at = $2, \
                   run_at = CASE WHEN state = 'waiting' THEN $2 ELSE run_at END \
                   WHERE id = $1 AND state IN ('queued', 'running', 'waiting')";
        Ok(self.execute(sql, params![job, now])? > 0)
    }

    /// Puts a failed job back into the queue, with these steps; with `cancel` to take back what it did.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if it is not failed (any more).
    pub fn requeue_job(
        &mut self,
        job: JobId,
        lane: &str,
        steps: &[JobStep],
        cancel: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.lock(Lock::Lane(lane))?;
        let sql = "UPDATE jobs SET state = 'queued', steps = $2, error = NULL, finished_at = NULL, cancel_requested = $3, \
                   resolution = NULL, run_at = $4, updated_at = $4, head = 0 WHERE id = $1 AND state = 'failed'";
        fenced(self.execute(sql, params![job, to_json(&steps), cancel, now])?)?;
        // A job of the lane that may run already goes first, even if it is younger.
        let sql =
            "SELECT id FROM jobs WHERE lane = $1 AND state IN ('queued', 'running', 'waiting') AND head = 1 LIMIT 1";
        if self.query_opt(sql, params![lane])?.is_none() {
            self.promote(lane)?;
        }
        Ok(())
    }

    /// Notes what became of a failed job; whether it was one.
    pub fn resolve_job(&mut self, job: JobId, note: &str, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET resolution = $2, updated_at = $3 WHERE id = $1 AND state = 'failed'";
        Ok(self.execute(sql, params![job, note, now])? > 0)
    }

    /// All that the steps of a job left, by name.
    pub fn artifacts(&mut self, job: JobId) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT name, content FROM job_artifacts WHERE job_id = $1 ORDER BY name";
        let rows = self.query(sql, params![job])?;
        rows.iter()
            .map(|row| {
                let c = columns("job_artifacts", row);
                Ok((c.text("name")?, c.text("content")?))
            })
            .collect()
    }

    /// Keeps what a step produced, for later steps and for who wants to see it. An earlier one of the name is replaced.
    pub fn save_artifact(&mut self, job: JobId, name: &str, content: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO job_artifacts (job_id, name, content) VALUES ($1, $2, $3) \
                   ON CONFLICT (job_id, name) DO UPDATE SET content = $3";
        self.execute(sql, params![job, name, content])?;
        Ok(())
    }

    /// What a step produced.
    pub fn artifact(&mut self, job: JobId, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT content FROM job_artifacts WHERE job_id = $1 AND name = $2";
        let row = self.query_opt(sql, params![job, name])?;
        row.map(|row| columns("job_artifacts", &row).text("content")).transpose()
    }

    /// Adds lines to a job's log.
    pub fn log_job(
        &mut self,
        id: JobId,
        step: Option<&str>,
        messages: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Well below what both databases allow as parameters of one statement.
        for chunk in messages.chunks(500) {
            let last = "(SELECT COALESCE(MAX(seq), 0) FROM job_log WHERE job_id = $1)";
            let rows: Vec<String> =
                (1..=chunk.len()).map(|n| format!("($1, {last} + {n}, $2, $3, ${})", n + 3)).collect();
            let sql = format!("INSERT INTO job_log (job_id, seq, at, step, message) VALUES {}", rows.join(", "));
            let mut values = params![id, now, step].to_vec();
            values.extend(chunk.iter().map(Param::from));
            self.execute(&sql, &values)?;
        }
        Ok(())
    }
}

fn fenced(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
}
