//! How a change becomes a job: checked, reserved, recorded and queued in one transaction; or only planned.

use crate::caller::{Caller, Origin};
use crate::change::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::work::payload::Payload;
use jiff::Timestamp;
use std::fmt::Display;
use std::str::FromStr;
use wcp360_agent_proto::{AgentErrorCode, PlanRequest};
use wcp360_store::accounts::StoredAccount;
use wcp360_store::audit::NewAudit;
use wcp360_store::jobs::{NewJob, Request, Subject};
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::job::Job;
use wcp360_types::plan::Plan;
use wcp360_types::{AccountId, JobId, Problem, RequestId, Revision, ScheduleId, UserId, Username};

/// How a change is asked for.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// The operation.
    pub operation: &'static str,
    /// Where the request came from.
    pub origin: Origin,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
    /// The key under which the same request may be repeated, and a digest of the request.
    pub idempotency: Option<(String, String)>,
    /// The job that this one takes back.
    pub undoes: Option<JobId>,
    /// The operation whose permission the job needs, if not its own.
    pub authority: Option<&'static str>,
    /// The schedule that asks.
    pub schedule: Option<ScheduleId>,
    /// Larger ones come first; 0 is what people wait for.
    pub priority: i64,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// A job was queued, or had been by the same request before.
    Queued(Box<Job>),
    /// What would be done.
    Planned(Plan),
}

/// The account that a change is about, and the job that is to make it.
pub(crate) struct Target {
    pub(crate) id: AccountId,
    pub(crate) name: Username,
    pub(crate) owner: UserId,
    /// Whose turn is used up: the reseller's, or the account's own if it belongs to an administrator.
    pub(crate) tenant: String,
}

