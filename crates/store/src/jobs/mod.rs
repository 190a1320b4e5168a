//! Jobs: rows with ordered steps (ENG-01 to ENG-03).
//!
//! - `queue`: putting jobs in, and whose turn it is;
//! - `lease`: taking, keeping and ending them, fenced by a token;
//! - `list`: showing them.

mod lease;
mod list;
mod news;
mod queue;

pub use news::JobNews;

use crate::StoreError;
use crate::db::Row;
use crate::row::{Columns, columns};
use wcp360_types::api::job::{Job, JobState, JobStep};
use wcp360_types::{AccountId, JobId, ScheduleId, UserId, Username};

/// Who asked for a job, and for what.
#[derive(Debug, Clone)]
pub struct Request {
    /// Operation id, e.g. `accounts.create`.
    pub operation: String,
    /// Login name of who asked.
    pub actor: String,
    /// Their identifier; none for the panel itself.
    pub actor_id: Option<UserId>,
    /// From where.
    pub source: String,
    /// The request.
    pub request_id: String,
    /// What the engine needs to do it, as JSON.
    pub payload: String,
}

/// What a job is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Jobs of a lane run one after the other.
    pub lane: String,
    /// Tenants take turns.
    pub tenant: String,
    /// The account it changes.
    pub account_id: Option<AccountId>,
    /// Its name.
    pub account: Option<Username>,
    /// Who may see the job besides administrators.
    pub owner_id: UserId,
}

/// A job to be queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Identifier; later ones sort after earlier ones.
    pub id: JobId,
    /// Who asked, and for what.
    pub request: Request,
    /// What it is about.
    pub subject: Subject,
    /// Names of its steps, in order.
    pub steps: &'static [&'static str],
    /// Larger ones come first; 0 is ordinary.
    pub priority: i64,
    /// The job it takes back.
    pub undoes: Option<JobId>,
    /// The schedule that asked for it.
    pub schedule: Option<ScheduleId>,
}

/// A job that a worker holds.
#[derive(Debug, Clone)]
pub struct LeasedJob {
    /// Identifier.
    pub id: JobId,
    /// Who asked, and for what.
    pub request: Request,
    /// What it is about.
    pub subject: Subject,
    /// Rises with every lease: a write with an older one is refused.
    pub lease_token: i64,
    /// Its steps.
    pub steps: Vec<JobStep>,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
    /// The job it takes back.
    pub undoes: Option<JobId>,
}

/// States in which a job still wants something; the same list as in the partial indexes.
const OPEN: &str = "('queued', 'running', 'waiting')";

const JOB: &str = "SELECT id, operation, lane, tenant, account_id, account, owner_id, actor, actor_id, source, request_id, \
                   payload, steps, state, run_at, lease_token, cancel_requested, error, undoes, undone_by, resolution, schedule_id, created_at, \
                   updated_at, finished_at FROM jobs";

fn request(c: &Columns<'_>) -> Result<Request, StoreError> {
    Ok(Request {
        operation: c.text("operation")?,
        actor: c.text("actor")?,
        actor_id: c.maybe_parsed("actor_id")?,
        source: c.text("source")?,
        request_id: c.text("request_id")?,
        payload: c.text("payload")?,
    })
}

fn subject(c: &Columns<'_>) -> Result<Subject, StoreError> {
    Ok(Subject {
        lane: c.text("lane")?,
        tenant: c.text("tenant")?,
        account_id: c.maybe_parsed("account_id")?,
        account: c.maybe_parsed("account")?,
        owner_id: c.parsed("owner_id")?,
    })
}

fn leased(row: &Row) -> Result<LeasedJob, StoreError> {
    let c = columns("jobs", row);
    Ok(LeasedJob {
        id: c.parsed("id")?,
        request: request(&c)?,
        subject: subject(&c)?,
        lease_token: c.number("lease_token")?,
        steps: c.json("steps")?,
        cancel_requested: c.number("cancel_requested")? == 1,
        undoes: c.maybe_parsed("undoes")?,
    })
}

fn job(row: &Row) -> Result<Job, StoreError> {
    let c = columns("jobs", row);
    let state: JobState = c.parsed("state")?;
    Ok(Job {
        id: c.parsed("id")?,
        operation: c.text("operation")?,
        account: c.maybe_parsed("account")?,
        state,
        actor: c.text("actor")?,
        request_id: c.text("request_id")?,
        steps: c.json("steps")?,
        error: c.maybe_text("error")?,
        cancel_requested: c.number("cancel_requested")? == 1 && !state.is_final(),
        run_at: Some(c.time("run_at")?).filter(|_| state == JobState::Waiting),
        undoes: c.maybe_parsed("undoes")?,
        undone_by: c.maybe_parsed("undone_by")?,
        resolution: c.maybe_text("resolution")?,
        schedule: c.maybe_parsed("schedule_id")?,
        actions: Vec::new(),
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
        finished_at: c.maybe_time("finished_at")?,
        applied: None,
    })
}
