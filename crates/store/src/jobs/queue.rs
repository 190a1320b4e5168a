//! Putting jobs in, and whose turn it is.

use super::{NewJob, OPEN};
use crate::db::params;
use crate::row::{columns, to_json};
use crate::{Lock, StoreError, Tx};
use jiff::Timestamp;
use std::fmt::Display;
use std::str::FromStr;
use wcp360_types::UserId;
use wcp360_types::api::job::JobStep;

impl Tx<'_> {
    /// Queues a job.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_job(&mut self, new: &NewJob, now: Timestamp) -> Result<(), StoreError> {
        let steps: Vec<JobStep> = (0..).zip(new.steps).map(|(index, name)| JobStep::queued(index, name)).collect();
        let (request, subject) = (&new.request, &new.subject);
        self.lock(Lock::Lane(&subject.lane))?;
        let sql = format!(
            "INSERT INTO jobs (id, operation, lane, tenant, account_id, account, owner_id, actor, actor_id, source, \
             request_id, payload, steps, state, priority, undoes, schedule_id, created_at, updated_at, run_at, lease_token, \
             lease_until, cancel_requested, turn, head) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'queued', $14, $15, $16, $17, $17, $17, 0, 0, 0, \
             {}, {})",
            turn("$4", "$14"),
            is_head("$3"),
        );
        let values = params![
            new.id,
            &request.operation,
            &subject.lane,
            &subject.tenant,
            subject.account_id,
            subject.account.as_ref().map(|name| name.as_str()),
            subject.owner_id,
            &request.actor,
            request.actor_id,
            &request.source,
            &request.request_id,
            &request.payload,
            to_json(&steps),
            new.priority,
            new.undoes,
            new.schedule,
            now,
        ];
        self.execute(&sql, values)?;
        if let Some(undone) = new.undoes {
            self.execute("UPDATE jobs SET undone_by = $2 WHERE id = $1", params![undone, new.id])?;
        }
        Ok(())
    }

    /// Whether a lane has jobs that are not over.
    pub fn is_lane_busy(&mut self, lane: &str) -> Result<bool, StoreError> {
        let sql = format!("SELECT id FROM jobs WHERE lane = $1 AND state IN {OPEN} LIMIT 1");
        Ok(self.query_opt(&sql, params![lane])?.is_some())
    }

    /// Whether a lane has jobs that are not over, or one that ended since a moment.
    pub fn is_lane_moving(&mut self, lane: &str, since: Timestamp) -> Result<bool, StoreError> {
        if self.is_lane_busy(lane)? {
            return Ok(true);
        }
        let sql = "SELECT id FROM jobs WHERE lane = $1 AND finished_at >= $2 LIMIT 1";
        Ok(self.query_opt(sql, params![lane, since])?.is_some())
    }

    /// How many jobs of a lane are not over.
    pub fn lane_length(&mut self, lane: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) AS n FROM jobs WHERE lane = $1 AND state IN {OPEN}");
        columns("jobs", &self.query_one(&sql, params![lane])?).count("n")
    }

    /// Queues jobs whose time has come, and those whose worker is gone; how many.
    pub fn wake_due(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE jobs SET state = 'queued', updated_at = $1 WHERE state = 'waiting' AND run_at <= $1";
        let woken = self.execute(sql, params![now])?;
        let sql = "UPDATE jobs SET state = 'queued', updated_at = $1 WHERE state = 'running' AND lease_until < $1";
        Ok(woken + self.execute(sql, params![now])?)
    }

    /// Whether [`Tx::wake_due`] would find something.
    pub fn is_anything_due(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM jobs WHERE state = 'waiting' AND run_at <= $1 UNION ALL \
                   SELECT id FROM jobs WHERE state = 'running' AND lease_until < $1 LIMIT 1";
        Ok(self.query_opt(sql, params![now])?.is_some())
    }

    /// When the next waiting job wants to run.
    pub fn next_run(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.query_one("SELECT MIN(run_at) AS at FROM jobs WHERE state = 'waiting'", &[])?;
        columns("jobs", &row).maybe_time("at")
    }

    /// Makes the next job of a lane one that may run. Called whenever a job of it is over.
    pub(super) fn promote(&mut self, lane: &str) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE jobs SET head = 1 WHERE id = \
             (SELECT MIN(id) FROM jobs WHERE lane = $1 AND state IN {OPEN}) AND head = 0"
        );
        self.execute(&sql, params![lane])?;
        Ok(())
    }

    /// The job or bulk change that an earlier request with this key made, and what that request was.
    pub fn idempotent<I>(&mut self, user: UserId, key: &str) -> Result<Option<(String, I)>, StoreError>
    where
        I: FromStr,
        I::Err: Display,
    {
        let sql = "SELECT name, request, job_id FROM idempotency WHERE user_id = $1 AND name = $2";
        let row = self.query_opt(sql, params![user, key])?;
        row.map(|row| {
            let c = columns("idempotency", &row);
            Ok((c.text("request")?, c.parsed("job_id")?))
        })
        .transpose()
    }

    /// Forgets keys of requests before a moment: a repetition makes something new from then on.
    pub fn purge_keys(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM idempotency WHERE created_at < $1", params![before])
    }

    /// Forgets jobs that were over before a moment, with their logs and what their steps left; how many, `most` at most.
    pub fn purge_jobs(&mut self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM jobs WHERE id IN \
                   (SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < $1 ORDER BY finished_at LIMIT $2)";
        self.execute(sql, params![before, i64::from(most)])
    }

    /// Remembers which job or bulk change a request with a key made.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if the same key came a second time meanwhile.
    pub fn remember_key(
        &mut self,
        user: UserId,
        key: &str,
        request: &str,
        made: impl Display,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO idempotency (user_id, name, request, job_id, created_at) VALUES ($1, $2, $3, $4, $5)";
        self.insert_new(sql, params![user, key, request, made.to_string(), now], "idempotency key")
    }
}

/// The turn of a tenant's next job: after those of its own that wait, and not before who waits already. A tenant that comes
/// new goes beside the first of those who wait (with the same priority), not behind the last.
fn turn(tenant: &str, priority: &str) -> String {
    let first = format!(
        "SELECT turn - 1 FROM jobs WHERE state = 'queued' AND head = 1 AND priority = {priority} ORDER BY turn, id LIMIT 1"
    );
    format!(
        "(SELECT COALESCE(MAX(t), 0) + 1 FROM (SELECT MAX(turn) AS t FROM jobs WHERE tenant = {tenant} AND state IN {OPEN} \
         UNION ALL SELECT ({first}) AS t) AS turns)"
    )
}

fn is_head(lane: &str) -> String {
    format!("CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE lane = {lane} AND state IN {OPEN}) THEN 0 ELSE 1 END")
}
