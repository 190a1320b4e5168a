//! One operation from request to answer.

use super::difference::KindError;
use super::standing::Standing;
use super::trash::Tree;
use super::{Engine, Steps, Work, failed, guard};
use crate::journal::{Answer, Entry, State, Task};
use crate::manifests::ManifestsError;
use crate::names::{self, NameConflict};
use jiff::Timestamp;
use wcp360_agent_proto::{AccountRecord, AgentError, AgentErrorCode, ConvergeRequest, Converged, PlanRequest};
use wcp360_types::manifest::{ManifestSet, MetaManifest, SCHEMA_VERSION};
use wcp360_types::plan::Plan;
use wcp360_types::{Domain, OperationId, Username};

impl From<KindError> for AgentError {
    fn from(error: KindError) -> Self {
        let code = match error {
            KindError::Rejected(_) => AgentErrorCode::Rejected,
            KindError::Taken(_) => AgentErrorCode::Taken,
            KindError::Failed(_) => AgentErrorCode::Failed,
        };
        AgentError::new(code, error.to_string())
    }
}

fn hosts(set: Option<&ManifestSet>) -> Vec<Domain> {
    set.map(|set| names::hosts(&set.domains)).unwrap_or_default()
}

fn conflict(error: &NameConflict, comes_back: bool) -> AgentError {
    let remedy = if comes_back { "it has to be free before the account can come back" } else { "choose another name" };
    AgentError::new(AgentErrorCode::Taken, format!("{error}; {remedy}"))
}

