//! Changes that are asked for later, once or again and again (ENG-03).

use super::accounts::{self, With};
use super::node::maintenance;
use super::queue::{self, JobRequest};
use crate::caller::{Caller, Origin};
use crate::change::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use wcp360_api::Access;
use wcp360_store::audit::NewAudit;
use wcp360_store::schedules::{DueSchedule, NewSchedule};
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::schedule::{CreateSchedule, Schedule, ScheduledChange};
use wcp360_types::{JobId, Problem, RequestId, ScheduleId};

/// Schedules of one account at most.
const MOST: u64 = 100;
/// Refusals in a row after which it is not asked again: nobody reads what is written every minute for ever.
const MOST_REFUSALS: u64 = 10;
/// Scheduled jobs come after those that somebody waits for.
const PRIORITY: i64 = -10;

impl Engine {
    /// Keeps a change to be asked for later.
    ///
    /// # Errors
    /// There is no such account for the caller, a time that is past or no time, a change that the caller may not ask for.
    pub async fn create_schedule(&self, caller: &Caller, request: CreateSchedule) -> Result<Schedule, EngineError> {
        let now = Timestamp::now();
        if request.name.chars().count() > 100 || request.name.chars().any(char::is_control) {
            return Err(Problem::invalid("name", "use at most 100 characters in one line").into());
        }
        let next_run = match (&request.run_at, &request.cron) {
            (Some(at), None) if *at > now => *at,
            (Some(_), None) => return Err(Problem::invalid("run_at", "it is past; use a time to come").into()),
            (None, Some(cron)) => next(cron, now).map_err(|message| Problem::invalid("cron", message))?,
            _ => return Err(Problem::invalid("run_at", "give either run_at or cron").into()),
        };
        let operation = request.change.operation();
        may_ask(caller, operation)?;
        let change = change_of(request.change);
        change.check(&self.inner.settings.hostname)?;
        let caller = caller.clone();
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                let account = tx.account(caller.scope(), &request.account)?;
                let account = account.ok_or_else(|| Problem::not_found("account", &request.account))?;
                if tx.schedule_count(account.id)? >= MOST {
                    let message = format!("the account has {MOST} schedules; delete one first");
                    return Err(Problem::limit_exceeded("account", message).into());
                }
                let shown = Schedule {
                    id: ScheduleId::new(),
                    name: request.name,
                    account: account.username,
                    operation: operation.into(),
                    cron: request.cron,
                    next_run: Some(next_run),
                    last_run: None,
                    last_job: None,
                    last_error: None,
                    actor: caller.username,
                    created_at: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
                };
                tx.insert_schedule(&NewSchedule {
                    shown: shown.clone(),
                    account_id: account.id,
                    owner_id: account.owner_id,
                    actor_id: caller.user_id,
                    token_id: caller.token_id,
                    change: serde_json::to_string(&change).expect("plain data has a JSON form"),
                })?;
                Ok::<_, EngineError>(shown)
            })
            .await
            .inspect(|_| self.inner.clock.notify_one())
    }

    /// Forgets a schedule.
    ///
    /// # Errors
    /// There is none for the caller, or its change is not one that the caller may ask for.
    pub async fn delete_schedule(&self, caller: &Caller, id: ScheduleId) -> Result<(), EngineError> {
        let (scope, caller) = (caller.scope(), caller.clone());
        self.inner
            .db
            .write(move |tx| {
                let found = tx.schedule(scope, id)?.ok_or_else(|| Problem::not_found("schedule", id))?;
                // What somebody above has planned for an account is not for the account to drop.
                may_ask(&caller, &found.operation)?;
                tx.delete_schedule(scope, id)?;
                Ok(())
            })
            .await
    }

    /// Asks for what is due. One that is refused says so and does not stop the others.
    pub(crate) async fn run_schedules(&self, now: Timestamp) -> Result<(), EngineError> {
        let due = self.inner.db.read(next_due).await?;
        if due.is_none_or(|at| at > now) {
            return Ok(());
        }
        let panel = self.inner.settings.hostname.clone();
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                let of_admins = maintenance(tx)?.enabled;
                for schedule in tx.due_schedules(of_admins, now)? {
                    fire(tx, &panel, &schedule, now)?;
                }
                Ok::<_, EngineError>(())
            })
            .await?;
        self.inner.work.notify_one();
        self.inner.audit.mirror_soon();
        Ok(())
    }
}

/// When the next schedule is due. During maintenance only administrators' are run; those of others stay due until it is over.
pub(crate) fn next_due(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let of_admins = maintenance(tx)?.enabled;
    tx.next_schedule(of_admins)
}

