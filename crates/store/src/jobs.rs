//! The job queue: rows with ordered steps, leased by workers and fenced by a token (ENG-01, ENG-02).

use crate::db::Row;
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Db, Scope, StoreError, Tx};
use jiff::{SignedDuration, Timestamp};
use sqlx::AssertSqlSafe;
use wcp360_types::api::job::{Job, JobFilter, JobLogLine, JobState, JobStep};
use wcp360_types::api::page::Page;
use wcp360_types::plan::Plan;
use wcp360_types::{AccountId, JobId, UserId, Username};

/// A job to be queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Identifier; later ones sort after earlier ones.
    pub id: JobId,
    /// Operation id, e.g. `accounts.create`.
    pub operation: &'static str,
    /// The account it changes.
    pub account_id: AccountId,
    /// Its name.
    pub account: Username,
    /// Whose account.
    pub owner_id: UserId,
    /// Who asked.
    pub actor: String,
    /// The request.
    pub request_id: String,
    /// What the engine needs to do it, as JSON.
    pub payload: String,
    /// Names of its steps, in order.
    pub steps: &'static [&'static str],
}

/// A job that a worker holds.
#[derive(Debug, Clone)]
pub struct LeasedJob {
    /// Identifier.
    pub id: JobId,
    /// Operation id.
    pub operation: String,
    /// The account it changes.
    pub account_id: AccountId,
    /// Its name.
    pub account: Username,
    /// Whose account.
    pub owner_id: UserId,
    /// Who asked.
    pub actor: String,
    /// The request.
    pub request_id: String,
    /// What the engine needs to do it, as JSON.
    pub payload: String,
    /// Rises with every lease: a write with an older one is refused.
    pub lease_token: i64,
    /// Its steps with their outputs.
    pub steps: Vec<StoredStep>,
}

/// A step as the engine sees it.
#[derive(Debug, Clone)]
pub struct StoredStep {
    /// Name.
    pub name: String,
    /// Where it stands.
    pub state: JobState,
    /// How often it was tried.
    pub attempts: u32,
    /// What it produced, as JSON.
    pub output: Option<String>,
}

/// States in which a job still wants something; the same list as in the index `jobs_open`.
const OPEN: &str = "('queued', 'running', 'waiting')";

/// Whether the worker with lease `$2` still holds job `$1`.
const HELD: &str = "EXISTS (SELECT 1 FROM jobs WHERE id = $1 AND lease_token = $2 AND state = 'running')";

const JOB: &str = "SELECT id, operation, account, state, actor, request_id, error, applied, created_at, updated_at, \
                   finished_at FROM jobs";

fn job(row: &Row) -> Result<Job, StoreError> {
    let c = columns("jobs", row);
    Ok(Job {
        id: c.parsed("id")?,
        operation: c.text("operation")?,
        account: c.parsed("account")?,
        state: c.parsed("state")?,
        actor: c.text("actor")?,
        request_id: c.text("request_id")?,
        steps: Vec::new(),
        error: c.maybe_text("error")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
        finished_at: c.maybe_time("finished_at")?,
        applied: c.maybe_json::<Plan>("applied")?,
    })
}

const STEPS: &str = "SELECT job_id, position, name, state, attempts, started_at, finished_at, error, output \
                     FROM job_steps WHERE job_id = $1 ORDER BY position";

fn step(row: &Row) -> Result<JobStep, StoreError> {
    let c = columns("job_steps", row);
    Ok(JobStep {
        index: c.count("position")? as u32,
        name: c.text("name")?,
        state: c.parsed("state")?,
        attempts: c.count("attempts")? as u32,
        started_at: c.maybe_time("started_at")?,
        finished_at: c.maybe_time("finished_at")?,
        error: c.maybe_text("error")?,
    })
}