impl Engine {
    /// Reserves what the change needs and queues its job. With `dry_run` everything reserved is dropped again and the agent
    /// says what it would do.
    pub(super) async fn queue_or_plan<F>(
        &self,
        caller: &Caller,
        name: Username,
        change: Change,
        how: JobRequest,
        reserve: F,
    ) -> Result<Outcome, EngineError>
    where
        F: FnOnce(&mut Tx<'_>, JobId) -> Result<Target, EngineError> + Send + 'static,
    {
        let job = JobId::new();
        if how.dry_run {
            self.inner.db.rehearse(move |tx| reserve(tx, job).map(|_| ())).await?;
            return self.plan(&name, &change).await.map(Outcome::Planned);
        }
        let caller = caller.clone();
        let queued = self
            .inner
            .db
            .write(move |tx| {
                // Two that ask for the same name, or for the last one that a limit allows, come one after the other.
                tx.lock_names()?;
                let now = Timestamp::now();
                let job = match repeated(tx, &caller, &how)? {
                    Some(job) => job,
                    None => {
                        let target = reserve(tx, job)?;
                        queue(tx, &caller, &how, job, target, change, now)?;
                        job
                    }
                };
                tx.append_audit(&accepted(&caller, &how, Some(&name), job), now)?;
                // Not scoped: it is the caller's own, and may be over already with the account and the scope.
                tx.job(Scope::All, job)?.ok_or_else(|| Problem::internal().into())
            })
            .await;
        let queued: Job = queued.map_err(|error: EngineError| match error {
            // Only where several processes share the database: the same request came at the same moment to another one.
            EngineError::Store(StoreError::Taken("idempotency key")) => {
                Problem::conflict("The same request is being accepted at this moment; repeat it.").into()
            }
            other => other,
        })?;
        self.inner.work.notify_one();
        self.inner.audit.mirror_soon();
        self.inner.events.job(queued.id);
        Ok(Outcome::Queued(Box::new(queued)))
    }

    async fn plan(&self, name: &Username, change: &Change) -> Result<Plan, EngineError> {
        let current = match self.inner.agent.account(name).await {
            Ok(record) => Some(record.manifests),
            Err(error) if error.code == AgentErrorCode::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let desired = change.resolve(current.as_ref(), Timestamp::now())?;
        let bring_back = matches!(change, Change::BringBack { .. });
        let request = PlanRequest { base_revision: current.map(|set| set.revision()), desired, bring_back };
        let mut plan = self.inner.agent.plan(name, &request).await?;
        if bring_back {
            plan.data_loss.push(format!(
                "the password of the login, its API tokens and the account's schedules went with the deletion; set a password \
                 with \"wcp360 users set-password {name}\""
            ));
        }
        Ok(plan)
    }
}

/// Puts the job of a change into the queue.
pub(crate) fn queue(
    tx: &mut Tx<'_>,
    caller: &Caller,
    how: &JobRequest,
    id: JobId,
    target: Target,
    change: Change,
    now: Timestamp,
) -> Result<(), EngineError> {
    let (base, authority) = (how.if_match.clone(), how.authority.map(str::to_owned));
    let payload = Payload::Account { change, base, authority };
    let job = NewJob {
        id,
        request: Request {
            operation: how.operation.into(),
            actor: caller.username.clone(),
            actor_id: Some(caller.user_id),
            source: how.origin.source.clone(),
            request_id: how.origin.request_id.clone(),
            payload: serde_json::to_string(&payload).expect("plain data has a JSON form"),
        },
        subject: Subject {
            lane: target.id.to_string(),
            tenant: target.tenant,
            account_id: Some(target.id),
            account: Some(target.name),
            owner_id: target.owner,
        },
        steps: payload.steps(),
        priority: how.priority,
        undoes: how.undoes,
        schedule: how.schedule,
    };
    tx.insert_job(&job, now)?;
    if let Some((key, request)) = &how.idempotency {
        tx.remember_key(caller.user_id, key, request, id, now)?;
    }
    Ok(())
}

/// A job that the panel makes by itself. Without an account it is about the node.
pub(crate) fn panel_job(operation: &str, payload: &Payload, account: Option<&StoredAccount>) -> NewJob {
    NewJob {
        id: JobId::new(),
        request: Request {
            operation: operation.into(),
            actor: "panel".into(),
            actor_id: None,
            source: "local".into(),
            request_id: RequestId::new().to_string(),
            payload: serde_json::to_string(payload).expect("plain data has a JSON form"),
        },
        subject: Subject {
            lane: account.map_or_else(|| "node".into(), |account| account.id.to_string()),
            tenant: account.map_or_else(|| "node".into(), |account| account.id.to_string()),
            account_id: account.map(|account| account.id),
            account: account.map(|account| account.username.clone()),
            owner_id: account.map_or_else(UserId::new, |account| account.owner_id),
        },
        steps: payload.steps(),
        priority: -10,
        undoes: None,
        schedule: None,
    }
}

/// The entry that says so in the audit trail.
pub(crate) fn accepted(caller: &Caller, how: &JobRequest, account: Option<&Username>, job: JobId) -> NewAudit {
    NewAudit {
        actor: caller.username.clone(),
        source: how.origin.source.clone(),
        action: how.operation.into(),
        target: account.map(ToString::to_string),
        outcome: "accepted".into(),
        request_id: how.origin.request_id.clone(),
        job: Some(job),
        ..NewAudit::default()
    }
}

/// The job or bulk change that an earlier request with the same key made.
pub(super) fn repeated<I>(tx: &mut Tx<'_>, caller: &Caller, how: &JobRequest) -> Result<Option<I>, EngineError>
where
    I: FromStr,
    I::Err: Display,
{
    let Some((key, request)) = &how.idempotency else { return Ok(None) };
    match tx.idempotent(caller.user_id, key)? {
        None => Ok(None),
        Some((before, made)) if before == *request => Ok(Some(made)),
        Some(_) => {
            let message = "the key was used for another request; use a new one for every new request";
            Err(Problem::invalid("Idempotency-Key", message).into())
        }
    }
}
