//! The workflow of every change of an account: prepare, apply, verify.

use super::payload::{APPLY, Applied, PREPARE, Prepared, VERIFY};
use super::run::{Done, Ending, Run, StepError, Unwound, Write, json};
use crate::change::Change;
use crate::engine::Engine;
use crate::policy;
use jiff::Timestamp;
use wcp360_agent_proto::{AgentErrorCode, ConvergeRequest, OwnerRequest};
use wcp360_store::jobs::LeasedJob;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::manifest::{AccountStatus, AuditReference, ManifestSet};
use wcp360_types::{AccountId, LoginName, OperationId, Revision, Role, UserId, Username};

/// Attempts of asking nginx; each waits some seconds by itself.
const VERIFY_ATTEMPTS: u32 = 3;

/// Does one step.
pub(crate) async fn step(
    engine: &Engine,
    run: &Run,
    change: &Change,
    base: Option<&Revision>,
    name: &str,
) -> Result<Done, StepError> {
    match name {
        PREPARE => prepare(engine, run, change, base).await,
        APPLY => apply(engine, run, change).await,
        VERIFY => verify(engine, run).await,
        other => Err(StepError::Final(format!("this version does not know the step \"{other}\""))),
    }
}

async fn prepare(engine: &Engine, run: &Run, change: &Change, base: Option<&Revision>) -> Result<Done, StepError> {
    let before = current(engine, account(&run.job)?.1).await?;
    let revision = before.as_ref().map(ManifestSet::revision);
    if base.is_some() && base != revision.as_ref() {
        return Err(StepError::Final("the account was changed before it was this job's turn; look again".into()));
    }
    refuse_lifting(engine, run, change).await?;
    let resolved = change.resolve(before.as_ref(), Timestamp::now());
    let desired = resolved.map_err(|problem| StepError::Final(problem.detail))?;
    let note = match (&revision, &desired) {
        (Some(from), Some(to)) => format!("from revision {} to {}", from.short(), to.revision().short()),
        (None, Some(to)) => format!("new, revision {}", to.revision().short()),
        (Some(from), None) => format!("from revision {} to nothing", from.short()),
        (None, None) => "nothing to do".into(),
    };
    let prepared = Prepared { operation: OperationId::new(), before, desired };
    Ok(Done { artifact: Some(json(&prepared)), notes: vec![note], write: None })
}

/// Who may lift a suspension is known for sure when it is the job's turn: it may have waited behind the suspension.
async fn refuse_lifting(engine: &Engine, run: &Run, change: &Change) -> Result<(), StepError> {
    if !change.lifts_suspension() {
        return Ok(());
    }
    let (name, actor, change) = (account(&run.job)?.1.clone(), run.job.request.actor_id, change.clone());
    let refused = engine.inner.db.read(move |tx| {
        let (Some(account), Some(role)) = (tx.account(Scope::All, &name)?, role(tx, actor)?) else { return Ok(None) };
        Ok::<_, StoreError>(policy::refuse_lifting(&account, &change, role).err())
    });
    match refused.await? {
        Some(problem) => Err(StepError::Final(problem.detail)),
        None => Ok(()),
    }
}

/// The role of who asked for a job; what the panel does by itself is as if an administrator did it.
fn role(tx: &mut Tx<'_>, actor: Option<UserId>) -> Result<Option<Role>, StoreError> {
    match actor {
        Some(id) => Ok(tx.user(id)?.map(|user| user.role)),
        None => Ok(Some(Role::Admin)),
    }
}

async fn apply(engine: &Engine, run: &Run, change: &Change) -> Result<Done, StepError> {
    let prepared: Prepared = run.artifact(PREPARE)?;
    let (id, name) = account(&run.job)?;
    let request = ConvergeRequest {
        operation: prepared.operation,
        base_revision: prepared.before.as_ref().map(ManifestSet::revision),
        desired: prepared.desired,
        bring_back: matches!(change, Change::BringBack { .. }),
        audit: reference(&run.job),
        owner: owner(engine, id).await?,
    };
    let done = engine.inner.agent.converge(name, &request).await?;
    let after = done.record.map(|record| record.manifests);
    let mut notes = done.notes;
    notes.extend(done.applied.resources.iter().map(|r| format!("{} ({})", r.key, r.summary)));
    let artifact = json(&Applied { after: after.clone(), plan: done.applied });
    let is_suspended = |set: &ManifestSet| set.account.status == AccountStatus::Suspended;
    let suspends = after.as_ref().is_some_and(is_suspended) && !prepared.before.as_ref().is_some_and(is_suspended);
    // Of one that comes back suspended it is not known any more who suspended it: deleting must not lift what others said.
    let (actor, job) = (run.job.request.actor_id.filter(|_| prepared.before.is_some()), run.job.id);
    let write: Write = Box::new(move |tx| {
        tx.index_account(id, after.as_ref(), job)?;
        if suspends {
            let role = role(tx, actor)?;
            tx.set_suspended_by(id, role)?;
        }
        Ok(())
    });
    Ok(Done { artifact: Some(artifact), notes, write: Some(write) })
}

