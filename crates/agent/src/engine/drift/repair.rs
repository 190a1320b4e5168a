//! Acting on differences: putting back, accepting, ignoring; and converging to manifests that were edited.

use super::super::operation::converged;
use super::super::validate::invalid;
use super::super::{Engine, failed, guard, not_found};
use super::extras::EXTRA;
use super::{Compared, View};
use crate::fsx::FileType;
use crate::journal::{Answer, Entry, RepairTask, State, Task};
use jiff::Timestamp;
use std::collections::HashSet;
use wcp360_agent_proto::{
    Accepted, AgentError, AgentErrorCode, ConvergeRequest, Converged, DriftItem, DriftWhat, ManifestsState,
    PickUpRequest, RepairAction, RepairItem, RepairOutcome, RepairRequest, Repaired, RepairedItem,
};
use wcp360_agent_render::paths::{USERS, WANTS};
use wcp360_types::Username;
use wcp360_types::manifest::AuditReference;

impl Engine {
    /// Acts on single differences of an account.
    ///
    /// # Errors
    /// It does not exist or can't be compared. What becomes of each item is in the answer.
    pub fn repair_items(&self, name: &Username, request: &RepairRequest) -> Result<Repaired, AgentError> {
        let mut seen = HashSet::new();
        if let Some(twice) = request.items.iter().find(|item| !seen.insert(&item.key)) {
            return Err(invalid(format!("\"{}\" comes twice; give every key once", twice.key)));
        }
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if let Some(answer) = self.answered(name, request.operation)? {
            return repaired(answer);
        }
        self.settled(name)?;
        let view = self.view()?;
        let compared = self.compared(name, &view)?.ok_or_else(|| not_found(name))?;
        let task = decide(&compared, request);
        if task.items.iter().all(|item| item.outcome != RepairOutcome::Done) {
            // Nothing is to be done, so nothing is to be remembered.
            let left = count(compared.open().0.len());
            return Ok(Repaired { items: task.items, left });
        }
        let mut entry = Entry {
            operation: request.operation,
            account: name.clone(),
            from: Some(compared.set().clone()),
            to: Some(compared.set().clone()),
            audit: request.audit.clone(),
            started_at: Timestamp::now(),
            created: Vec::new(),
            state: State::Applying,
            task: Task::Repair(task.clone()),
            owner: compared.standing.record.meta.owner.clone(),
            answer: None,
        };
        self.journal.write(&entry).map_err(|e| failed(&e))?;
        let done = self.act(&entry, &task);
        repaired(self.finish(&mut entry, done.map(Answer::Repaired)))
    }

