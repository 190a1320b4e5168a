//! What a request starts from, and whether it may.

use super::standing::Standing;
use super::{Engine, failed, not_found};
use wcp360_agent_proto::{AccountRecord, AgentError, AgentErrorCode, ConvergeRequest, ManifestsState};
use wcp360_agent_render::paths::USERS;
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{Revision, Username};

/// What the account is now and what it shall be, checked.
pub(super) struct Checked {
    pub(super) from: Option<AccountRecord>,
    pub(super) to: Option<ManifestSet>,
}

fn taken(message: impl Into<String>) -> AgentError {
    AgentError::new(AgentErrorCode::Taken, message)
}

impl Engine {
    /// Manifests that were edited by hand, and are about to be replaced by others, are kept in the quarantine. Returns a
    /// note about it.
    pub(super) fn keep_edits(
        &self,
        name: &Username,
        standing: &Standing,
        request: &ConvergeRequest,
    ) -> Result<Option<String>, AgentError> {
        let lost = match &standing.on_disk {
            ManifestsState::Edited { manifests, .. } => request.desired.as_ref() != Some(&**manifests),
            ManifestsState::Refused { .. } => true,
            ManifestsState::Same | ManifestsState::Missing => false,
        };
        if !lost {
            return Ok(None);
        }
        let place =
            self.quarantine.keep_copy(&format!("{USERS}/{name}"), "an ordinary change of the account replaced it");
        let place = place.map_err(|e| failed(&e))?;
        Ok(Some(format!("the manifests had been edited by hand and were not picked up; they are kept in {place}")))
    }

    /// What the account is now, if that is what the request was made from.
    pub(super) fn base(
        &self,
        name: &Username,
        base: Option<&Revision>,
        delete: bool,
    ) -> Result<Option<Standing>, AgentError> {
        let current = self.standing(name)?;
        match (current.as_ref().map(|standing| &standing.record), base) {
            (None, None) if delete => Err(not_found(name)),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(not_found(name)),
            (Some(record), Some(base)) if record.revision == *base => Ok(current),
            (Some(_), None) if !delete => Err(taken(format!("the account \"{name}\" exists; choose another name"))),
            (Some(record), _) => Err(AgentError::new(
                AgentErrorCode::RevisionMoved,
                format!(
                    "\"{name}\" was changed meanwhile, to {}; read it again and repeat the change",
                    record.revision.short()
                ),
            )),
        }
    }

    pub(super) fn check(
        &self,
        name: &Username,
        from: Option<AccountRecord>,
        desired: Option<&ManifestSet>,
        uid: u32,
    ) -> Result<Checked, AgentError> {
        let current = from.as_ref().map(|record| &record.manifests);
        let to = desired.map(|desired| self.complete(name, desired, current, uid)).transpose()?;
        if from.is_none() && to.is_some() {
            if self.userdb.find(name.as_str()).map_err(|e| failed(&e))?.is_some() {
                let message = format!("this machine already has a user or group \"{name}\"; choose another name");
                return Err(taken(message));
            }
            let home = self.facts.home(name);
            if self.fs.meta(home.as_str()).map_err(|e| failed(&e))?.is_some() {
                let message = format!("{home} exists; choose another name, or have it moved away");
                return Err(taken(message));
            }
        }
        Ok(Checked { from, to })
    }
}
