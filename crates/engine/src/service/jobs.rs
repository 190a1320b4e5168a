//! Looking at jobs, and what can be done with them: cancel, retry, undo, resolve (ENG-03, ENG-08, ENG-10).

use super::accounts::With;
use super::queue::{self, JobRequest, Outcome};
use crate::caller::Caller;
use crate::change::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::work::payload::{APPLY, Applied, PREPARE, Payload, Prepared};
use jiff::Timestamp;
use wcp360_agent_proto::{AgentErrorCode, PlanRequest};
use wcp360_api::Access;
use wcp360_store::StoreError;
use wcp360_store::jobs::LeasedJob;
use wcp360_types::api::job::{Job, JobAction, JobArtifact, JobState, JobStep, ResolveJob, UndoJob};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{JobId, Problem, Role, Username};

/// A job with what its steps left.
struct Known {
    shown: Job,
    stored: LeasedJob,
    prepared: Option<Prepared>,
    applied: Option<Applied>,
}

impl Engine {
    /// A job that the caller may see, with what it changed and what can be done with it.
    ///
    /// # Errors
    /// The database's.
    pub async fn job(&self, caller: &Caller, id: JobId) -> Result<Option<Job>, EngineError> {
        let Some(known) = self.known_job(caller, id).await? else { return Ok(None) };
        let actions = actions(&known, caller);
        let mut job = known.shown;
        job.actions = actions;
        job.applied = known.applied.map(|applied| applied.plan);
        Ok(Some(job))
    }

