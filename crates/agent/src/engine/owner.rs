//! Whose an account is: a matter of the panel, which the agent only keeps in `meta.json` (ENG-05).

use super::operation::{converged, describe, wrapped};
use super::{Engine, Steps, failed, guard, not_found};
use crate::journal::{Entry, State, Task};
use jiff::Timestamp;
use wcp360_agent_proto::{AccountRecord, AgentError, Converged, ManifestsState, OwnerRequest};
use wcp360_types::Username;

impl Engine {
    /// Notes whose an account is.
    ///
    /// # Errors
    /// It does not exist, or `meta.json` can't be written.
    pub fn set_owner(&self, name: &Username, request: &OwnerRequest) -> Result<Converged, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if let Some(answer) = self.answered(name, request.operation)? {
            return converged(answer);
        }
        self.settled(name)?;
        let record = self.standing(name)?.ok_or_else(|| not_found(name))?.record;
        let mut entry = Entry {
            operation: request.operation,
            account: name.clone(),
            from: Some(record.manifests.clone()),
            to: Some(record.manifests),
            audit: request.audit.clone(),
            started_at: Timestamp::now(),
            created: Vec::new(),
            state: State::Applying,
            task: Task::Owner,
            owner: Some(request.owner.clone()),
            answer: None,
        };
        self.journal.write(&entry).map_err(|e| failed(&e))?;
        let done = self.note_owner(&entry);
        converged(self.finish(&mut entry, done.map(wrapped)))
    }

    /// Writes `meta.json` alone: the other manifests may have been edited by hand, which is nobody's business here.
    pub(super) fn note_owner(&self, entry: &Entry) -> Result<Converged, AgentError> {
        let name = &entry.account;
        let standing = self.standing(name)?.ok_or_else(|| not_found(name))?;
        let manifests = entry.to.clone().ok_or_else(|| not_found(name))?;
        let meta = self.meta(&manifests, entry);
        // Without a folder there is no file; what was applied last, which a repair puts back, has it.
        if standing.on_disk != ManifestsState::Missing {
            self.manifests.write_meta(name, &meta).map_err(|e| failed(&e))?;
        }
        let applied = describe(name, Some(&manifests), Some(&manifests), &Steps::default());
        let record = AccountRecord { revision: manifests.revision(), manifests, meta, on_disk: None };
        Ok(Converged { record: Some(record), applied, notes: Vec::new() })
    }
}