impl Engine {
    /// What a change would do.
    ///
    /// # Errors
    /// It would be refused.
    pub fn plan(&self, name: &Username, request: &PlanRequest) -> Result<Plan, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if request.bring_back {
            self.refuse_given_again(name)?;
        }
        let back = request.bring_back.then(|| self.returning(name, request.desired.as_ref())).transpose()?;
        let desired = back.as_ref().map(|back| &back.desired).or(request.desired.as_ref());
        let from = self.base(name, request.base_revision.as_ref(), request.desired.is_none())?.map(|s| s.record);
        let has = from.as_ref().and_then(|record| record.manifests.account.uid);
        let uid = has.or(back.as_ref().map(|back| back.tree.uid)).unwrap_or_else(|| self.uids.peek());
        let checked = self.check(name, from, desired, uid)?;
        self.names.check(name, &hosts(checked.to.as_ref())).map_err(|e| conflict(&e, request.bring_back))?;
        let from = checked.from.map(|record| record.manifests);
        let mut work = self.work(name, uid, Timestamp::now(), from.is_none())?;
        if let Some(back) = &back {
            work.bring_back(name, back.tree.name())?;
        }
        let sides = self.sides(from.as_ref(), checked.to.as_ref()).map_err(|e| failed(&e))?;
        let steps = Steps::plan(&work, sides, checked.to.as_ref())?;
        let plan = describe(name, from.as_ref(), checked.to.as_ref(), &steps);
        Ok(Plan { comes_back: work.comes_back(), ..plan })
    }

    /// Makes the machine what the request says.
    ///
    /// # Errors
    /// It was refused, or failed; then the machine is what it was, unless the code is `Inconsistent`.
    pub fn converge(&self, name: &Username, request: &ConvergeRequest) -> Result<Converged, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if let Some(answer) = self.answered(name, request.operation)? {
            return converged(answer);
        }
        self.settled(name)?;
        if request.bring_back {
            self.refuse_given_again(name)?;
        }
        let standing = self.base(name, request.base_revision.as_ref(), request.desired.is_none())?;
        self.carry_out(name, request, standing)
    }

    /// The answer to an operation that the journal knows; `None`: it is new, or to be tried anew. The account's lock is
    /// held.
    pub(super) fn answered(
        &self,
        name: &Username,
        operation: OperationId,
    ) -> Result<Option<Result<Answer, AgentError>>, AgentError> {
        let known = self.journal.read(operation).map_err(|e| failed(&e))?;
        Ok(known.map(|entry| self.known(name, entry)).transpose()?.flatten())
    }

    /// Finishes or takes back what is unfinished: nothing can be built on a half-done state. The account's lock is held.
    pub(super) fn settled(&self, name: &Username) -> Result<(), AgentError> {
        let pending = guard(&self.unfinished).get(name).copied();
        if let Some(operation) = pending {
            let _answer = self.resume(operation)?;
        }
        self.restore_lost(name)
    }

    /// Does what was asked for, from `standing` on.
    pub(super) fn carry_out(
        &self,
        name: &Username,
        request: &ConvergeRequest,
        standing: Option<Standing>,
    ) -> Result<Converged, AgentError> {
        let kept_aside = match &standing {
            Some(standing) => self.keep_edits(name, standing, request)?,
            None => None,
        };
        let from = standing.map(|standing| standing.record);
        let started_at = Timestamp::now();
        let back = request.bring_back.then(|| self.returning(name, request.desired.as_ref())).transpose()?;
        let desired = back.as_ref().map(|back| &back.desired).or(request.desired.as_ref());
        let uid = match (&from, &back) {
            (Some(record), _) => record.manifests.account.uid.ok_or_else(|| failed(&"account.json has no uid"))?,
            (None, Some(back)) => back.tree.uid,
            (None, None) => self.uids.peek(),
        };
        let owner = request.owner.clone().or_else(|| from.as_ref().and_then(|record| record.meta.owner.clone()));
        let mut checked = self.check(name, from, desired, uid)?;
        let wanted = hosts(checked.to.as_ref());
        let before = hosts(checked.from.as_ref().map(|record| &record.manifests));
        self.names.claim(name, &wanted).map_err(|e| conflict(&e, request.bring_back))?;
        // From here on every way out gives back the names that are not kept.
        let given_back = |error: AgentError| {
            self.names.settle(name, &wanted, &before);
            error
        };
        if checked.from.is_none()
            && back.is_none()
            && let Some(set) = &mut checked.to
        {
            let taken = |number| self.userdb.is_number_taken(number);
            let uid = self.uids.allocate(taken).map_err(|e| given_back(failed(&e)))?;
            set.account.uid = Some(uid);
            set.account.gid = Some(uid);
        }
        let mut entry = Entry {
            operation: request.operation,
            account: name.clone(),
            from: checked.from.map(|record| record.manifests),
            to: checked.to,
            audit: request.audit.clone(),
            started_at,
            created: Vec::new(),
            state: State::Applying,
            task: back.map_or(Task::Converge, |back| Task::BringBack { tree: back.tree.name().into() }),
            owner,
            answer: None,
        };
        let (steps, mut work) = self.steps(&entry, false).map_err(given_back)?;
        entry.created = steps.created(&work).map_err(|e| given_back(e.into()))?;
        self.journal.write(&entry).map_err(|e| given_back(failed(&e)))?;
        work.notes.extend(kept_aside);
        let done = self.forward(&entry, &steps, &mut work);
        converged(self.finish(&mut entry, done.map(wrapped)))
    }

    /// The answer to an operation that the journal knows; `None`: it is to be tried anew.
    fn known(&self, name: &Username, entry: Entry) -> Result<Option<Result<Answer, AgentError>>, AgentError> {
        if entry.account != *name {
            let message = format!("this operation is about \"{}\"; use a new operation id", entry.account);
            return Err(super::validate::invalid(message));
        }
        if !entry.is_finished() {
            return self.resume(entry.operation).map(Some);
        }
        match entry.answer {
            // It was taken back for a reason that may have passed.
            Some(Err(error)) if error.is_transient() => Ok(None),
            answer => Ok(answer),
        }
    }

    pub(super) fn work(
        &self,
        name: &Username,
        uid: u32,
        started: Timestamp,
        discard: bool,
    ) -> Result<Work<'_>, AgentError> {
        let trash = self.place_of(Tree::new(name, uid, started).name());
        let kept = self.accepted.load(name).map_err(|e| failed(&e))?;
        let notes = Vec::new();
        Ok(Work { engine: self, uid, trash, returns: None, discard, notes, kept, keep_ignored: false, view: None })
    }

    /// Carries an operation that a crash interrupted to its end, or back.
    pub(super) fn resume_entry(&self, entry: &mut Entry) -> Result<Answer, AgentError> {
        if let (Task::Repair(task), State::Applying) = (entry.task.clone(), entry.state) {
            let done = self.act(entry, &task);
            return self.finish(entry, done.map(Answer::Repaired));
        }
        if let (Task::Owner, State::Applying) = (&entry.task, entry.state) {
            let done = self.note_owner(entry);
            return self.finish(entry, done.map(wrapped));
        }
        if entry.state != State::Applying {
            let result = self.back(entry);
            return self.settle(entry, result);
        }
        let done = self.steps(entry, false).and_then(|(steps, mut work)| {
            steps.tidy(&work)?;
            work.notes.push("finished after an interruption".into());
            self.forward(entry, &steps, &mut work)
        });
        self.finish(entry, done.map(wrapped))
    }

    /// Writes down that it is done, or takes it back.
    pub(super) fn finish(&self, entry: &mut Entry, done: Result<Answer, AgentError>) -> Result<Answer, AgentError> {
        let result = match done {
            Ok(answer) => {
                entry.state = State::Done;
                entry.answer = Some(Ok(answer));
                self.close(entry)
            }
            // What was repaired, or noted, is right: there is nothing to take back.
            Err(error) if !entry.task.converges() => {
                entry.state = State::RolledBack;
                entry.answer = Some(Err(error));
                self.close(entry)
            }
            Err(error) => {
                tracing::warn!(account = %entry.account, operation = %entry.operation, %error, "taking it back");
                entry.state = State::Reverting;
                entry.answer = Some(Err(error));
                match self.journal.write(entry) {
                    Ok(()) => self.back(entry),
                    Err(error) => Err(failed(&error)),
                }
            }
        };
        self.settle(entry, result)
    }

    /// Gives back the names that are not kept, and the answer.
    fn settle(&self, entry: &Entry, result: Result<(), AgentError>) -> Result<Answer, AgentError> {
        match result {
            Ok(()) => {
                guard(&self.unfinished).remove(&entry.account);
                let (before, after) = if entry.state == State::Done {
                    (hosts(entry.from.as_ref()), hosts(entry.to.as_ref()))
                } else {
                    (hosts(entry.to.as_ref()), hosts(entry.from.as_ref()))
                };
                self.names.settle(&entry.account, &before, &after);
                entry
                    .answer
                    .clone()
                    .unwrap_or_else(|| Err(failed(&"the change was interrupted and has been taken back; try again")))
            }
            Err(error) => {
                // The names stay taken: nobody else may have them before it is settled.
                guard(&self.unfinished).insert(entry.account.clone(), entry.operation);
                tracing::error!(account = %entry.account, operation = %entry.operation, %error, "neither done nor undone");
                let message = format!(
                    "\"{}\" is neither changed nor put back yet: {error}; the agent goes on trying",
                    entry.account
                );
                Err(AgentError::new(AgentErrorCode::Inconsistent, message))
            }
        }
    }

    /// To what is wanted, with the publication of the manifests as the last step.
    fn forward(&self, entry: &Entry, steps: &Steps, work: &mut Work<'_>) -> Result<Converged, AgentError> {
        let (from, to) = (entry.from.as_ref(), entry.to.as_ref());
        steps.apply(work)?;
        let applied = Plan { comes_back: work.comes_back(), ..describe(&entry.account, from, to, steps) };
        let record = match to {
            Some(set) => {
                let meta = self.meta(set, entry);
                self.manifests.publish(set, &meta).map_err(|e| failed(&e))?;
                let (revision, manifests) = (meta.last_applied_revision.clone(), set.clone());
                Some(AccountRecord { revision, manifests, meta, on_disk: None })
            }
            None => {
                self.accepted.store(&entry.account, &[]).map_err(|e| failed(&e))?;
                self.manifests.withdraw(&entry.account).map_err(|e| failed(&e))?;
                None
            }
        };
        Ok(Converged { record, applied, notes: std::mem::take(&mut work.notes) })
    }

    /// To what was.
    fn back(&self, entry: &mut Entry) -> Result<(), AgentError> {
        let state = std::mem::replace(&mut entry.state, State::RolledBack);
        if let Err(error) = self.establish(entry) {
            entry.state = state;
            return Err(error);
        }
        self.close(entry)
    }

    /// Makes the account what `entry`, which is finished, says that it is; never asking what it is now.
    pub(super) fn establish(&self, entry: &Entry) -> Result<(), AgentError> {
        let back = entry.state != State::Done;
        let (steps, mut work) = self.steps(entry, back)?;
        steps.tidy(&work)?;
        steps.apply(&mut work)?;
        if back {
            steps.uncreate(&work, &entry.created)?;
        }
        let Some(set) = entry.outcome() else {
            return self.manifests.withdraw(&entry.account).map_err(|e| failed(&e));
        };
        let meta = entry.meta().cloned().unwrap_or_else(|| self.meta(set, entry));
        match self.manifests.load(&entry.account) {
            Ok(Some(record))
                if record.manifests == *set
                    && record.meta.last_applied_revision == record.revision
                    && record.meta.owner == meta.owner =>
            {
                self.manifests.tidy(&entry.account).map_err(|e| failed(&e))
            }
            Ok(_) | Err(ManifestsError::Unreadable { .. }) => {
                self.manifests.publish(set, &meta).map_err(|e| failed(&e))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) fn meta(&self, set: &ManifestSet, entry: &Entry) -> MetaManifest {
        MetaManifest {
            schema_version: SCHEMA_VERSION,
            last_applied_revision: set.revision(),
            last_applied_at: Timestamp::now(),
            last_audit_action: entry.audit.clone(),
            owner: entry.owner.clone(),
        }
    }

    fn close(&self, entry: &Entry) -> Result<(), AgentError> {
        self.journal.write(entry).map_err(|e| failed(&e))
    }

    /// What is to be done for an operation, forward or back.
    fn steps(&self, entry: &Entry, back: bool) -> Result<(Steps, Work<'_>), AgentError> {
        let (from, to) = (entry.from.as_ref(), entry.to.as_ref());
        let (from, to) = if back { (to, from) } else { (from, to) };
        let uid = to.or(from).and_then(|set| set.account.uid).ok_or_else(|| failed(&"account.json has no uid"))?;
        // An account that never was leaves nothing in the trash.
        let mut work = self.work(&entry.account, uid, entry.started_at, entry.from.is_none())?;
        work.keep_ignored = !entry.task.converges();
        if let Task::BringBack { tree } = &entry.task {
            let there = work.bring_back(&entry.account, tree)?;
            // An empty home is no home that came back.
            if !there && entry.state == State::Applying {
                return Err(self.gone(&entry.account));
            }
        }
        let sides = self.sides(from, to).map_err(|e| failed(&e))?;
        let steps = Steps::plan(&work, sides, to)?;
        Ok((steps, work))
    }
}

pub(super) fn wrapped(converged: Converged) -> Answer {
    Answer::Converged(Box::new(converged))
}

/// The answer to a change.
pub(super) fn converged(answer: Result<Answer, AgentError>) -> Result<Converged, AgentError> {
    match answer? {
        Answer::Converged(converged) => Ok(*converged),
        Answer::Repaired(_) => {
            Err(super::validate::invalid("this operation was a repair, not a change; use a new operation id"))
        }
    }
}

pub(super) fn describe(name: &Username, from: Option<&ManifestSet>, to: Option<&ManifestSet>, steps: &Steps) -> Plan {
    let (resources, services) = steps.describe();
    Plan {
        account: name.clone(),
        base_revision: from.map(ManifestSet::revision),
        target_revision: to.map(ManifestSet::revision),
        resources,
        services,
        comes_back: Vec::new(),
        data_loss: steps.data_loss(),
    }
}