async fn verify(engine: &Engine, run: &Run) -> Result<Done, StepError> {
    let prepared: Prepared = run.artifact(PREPARE)?;
    let applied: Applied = run.artifact(APPLY)?;
    let verified = engine.inner.gateway.verify(prepared.before.as_ref(), applied.after.as_ref()).await;
    let note = verified.map_err(|message| StepError::Transient { message, attempts: VERIFY_ATTEMPTS })?;
    Ok(Done { notes: vec![note], ..Done::default() })
}

/// Takes back what the job did, as far as it did anything. The agent has put back a failed `apply` by itself.
pub(crate) async fn unwind(engine: &Engine, run: &Run) -> Result<Unwound, StepError> {
    let (id, name) = account(&run.job)?;
    let Ok(prepared) = run.artifact::<Prepared>(PREPARE) else {
        // Nothing was done: the index is put back to what the agent says is there.
        let current = current(engine, name).await?;
        return Ok(Unwound::Back { notes: Vec::new(), write: Some(index(id, current, run.job.id)) });
    };
    // An `apply` that was interrupted may have been done all the same, or be going on still: what is there decides, once
    // nobody works on it any more.
    settled(engine, name).await?;
    let now = current(engine, name).await?;
    let revision = now.as_ref().map(ManifestSet::revision);
    if revision != prepared.before.as_ref().map(ManifestSet::revision) {
        let request = ConvergeRequest {
            operation: OperationId::new(),
            // A deletion.
            bring_back: revision.is_none(),
            base_revision: revision,
            desired: prepared.before.clone(),
            audit: reference(&run.job),
            owner: owner(engine, id).await?,
        };
        if let Err(error) = engine.inner.agent.converge(name, &request).await {
            return match StepError::from(error) {
                StepError::Final(message) => Ok(Unwound::Not(message)),
                other => Err(other),
            };
        }
    }
    let notes = vec!["everything is as it was before".into()];
    Ok(Unwound::Back { notes, write: Some(index(id, prepared.before, run.job.id)) })
}

/// Waits until the agent is done with what it was asked for an account: comparing takes its turn like every change.
async fn settled(engine: &Engine, name: &Username) -> Result<(), StepError> {
    match engine.inner.agent.drift(name).await {
        Err(error) if error.code == AgentErrorCode::Unreachable => Err(error.into()),
        // Whatever it found, it was its turn.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The revisions between which the job led.
pub(crate) fn ending(run: &Run) -> Ending {
    let before = run.artifact::<Prepared>(PREPARE).ok().and_then(|p| p.before).map(|set| set.revision());
    let after = run.artifact::<Applied>(APPLY).ok().and_then(|a| a.after).map(|set| set.revision());
    Ending { before, after }
}

/// The manifests that the agent has; `None`: no account.
pub(super) async fn current(engine: &Engine, name: &Username) -> Result<Option<ManifestSet>, StepError> {
    match engine.inner.agent.account(name).await {
        Ok(record) => Ok(Some(record.manifests)),
        Err(error) if error.code == AgentErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn account(job: &LeasedJob) -> Result<(AccountId, &Username), StepError> {
    match (job.subject.account_id, &job.subject.account) {
        (Some(id), Some(name)) => Ok((id, name)),
        _ => Err(StepError::Final("the job does not say which account it is about".into())),
    }
}

pub(super) fn index(id: AccountId, manifests: Option<ManifestSet>, job: wcp360_types::JobId) -> Write {
    Box::new(move |tx| tx.index_account(id, manifests.as_ref(), job))
}

/// Tells the agent whose the account is, which changes nothing but its `meta.json`.
pub(super) async fn note_owner(engine: &Engine, run: &Run) -> Result<Done, StepError> {
    let (id, name) = account(&run.job)?;
    let Some(owner) = owner(engine, id).await? else { return Ok(Done::default()) };
    let notes = vec![format!("the account is {owner}'s")];
    let request = OwnerRequest { operation: super::drift::operation(run)?, owner, audit: reference(&run.job) };
    engine.inner.agent.set_owner(name, &request).await?;
    Ok(Done { notes, ..Done::default() })
}

/// Whose an account is, as far as that is known.
async fn owner(engine: &Engine, id: AccountId) -> Result<Option<LoginName>, StoreError> {
    let login = engine.inner.db.read(move |tx| tx.owner_login(id)).await?;
    Ok(login.and_then(|login| LoginName::parse(&login).ok()))
}

pub(super) fn reference(job: &LeasedJob) -> AuditReference {
    AuditReference { action: job.request.operation.clone(), actor: job.request.actor.clone(), job: job.id }
}