    /// What the steps of a job left.
    ///
    /// # Errors
    /// There is no such job for the caller.
    pub async fn job_artifacts(&self, caller: &Caller, id: JobId) -> Result<Vec<JobArtifact>, EngineError> {
        let scope = caller.scope();
        let found = self.inner.db.read(move |tx| match tx.job(scope, id)? {
            Some(_) => tx.artifacts(id).map(Some),
            None => Ok::<_, StoreError>(None),
        });
        let found = found.await?.ok_or_else(|| Problem::not_found("job", id))?;
        let artifact = |(name, text): (String, String)| JobArtifact {
            name,
            content: serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)),
        };
        Ok(found.into_iter().map(artifact).collect())
    }

    /// Stops a job: at once if it waits, else before its next step. What it did is taken back. Of a failed job, what can be
    /// taken back is tried again.
    ///
    /// # Errors
    /// There is no such job for the caller, or it is over.
    pub async fn cancel_job(&self, caller: &Caller, id: JobId) -> Result<Job, EngineError> {
        let known = self.job_to_act_on(caller, id, JobAction::Cancel).await?;
        self.refuse_stopping_suspension(caller, &known.stored).await?;
        let now = Timestamp::now();
        if known.shown.state == JobState::Failed {
            let steps = waiting_again(&known.stored.steps);
            let lane = known.stored.subject.lane;
            self.inner.db.write(move |tx| tx.requeue_job(id, &lane, &steps, true, now)).await.map_err(moved)?;
        } else if !self.inner.db.write(move |tx| tx.request_cancel(id, now)).await? {
            return Err(over().into());
        }
        self.inner.clock.notify_one();
        self.inner.work.notify_one();
        self.shown_job(caller, id).await
    }

    /// Tries a job again: a failed one from the step that failed, one that was taken back or cancelled as a new job.
    ///
    /// # Errors
    /// There is no such job for the caller, it can't be tried again, or what it needs is taken.
    pub async fn retry_job(&self, caller: &Caller, id: JobId, how: JobRequest) -> Result<Outcome, EngineError> {
        let known = self.job_to_act_on(caller, id, JobAction::Retry).await?;
        if known.shown.state == JobState::Failed {
            let steps = from_the_failed_one(&known.stored.steps);
            let (lane, now) = (known.stored.subject.lane, Timestamp::now());
            let entry = queue::accepted(caller, &how, known.stored.subject.account.as_ref(), id);
            let queued = self.inner.db.write(move |tx| {
                tx.append_audit(&entry, now)?;
                tx.requeue_job(id, &lane, &steps, false, now)
            });
            queued.await.map_err(moved)?;
            self.inner.work.notify_one();
            self.inner.audit.mirror_soon();
            return Ok(Outcome::Queued(Box::new(self.shown_job(caller, id).await?)));
        }
        let change = change_of(&known.stored).ok_or_else(cannot_repeat)?;
        let name = known.stored.subject.account.clone().ok_or_else(cannot_repeat)?;
        let with = With { owner: self.owner_name(&known.stored).await?, ..With::default() };
        let operation = wcp360_api::find(&known.stored.request.operation).ok_or_else(cannot_repeat)?;
        let authority = operation_of(&known.stored).map(|operation| operation.id);
        self.change(caller, name, change, with, JobRequest { operation: operation.id, authority, ..how }).await
    }

    /// Takes back what a job changed, by a job of its own.
    ///
    /// # Errors
    /// There is no such job for the caller, it did not change anything or the account was changed since; or something would
    /// be lost that can't be brought back, and that was not accepted.
    pub async fn undo_job(
        &self,
        caller: &Caller,
        id: JobId,
        request: UndoJob,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        let known = self.job_to_act_on(caller, id, JobAction::Undo).await?;
        let nothing = || Problem::conflict("The job left no record of what it changed; it can't be taken back.");
        let before = known.prepared.ok_or_else(nothing)?.before;
        let after = known.applied.ok_or_else(nothing)?.after;
        let name = known.stored.subject.account.clone().ok_or_else(nothing)?;
        let (change, if_match) = match (before, after) {
            (Some(before), Some(after)) => {
                let manifests = Box::new(before);
                (Change::Restore { manifests, from: after.revision() }, None)
            }
            (Some(before), None) => (self.undeletion(&name, before, request.accept_data_loss).await?, None),
            (None, Some(after)) => {
                if !request.accept_data_loss && !how.dry_run {
                    let message = format!(
                        "taking back the creation deletes \"{name}\" with all that was put into it since; \
                         look at it with dry_run, and accept the loss to go on"
                    );
                    return Err(Problem::field_conflict("accept_data_loss", message).into());
                }
                (Change::Delete, Some(after.revision()))
            }
            (None, None) => return Err(nothing().into()),
        };
        let with =
            With { owner: self.owner_name(&known.stored).await?, password_hash: None, if_match: if_match.clone() };
        let authority = operation_of(&known.stored).map(|operation| operation.id);
        self.change(caller, name, change, with, JobRequest { undoes: Some(id), authority, if_match, ..how }).await
    }

    /// Takes back a deletion: with the files, as long as the trash has them; else, if that is accepted, without.
    async fn undeletion(&self, name: &Username, before: ManifestSet, accept: bool) -> Result<Change, EngineError> {
        let request = PlanRequest { base_revision: None, desired: Some(before.clone()), bring_back: true };
        match self.inner.agent.plan(name, &request).await {
            Ok(_) => Ok(Change::BringBack { manifests: Box::new(before) }),
            Err(error) if error.code == AgentErrorCode::Gone && accept => {
                Ok(Change::Create { manifests: Box::new(as_new(before)) })
            }
            Err(error) if error.code == AgentErrorCode::Gone => {
                let message = format!("{error}; accept the loss to get the account back empty, with a new uid");
                Err(Problem::field_conflict("accept_data_loss", message).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that a failed job was settled by hand.
    ///
    /// # Errors
    /// There is no such job for the caller, it has not failed, or the note is empty or too long.
    pub async fn resolve_job(&self, caller: &Caller, id: JobId, request: ResolveJob) -> Result<Job, EngineError> {
        let note = request.note.trim().to_owned();
        if note.is_empty() || note.chars().count() > 500 || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Problem::invalid("note", "use 1 to 500 characters of plain text").into());
        }
        self.job_to_act_on(caller, id, JobAction::Resolve).await?;
        let now = Timestamp::now();
        if !self.inner.db.write(move |tx| tx.resolve_job(id, &note, now)).await? {
            return Err(over().into());
        }
        self.shown_job(caller, id).await
    }

    async fn shown_job(&self, caller: &Caller, id: JobId) -> Result<Job, EngineError> {
        Ok(self.job(caller, id).await?.ok_or_else(|| Problem::not_found("job", id))?)
    }

    async fn known_job(&self, caller: &Caller, id: JobId) -> Result<Option<Known>, EngineError> {
        let scope = caller.scope();
        let found = self.inner.db.read(move |tx| {
            let (Some(shown), Some(stored)) = (tx.job(scope, id)?, tx.stored_job(scope, id)?) else { return Ok(None) };
            Ok::<_, StoreError>(Some((shown, stored, tx.artifact(id, PREPARE)?, tx.artifact(id, APPLY)?)))
        });
        Ok(found.await?.map(|(shown, stored, prepared, applied)| Known {
            shown,
            stored,
            // What an older version left and this one can't read is as good as missing.
            prepared: prepared.and_then(|text| serde_json::from_str(&text).ok()),
            applied: applied.and_then(|text| serde_json::from_str(&text).ok()),
        }))
    }

    async fn job_to_act_on(&self, caller: &Caller, id: JobId, action: JobAction) -> Result<Known, EngineError> {
        let known = self.known_job(caller, id).await?.ok_or_else(|| Problem::not_found("job", id))?;
        if !holds_permission(&known.stored, caller) {
            let detail = format!("This needs the permission for \"{}\", which you don't have.", known.shown.operation);
            return Err(Problem::forbidden(detail).into());
        }
        if actions(&known, caller).contains(&action) {
            return Ok(known);
        }
        let state = known.shown.state.as_str();
        let detail = match action {
            JobAction::Cancel => format!("The job is over ({state}); undo it if it should be taken back."),
            JobAction::Retry => {
                format!("Only a job that failed, was cancelled or taken back can be retried; this is {state}.")
            }
            JobAction::Undo if known.shown.undone_by.is_some() => "The job is taken back already.".into(),
            JobAction::Undo => format!("Only a job that changed an account can be taken back; this is {state}."),
            JobAction::Resolve => format!("Only a failed job is resolved; this one is {state}."),
        };
        Err(Problem::conflict(detail).into())
    }

    /// An administrator's suspension is not for others to stop, as it is not for them to lift.
    async fn refuse_stopping_suspension(&self, caller: &Caller, job: &LeasedJob) -> Result<(), EngineError> {
        let Some(actor) = job.request.actor_id.filter(|_| !caller.is_admin()) else { return Ok(()) };
        if !matches!(change_of(job), Some(Change::Suspend { .. })) {
            return Ok(());
        }
        let actor = self.inner.db.read(move |tx| tx.user(actor)).await?;
        if actor.is_some_and(|actor| matches!(actor.role, Role::Root | Role::Admin)) {
            return Err(Problem::forbidden("An administrator suspends the account; ask them to stop it.").into());
        }
        Ok(())
    }

    /// Login name of who the job's account belongs or belonged to.
    async fn owner_name(&self, job: &LeasedJob) -> Result<Option<String>, EngineError> {
        let owner = job.subject.owner_id;
        Ok(self.inner.db.read(move |tx| tx.user(owner)).await?.map(|user| user.username))
    }
}

/// What can be done with a job now.
fn actions(known: &Known, caller: &Caller) -> Vec<JobAction> {
    if !holds_permission(&known.stored, caller) {
        return Vec::new();
    }
    let changed = known.prepared.is_some() && known.applied.is_some();
    match known.shown.state {
        JobState::Queued | JobState::Running | JobState::Waiting if known.shown.cancel_requested => Vec::new(),
        JobState::Queued | JobState::Running | JobState::Waiting => vec![JobAction::Cancel],
        JobState::Failed => vec![JobAction::Retry, JobAction::Cancel, JobAction::Resolve],
        JobState::Cancelled | JobState::RolledBack => vec![JobAction::Retry],
        JobState::Succeeded if changed && known.shown.undone_by.is_none() => vec![JobAction::Undo],
        JobState::Succeeded => Vec::new(),
    }
}

/// Whether the caller may ask for what the job does.
fn holds_permission(job: &LeasedJob, caller: &Caller) -> bool {
    match operation_of(job).map(|operation| operation.access) {
        Some(Access::Needs(permission)) => caller.may(permission),
        _ => caller.is_admin(),
    }
}

/// The operation whose permission the job needs: that which made it, or of one that takes back another, the other's.
fn operation_of(job: &LeasedJob) -> Option<&'static wcp360_api::Operation> {
    match serde_json::from_str(&job.request.payload) {
        Ok(Payload::Account { authority: Some(operation), .. }) => wcp360_api::find(&operation),
        _ => wcp360_api::find(&job.request.operation),
    }
}