    /// Converges to manifests that were edited by hand.
    ///
    /// # Errors
    /// They were not edited, have changed since, or are refused as any change may be.
    pub fn pick_up(&self, name: &Username, request: &PickUpRequest) -> Result<Converged, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if let Some(answer) = self.answered(name, request.operation)? {
            return converged(answer);
        }
        self.settled(name)?;
        let standing = self.standing(name)?.ok_or_else(|| not_found(name))?;
        let moved = |message: String| AgentError::new(AgentErrorCode::RevisionMoved, message);
        let desired = match &standing.on_disk {
            ManifestsState::Edited { revision, manifests, .. } if *revision == request.revision => {
                (**manifests).clone()
            }
            ManifestsState::Edited { revision, .. } => {
                let now = revision.short();
                return Err(moved(format!(
                    "the manifests of \"{name}\" were edited again, to {now}; look at them again"
                )));
            }
            ManifestsState::Same if standing.record.revision == request.revision => {
                return Err(moved(format!(
                    "\"{name}\" is what its manifests say already; there is nothing to pick up"
                )));
            }
            ManifestsState::Same | ManifestsState::Missing => {
                return Err(moved(format!("the manifests of \"{name}\" are not edited any more")));
            }
            ManifestsState::Refused { file, field, error } => {
                let field = field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
                return Err(invalid(format!("{file}: {field}{error}")));
            }
        };
        let request = ConvergeRequest {
            operation: request.operation,
            base_revision: Some(standing.record.revision.clone()),
            desired: Some(desired),
            bring_back: false,
            audit: request.audit.clone(),
            owner: None,
        };
        self.carry_out(name, &request, Some(standing))
    }

    /// Does what a repair's journal entry says. Done again after an interruption, it does what is left.
    pub(in super::super) fn act(&self, entry: &Entry, task: &RepairTask) -> Result<Repaired, AgentError> {
        let name = &entry.account;
        let view = self.view()?;
        let compared = self.compared(name, &view)?.ok_or_else(|| not_found(name))?;
        let mut items = task.items.clone();
        let to_repair =
            |item: &&mut RepairedItem| item.outcome == RepairOutcome::Done && item.action == RepairAction::Repair;
        for item in items.iter_mut().filter(to_repair) {
            // Gone meanwhile: done, before an interruption perhaps.
            let Some(found) = compared.items.iter().find(|found| found.key == item.key) else { continue };
            match self.put_back(name, &compared, found, &entry.audit, &view) {
                Ok(note) => item.message = note,
                Err(error) => {
                    item.outcome = RepairOutcome::Failed;
                    item.message = Some(error.message);
                }
            }
        }
        let decided = |accepted: &&Accepted| {
            items.iter().any(|item| item.key == accepted.key && item.outcome == RepairOutcome::Done)
        };
        let (_, standing) = compared.open();
        let mut accepted: Vec<Accepted> = standing.iter().filter(|accepted| !decided(accepted)).cloned().collect();
        accepted.extend(task.accept.iter().cloned());
        if accepted != compared.accepted {
            self.accepted.store(name, &accepted).map_err(|e| failed(&e))?;
        }
        let left = self.compared(name, &self.view()?)?.map_or(0, |compared| count(compared.open().0.len()));
        Ok(Repaired { items, left })
    }

    /// Makes one thing what it should be. Returns where something was moved to, if something was.
    fn put_back(
        &self,
        name: &Username,
        compared: &Compared,
        item: &DriftItem,
        audit: &AuditReference,
        view: &View,
    ) -> Result<Option<String>, AgentError> {
        let fail = |e: &dyn std::fmt::Display| failed(e);
        if let Some(path) = item.key.strip_prefix(EXTRA) {
            return self.move_aside(path).map(Some);
        }
        if item.kind == "manifests" {
            let dir = format!("{USERS}/{name}");
            let record = &compared.standing.record;
            let why = format!("what was applied last was put back ({}, {})", audit.action, audit.actor);
            let kept = match item.what {
                DriftWhat::Missing => None,
                _ => Some(self.quarantine.keep_copy(&dir, &why).map_err(|e| fail(&e))?),
            };
            self.manifests.publish(&record.manifests, &record.meta).map_err(|e| fail(&e))?;
            return Ok(kept.map(|place| format!("what was there is kept in {place}")));
        }
        if let Some(path) = item.key.strip_prefix("manifest:") {
            let mode = if path.ends_with(".json") { 0o600 } else { 0o700 };
            let access = crate::fsx::Access { uid: 0, gid: 0, mode };
            return self.fs.set_access(path, access).map(|()| None).map_err(|e| fail(&e));
        }
        if item.what == DriftWhat::Extra {
            let file = item.key.strip_prefix("nginx:").unwrap_or("").to_owned();
            let change = crate::nginx::SiteChange::from([(file, None)]);
            return self.nginx.apply(change).map(|()| None).map_err(|e| fail(&e));
        }
        let resource = compared.resources.iter().find(|resource| resource.key == item.key);
        let resource = resource.ok_or_else(|| fail(&"nothing of that name is known"))?;
        let uid = compared.set().account.uid.ok_or_else(|| fail(&"account.json has no uid"))?;
        let mut work = self.work(name, uid, Timestamp::now(), false)?;
        work.view = Some(view);
        work.tidy(resource)?;
        let kept = self.clear_the_way(resource)?;
        work.put(resource)?;
        Ok(kept)
    }

    /// Moves what is of another type than it should be aside.
    fn clear_the_way(&self, resource: &wcp360_agent_render::Resource) -> Result<Option<String>, AgentError> {
        use wcp360_agent_render::Kind;
        let Some(path) = super::observe::path_of(&resource.kind) else { return Ok(None) };
        let right = match &resource.kind {
            Kind::Home { .. } | Kind::Dir { .. } => FileType::Dir,
            Kind::Symlink { .. } => FileType::Symlink,
            _ => FileType::File,
        };
        match self.fs.meta(path.as_str()).map_err(|e| failed(&e))? {
            Some(meta) if meta.file_type != right => {
                let place = self.quarantine.take(path.as_str(), "something else belongs there");
                Ok(Some(format!("what was there is now {}", place.map_err(|e| failed(&e))?)))
            }
            _ => Ok(None),
        }
    }

    /// Moves something extra to the quarantine; a unit is stopped before.
    pub(super) fn move_aside(&self, path: &str) -> Result<String, AgentError> {
        if let Some(unit) = path.strip_prefix(WANTS).and_then(|rest| rest.strip_prefix('/')) {
            self.services.stop(unit).map_err(|e| failed(&e))?;
        }
        let place = self.quarantine.take(path, "nothing asks for it").map_err(|e| failed(&e))?;
        Ok(format!("it is now {place}"))
    }
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn repaired(answer: Result<Answer, AgentError>) -> Result<Repaired, AgentError> {
    match answer? {
        Answer::Repaired(repaired) => Ok(repaired),
        Answer::Converged(_) => Err(invalid("this operation was a change, not a repair; use a new operation id")),
    }
}

/// What is to be done about each item; nothing is done yet.
fn decide(compared: &Compared, request: &RepairRequest) -> RepairTask {
    let (_, standing) = compared.open();
    let mut task = RepairTask { items: Vec::new(), accept: Vec::new() };
    for RepairItem { key, action, digest } in &request.items {
        let found = compared.items.iter().find(|item| item.key == *key);
        let again = standing.iter().any(|accepted| accepted.key == *key && accepted.action == *action);
        let (outcome, message) = match found {
            None => (RepairOutcome::Healthy, None),
            Some(_) if again => (RepairOutcome::Healthy, Some("that was decided before".to_owned())),
            Some(item) if digest.as_ref().is_some_and(|digest| *digest != item.digest) => {
                (RepairOutcome::Moved, Some("it has changed since it was looked at; look at it again".to_owned()))
            }
            Some(item) if !item.actions.contains(action) => {
                let why = "that can't be adopted: only modes of directories and content of text configuration can";
                (RepairOutcome::Refused, Some(why.to_owned()))
            }
            Some(item) => {
                if *action != RepairAction::Repair {
                    task.accept.push(Accepted {
                        key: key.clone(),
                        action: *action,
                        wanted: compared.wanted_of(key),
                        found: item.digest.clone(),
                        at: Timestamp::now(),
                        audit: request.audit.clone(),
                    });
                }
                (RepairOutcome::Done, None)
            }
        };
        task.items.push(RepairedItem { key: key.clone(), action: *action, outcome, message });
    }
    task
}