fn fire(tx: &mut Tx<'_>, panel: &str, schedule: &DueSchedule, now: Timestamp) -> Result<(), EngineError> {
    // Times that were missed while the panel was down come once.
    let again = schedule.cron.as_ref().and_then(|cron| next(cron, now).ok());
    let (job, request_id) = (JobId::new(), RequestId::new().to_string());
    let mut outcome = match ask(tx, panel, schedule, job, &request_id, now) {
        Ok(()) => Ok(job),
        Err(EngineError::Store(error @ StoreError::Database(_))) => return Err(error.into()),
        Err(error) => Err(error.into_problem().detail),
    };
    let mut again = again;
    if let Err(detail) = &mut outcome
        && again.is_some()
        && schedule.refusals + 1 >= MOST_REFUSALS
    {
        *detail += &format!(" It was refused {MOST_REFUSALS} times in a row and is not asked again; make it anew.");
        again = None;
    }
    if let Err(detail) = &outcome {
        let entry = NewAudit {
            actor: "schedule".into(),
            source: "schedule".into(),
            action: schedule.operation.clone(),
            target: Some(schedule.account.to_string()),
            outcome: "refused".into(),
            detail: Some(detail.clone()),
            request_id,
            ..NewAudit::default()
        };
        tx.append_audit_about(&entry, Scope::All, &schedule.account, now)?;
    }
    Ok(tx.schedule_ran(schedule.id, outcome.as_ref().map(|job| *job).map_err(String::as_str), again, now)?)
}

/// Asks for the change as who scheduled it, with the rights they have now.
fn ask(
    tx: &mut Tx<'_>,
    panel: &str,
    schedule: &DueSchedule,
    job: JobId,
    request_id: &str,
    now: Timestamp,
) -> Result<(), EngineError> {
    let user = tx.user(schedule.actor_id)?.filter(|user| !user.suspended);
    let user = user.ok_or_else(|| Problem::forbidden("Who scheduled it can't log in any more."))?;
    if let Some(token) = schedule.token_id
        && tx.token(token)?.is_none()
    {
        return Err(Problem::forbidden("The token that it was scheduled with was revoked.").into());
    }
    let caller = Caller::new(&user, "schedule", None);
    let operation = may_ask(&caller, &schedule.operation)?;
    let change: Change = serde_json::from_str(&schedule.change)
        .map_err(|error| Problem::conflict(format!("The change can't be read by this version: {error}")))?;
    let how = JobRequest {
        operation: operation.id,
        origin: Origin { source: "schedule".into(), request_id: request_id.into() },
        dry_run: false,
        if_match: None,
        idempotency: None,
        undoes: None,
        authority: None,
        schedule: Some(schedule.id),
        priority: PRIORITY,
    };
    let target = accounts::reserve(tx, panel, &caller, &schedule.account, &change, With::default(), job)?;
    queue::queue(tx, &caller, &how, job, target, change, now)?;
    Ok(tx.append_audit(&queue::accepted(&caller, &how, Some(&schedule.account), job), now)?)
}

fn may_ask(caller: &Caller, operation: &str) -> Result<&'static wcp360_api::Operation, Problem> {
    let known = wcp360_api::find(operation);
    match known.map(|operation| operation.access) {
        Some(Access::Needs(permission)) if caller.may(permission) => Ok(known.expect("it was found")),
        _ => Err(Problem::forbidden(format!("\"{operation}\" needs a permission that you don't have."))),
    }
}

fn change_of(change: ScheduledChange) -> Change {
    match change {
        ScheduledChange::Suspend(request) => Change::Suspend { reason: request.reason },
        ScheduledChange::Unsuspend {} => Change::Unsuspend,
        ScheduledChange::Delete {} => Change::Delete,
        ScheduledChange::AddDomain(request) => Change::AddDomain { request },
        ScheduledChange::RemoveDomain { domain } => Change::RemoveDomain { domain },
    }
}

/// The next time, in UTC.
fn next(cron: &str, now: Timestamp) -> Result<Timestamp, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    let parsed: Cron = parser
        .parse(cron)
        .map_err(|error| format!("{error}; use five fields: minute, hour, day, month, weekday, e.g. \"0 3 * * 1\""))?;
    let next = parsed.find_next_occurrence(&now.to_zoned(TimeZone::UTC), false);
    Ok(next.map_err(|_| "it never comes; use a day that exists".to_owned())?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eng_03_cron_times() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-21T12:00:30Z");
        for (cron, expected) in [
            ("* * * * *", "2026-11-21T12:01:00Z"),
            ("0 3 * * 1", "2026-11-23T03:00:00Z"),
            ("30 2 29 2 *", "2028-02-29T02:30:00Z"),
        ] {
            assert_eq!(next(cron, now).unwrap(), at(expected), "{cron}");
        }
        for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "a b c d e"] {
            assert!(next(bad, now).is_err(), "{bad}");
        }
    }
}