impl Db {
    /// The jobs in a scope, newest first, without their steps.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub async fn jobs(
        &self,
        scope: Scope,
        filter: &JobFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Job>, StoreError> {
        let mut conditions = scope.condition("account_id");
        conditions += if filter.account.is_some() { " AND account = $4" } else { " AND $4 = ''" };
        conditions += if filter.state.is_some() { " AND state = $5" } else { " AND $5 = ''" };
        let sql = format!("{JOB} WHERE id < $2 AND {conditions} ORDER BY id DESC LIMIT $3");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.key())
            // Sorts after every identifier.
            .bind(cursor.and_then(decode_cursor).unwrap_or_else(|| "~".into()))
            .bind(i64::from(limit) + 1)
            .bind(filter.account.as_ref().map(Username::to_string).unwrap_or_default())
            .bind(filter.state.map(JobState::as_str).unwrap_or_default())
            .fetch_all(&self.read)
            .await?;
        let jobs: Result<Vec<_>, _> = rows.iter().map(job).collect();
        Ok(page(jobs?, limit, |j| j.id.to_string()))
    }

    /// A job in a scope, with its steps.
    pub async fn job(&self, scope: Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        let sql = format!("{JOB} WHERE id = $2 AND {}", scope.condition("account_id"));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.key()).bind(id.to_string());
        let Some(row) = query.fetch_optional(&self.read).await? else { return Ok(None) };
        let mut found = job(&row)?;
        let rows = sqlx::query(STEPS).bind(id.to_string()).fetch_all(&self.read).await?;
        found.steps = rows.iter().map(step).collect::<Result<_, _>>()?;
        Ok(Some(found))
    }

    /// Lines of a job's log after a position.
    pub async fn job_log(&self, id: JobId, after: u64) -> Result<Vec<JobLogLine>, StoreError> {
        let sql =
            "SELECT job_id, seq, at, step, message FROM job_log WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT 1000";
        let query = sqlx::query(sql).bind(id.to_string()).bind(i64::try_from(after).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&self.read).await?;
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

    /// Takes the oldest job that may run now, if there is one, and begins its next step.
    ///
    /// A job may run if its time has come, nobody holds it, and no earlier job of its account is open.
    pub async fn lease_job(&self, now: Timestamp, lease: SignedDuration) -> Result<Option<LeasedJob>, StoreError> {
        let sql = format!(
            "SELECT id, operation, account_id, account, owner_id, actor, request_id, payload, lease_token FROM jobs j \
             WHERE state IN {OPEN} AND (state <> 'running' AND run_at <= $1 OR state = 'running' AND lease_until < $1) \
             AND NOT EXISTS (SELECT 1 FROM jobs e WHERE e.account_id = j.account_id AND e.id < j.id AND e.state IN {OPEN}) \
             ORDER BY id LIMIT 1"
        );
        // Most looks find nothing, and need not wait for whoever is writing.
        let look = sqlx::query(AssertSqlSafe(sql.clone())).bind(now.as_millisecond());
        if look.fetch_optional(&self.read).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(now.as_millisecond());
        let Some(row) = query.fetch_optional(&mut *tx.inner).await? else { return Ok(None) };
        let c = columns("jobs", &row);
        let mut leased = LeasedJob {
            id: c.parsed("id")?,
            operation: c.text("operation")?,
            account_id: c.parsed("account_id")?,
            account: c.parsed("account")?,
            owner_id: c.parsed("owner_id")?,
            actor: c.text("actor")?,
            request_id: c.text("request_id")?,
            payload: c.text("payload")?,
            lease_token: c.number("lease_token")? + 1,
            steps: Vec::new(),
        };
        let until = now.as_millisecond() + lease.as_millis() as i64;
        let sql =
            "UPDATE jobs SET state = 'running', lease_token = $2, lease_until = $3, updated_at = $4 WHERE id = $1";
        sqlx::query(sql)
            .bind(leased.id.to_string())
            .bind(leased.lease_token)
            .bind(until)
            .bind(now.as_millisecond())
            .execute(&mut *tx.inner)
            .await?;
        let rows = sqlx::query(STEPS).bind(leased.id.to_string()).fetch_all(&mut *tx.inner).await?;
        for row in &rows {
            let c = columns("job_steps", row);
            leased.steps.push(StoredStep {
                name: c.text("name")?,
                state: c.parsed("state")?,
                attempts: c.count("attempts")? as u32,
                output: c.maybe_text("output")?,
            });
        }
        if let Some(next) = leased.steps.iter().position(|step| step.state != JobState::Succeeded) {
            tx.begin_step(&leased, next, now).await?;
        }
        tx.commit().await?;
        Ok(Some(leased))
    }

    /// When the next waiting job wants to run.
    pub async fn next_run(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql =
            "SELECT MIN(run_at) AS at FROM jobs WHERE state IN ('queued', 'running', 'waiting') AND state <> 'running'";
        columns("jobs", &sqlx::query(sql).fetch_one(&self.read).await?).maybe_time("at")
    }

    /// Frees what a process that is gone held. Only for a database that one process uses at a time.
    pub async fn release_leases(&self) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE jobs SET state = 'queued', lease_until = 0 WHERE state = 'running'")
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected())
    }

    /// Prolongs a lease.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker has the job.
    pub async fn renew_lease(&self, job: &LeasedJob, until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let query = sqlx::query(sql).bind(job.id.to_string()).bind(job.lease_token).bind(until.as_millisecond());
        fenced(query.execute(&self.write).await?.rows_affected())
    }

    /// How many jobs are in each state.
    pub async fn job_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state").fetch_all(&self.read).await?;
        rows.iter()
            .map(|row| {
                let c = columns("jobs", row);
                Ok((c.text("state")?, c.count("n")?))
            })
            .collect()
    }
}

fn fenced(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
}

