//! Changes that are to be asked for later, once or again and again (ENG-03).

use crate::db::{Row, params};
use crate::row::{columns, decode_cursor, page};
use crate::{Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::page::Page;
use wcp360_types::api::schedule::Schedule;
use wcp360_types::{AccountId, JobId, ScheduleId, TokenId, UserId, Username};

/// A schedule to be kept.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// What is shown.
    pub shown: Schedule,
    /// The account.
    pub account_id: AccountId,
    /// Whose account.
    pub owner_id: UserId,
    /// Who asked.
    pub actor_id: UserId,
    /// With which token, if it was one.
    pub token_id: Option<TokenId>,
    /// The change, as JSON.
    pub change: String,
}

/// A schedule whose time has come.
#[derive(Debug, Clone)]
pub struct DueSchedule {
    /// Identifier.
    pub id: ScheduleId,
    /// The account.
    pub account: Username,
    /// Who asked.
    pub actor_id: UserId,
    /// With which token, if it was one.
    pub token_id: Option<TokenId>,
    /// How often in a row it was refused before.
    pub refusals: u64,
    /// Operation id.
    pub operation: String,
    /// The change, as JSON.
    pub change: String,
    /// When again, as crontab(5) has it; none: once.
    pub cron: Option<String>,
}

const SHOWN: &str = "SELECT s.id, s.name, s.account, s.operation, s.cron, s.next_run, s.last_run, s.last_job, s.last_error, \
                     s.created_at, u.username AS actor FROM schedules s JOIN users u ON u.id = s.actor_id";

fn shown(row: &Row) -> Result<Schedule, StoreError> {
    let c = columns("schedules", row);
    Ok(Schedule {
        id: c.parsed("id")?,
        name: c.text("name")?,
        account: c.parsed("account")?,
        operation: c.text("operation")?,
        cron: c.maybe_text("cron")?,
        next_run: c.maybe_time("next_run")?,
        last_run: c.maybe_time("last_run")?,
        last_job: c.maybe_parsed("last_job")?,
        last_error: c.maybe_text("last_error")?,
        actor: c.text("actor")?,
        created_at: c.time("created_at")?,
    })
}

/// A condition over `actor_id`: everything, or only what administrators asked for.
pub(crate) fn by_admins(only: bool) -> &'static str {
    if only { "actor_id IN (SELECT id FROM users WHERE role IN ('root', 'admin'))" } else { "1 = 1" }
}

/// The scope over the columns of `schedules`.
fn visible(scope: Scope) -> String {
    scope.condition("s.account_id", "s.owner_id")
}

impl Tx<'_> {
    /// Keeps a schedule.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_schedule(&mut self, new: &NewSchedule) -> Result<(), StoreError> {
        let sql = "INSERT INTO schedules (id, name, account_id, account, owner_id, actor_id, operation, change, cron, \
                   next_run, created_at, token_id, refusals) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0)";
        let s = &new.shown;
        let values = params![
            s.id,
            &s.name,
            new.account_id,
            s.account.as_str(),
            new.owner_id,
            new.actor_id,
            &s.operation,
            &new.change,
            s.cron.as_deref(),
            s.next_run,
            s.created_at,
            new.token_id,
        ];
        self.execute(sql, values)?;
        Ok(())
    }

    /// The schedules in a scope, by id.
    pub fn schedules(&mut self, scope: Scope, limit: u32, cursor: Option<&str>) -> Result<Page<Schedule>, StoreError> {
        let sql = format!("{SHOWN} WHERE {} AND s.id > $2 ORDER BY s.id LIMIT $3", visible(scope));
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let rows = self.query(&sql, params![scope.key(), after, i64::from(limit) + 1])?;
        let found: Result<Vec<_>, _> = rows.iter().map(shown).collect();
        Ok(page(found?, limit, |s| s.id.to_string()))
    }

    /// How many schedules an account has.
    pub fn schedule_count(&mut self, account: AccountId) -> Result<u64, StoreError> {
        let row = self.query_one("SELECT COUNT(*) AS n FROM schedules WHERE account_id = $1", params![account])?;
        columns("schedules", &row).count("n")
    }

    /// A schedule in a scope.
    pub fn schedule(&mut self, scope: Scope, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        let sql = format!("{SHOWN} WHERE {} AND s.id = $2", visible(scope));
        self.query_opt(&sql, params![scope.key(), id])?.as_ref().map(shown).transpose()
    }

    /// Forgets a schedule; whether there was one in the scope.
    pub fn delete_schedule(&mut self, scope: Scope, id: ScheduleId) -> Result<bool, StoreError> {
        let sql = format!("DELETE FROM schedules WHERE {} AND id = $2", scope.condition("account_id", "owner_id"));
        Ok(self.execute(&sql, params![scope.key(), id])? > 0)
    }

    /// Schedules whose time has come, all or those of administrators only; where several processes share a database, each goes
    /// to one of them.
    pub fn due_schedules(&mut self, of_admins: bool, now: Timestamp) -> Result<Vec<DueSchedule>, StoreError> {
        let whose = by_admins(of_admins);
        let sql = format!(
            "SELECT id, account, actor_id, token_id, refusals, operation, change, cron FROM schedules \
             WHERE next_run <= $1 AND {whose} ORDER BY next_run LIMIT 100 {}",
            self.skip_locked()
        );
        let rows = self.query(&sql, params![now])?;
        rows.iter()
            .map(|row| {
                let c = columns("schedules", row);
                Ok(DueSchedule {
                    id: c.parsed("id")?,
                    account: c.parsed("account")?,
                    actor_id: c.parsed("actor_id")?,
                    token_id: c.maybe_parsed("token_id")?,
                    refusals: c.count("refusals")?,
                    operation: c.text("operation")?,
                    change: c.text("change")?,
                    cron: c.maybe_text("cron")?,
                })
            })
            .collect()
    }

    /// Notes what became of a schedule whose time had come, and when it comes again.
    pub fn schedule_ran(
        &mut self,
        id: ScheduleId,
        outcome: Result<JobId, &str>,
        next: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (job, error) = match outcome {
            Ok(job) => (Some(job), None),
            Err(error) => (None, Some(error)),
        };
        let sql = "UPDATE schedules SET last_run = $2, last_job = COALESCE($3, last_job), last_error = $4, next_run = $5, \
                   refusals = CASE WHEN $3 IS NULL THEN refusals + 1 ELSE 0 END WHERE id = $1";
        self.execute(sql, params![id, now, job, error, next])?;
        Ok(())
    }

    /// When the next schedule is due, of all or of administrators only.
    pub fn next_schedule(&mut self, of_admins: bool) -> Result<Option<Timestamp>, StoreError> {
        let whose = by_admins(of_admins);
        let sql = format!("SELECT MIN(next_run) AS at FROM schedules WHERE next_run IS NOT NULL AND {whose}");
        let row = self.query_one(&sql, &[])?;
        columns("schedules", &row).maybe_time("at")
    }
}