fn change_of(job: &LeasedJob) -> Option<Change> {
    match serde_json::from_str(&job.request.payload) {
        Ok(Payload::Account { change, .. }) => Some(change),
        _ => None,
    }
}

/// An account that was deleted, as one to be created: without its files, a number is not given again.
fn as_new(mut set: ManifestSet) -> ManifestSet {
    set.account.uid = None;
    set.account.gid = None;
    set.account.home_dir = None;
    set
}

fn from_the_failed_one(steps: &[JobStep]) -> Vec<JobStep> {
    let fresh = |step: &JobStep| match step.state {
        JobState::Succeeded => step.clone(),
        _ => JobStep::queued(step.index, &step.name),
    };
    steps.iter().map(fresh).collect()
}

/// The steps with the failed one as waiting, so that cancelling unwinds from there.
fn waiting_again(steps: &[JobStep]) -> Vec<JobStep> {
    let mut steps = steps.to_vec();
    if let Some(step) = steps.iter_mut().find(|step| step.state != JobState::Succeeded) {
        step.state = JobState::Waiting;
    }
    steps
}

fn over() -> Problem {
    Problem::conflict("The job is over.")
}

fn cannot_repeat() -> Problem {
    Problem::conflict("This kind of job can't be repeated; ask for the change again.")
}

fn moved(error: StoreError) -> EngineError {
    match error {
        StoreError::LeaseLost => Problem::conflict("The job is not failed any more; look again.").into(),
        other => other.into(),
    }
}