impl Tx {
    /// Queues a job.
    pub async fn insert_job(&mut self, new: &NewJob, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO jobs (id, operation, account_id, account, owner_id, state, actor, request_id, payload, \
                   run_at, lease_token, lease_until, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, 0, 0, $9, $9)";
        sqlx::query(sql)
            .bind(new.id.to_string())
            .bind(new.operation)
            .bind(new.account_id.to_string())
            .bind(new.account.as_str())
            .bind(new.owner_id.to_string())
            .bind(&new.actor)
            .bind(&new.request_id)
            .bind(&new.payload)
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        let rows: Vec<String> = (0..new.steps.len()).map(|n| format!("($1, {n}, ${}, 'queued', 0)", n + 2)).collect();
        let sql = format!("INSERT INTO job_steps (job_id, position, name, state, attempts) VALUES {}", rows.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(new.id.to_string());
        for name in new.steps {
            query = query.bind(*name);
        }
        query.execute(&mut *self.inner).await?;
        Ok(())
    }

    /// Whether an account has jobs that are not over.
    pub async fn has_open_jobs(&mut self, account: AccountId) -> Result<bool, StoreError> {
        let sql = format!("SELECT COUNT(*) AS n FROM jobs WHERE account_id = $1 AND state IN {OPEN}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(account.to_string());
        Ok(columns("jobs", &query.fetch_one(&mut *self.inner).await?).count("n")? > 0)
    }

    /// Notes that a step is being tried.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if another worker has the job; so for all that take a lease.
    pub async fn begin_step(&mut self, job: &LeasedJob, position: usize, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE job_steps SET state = 'running', attempts = attempts + 1, started_at = COALESCE(started_at, $4) \
             WHERE job_id = $1 AND position = $3 AND {HELD}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(job.id.to_string()).bind(job.lease_token);
        let query = query.bind(position as i64).bind(now.as_millisecond());
        fenced(query.execute(&mut *self.inner).await?.rows_affected())
    }

    /// Notes how a step went; `output` is for later steps.
    pub async fn end_step(
        &mut self,
        job: &LeasedJob,
        position: usize,
        state: JobState,
        error: Option<&str>,
        output: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE job_steps SET state = $4, error = $5, output = COALESCE($6, output), finished_at = $7 \
             WHERE job_id = $1 AND position = $3 AND {HELD}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(job.id.to_string())
            .bind(job.lease_token)
            .bind(position as i64)
            .bind(state.as_str())
            .bind(error)
            .bind(output)
            .bind(state.is_final().then_some(now.as_millisecond()));
        fenced(query.execute(&mut *self.inner).await?.rows_affected())
    }

    /// Gives a job back to the queue, to run again at `run_at`.
    pub async fn postpone_job(&mut self, job: &LeasedJob, error: &str, run_at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET state = 'waiting', error = $3, run_at = $4, lease_until = 0 \
                   WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let query = sqlx::query(sql).bind(job.id.to_string()).bind(job.lease_token).bind(error);
        fenced(query.bind(run_at.as_millisecond()).execute(&mut *self.inner).await?.rows_affected())
    }

    /// Ends a job.
    pub async fn finish_job(
        &mut self,
        job: &LeasedJob,
        state: JobState,
        error: Option<&str>,
        applied: Option<&Plan>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET state = $3, error = $4, applied = COALESCE($5, applied), finished_at = $6, \
                   updated_at = $6, lease_until = 0 WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let query = sqlx::query(sql)
            .bind(job.id.to_string())
            .bind(job.lease_token)
            .bind(state.as_str())
            .bind(error)
            .bind(applied.map(to_json))
            .bind(now.as_millisecond());
        fenced(query.execute(&mut *self.inner).await?.rows_affected())
    }

    /// Adds lines to a job's log.
    pub async fn log_job(
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
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).bind(now.as_millisecond()).bind(step);
            for message in chunk {
                query = query.bind(message);
            }
            query.execute(&mut *self.inner).await?;
        }
        Ok(())
    }

    /// The job that an earlier request with this key made, and what that request was.
    pub async fn idempotent(&mut self, user: UserId, key: &str) -> Result<Option<(String, JobId)>, StoreError> {
        let sql = "SELECT name, request, job_id FROM idempotency WHERE user_id = $1 AND name = $2";
        let query = sqlx::query(sql).bind(user.to_string()).bind(key);
        let row = query.fetch_optional(&mut *self.inner).await?;
        row.map(|row| {
            let c = columns("idempotency", &row);
            Ok((c.text("request")?, c.parsed("job_id")?))
        })
        .transpose()
    }

    /// Remembers which job a request with a key made.
    pub async fn remember_key(
        &mut self,
        user: UserId,
        key: &str,
        request: &str,
        job: JobId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO idempotency (user_id, name, request, job_id, created_at) VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(user.to_string())
            .bind(key)
            .bind(request)
            .bind(job.to_string())
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
