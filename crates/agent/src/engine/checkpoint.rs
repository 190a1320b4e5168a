//! Putting on disk, in the background, what the journal speaks for meanwhile; and carrying out again what a power cut took.

use super::{Engine, StartError, failed, guard};
use crate::applied::{Applied, LastGood};
use crate::fsx::FsError;
use crate::journal::{Entry, Journal, Task};
use crate::manifests::{Manifests, ManifestsError};
use std::collections::BTreeSet;
use wcp360_agent_proto::AgentError;
use wcp360_types::Username;
use wcp360_types::manifest::{DomainsManifest, MetaManifest, SCHEMA_VERSION};

/// What `name` was converged to last; `None` if that is not known, or if it was deleted.
pub(super) fn last_good(journal: &Journal, applied: &Applied, name: &Username) -> Result<Option<LastGood>, FsError> {
    if let Some(operation) = journal.latest(name)
        && let Some(entry) = journal.read(operation)?.filter(|entry| entry.is_finished())
    {
        return Ok(good_after(&entry));
    }
    applied.load(name)
}

/// An account's domains, or why they can't be read.
type Domains = Result<DomainsManifest, ManifestsError>;

/// The domains of every account, by what was applied last.
pub(super) fn domains(
    journal: &Journal,
    applied: &Applied,
    manifests: &Manifests,
) -> Result<Vec<(Username, Domains)>, StartError> {
    let mut names: BTreeSet<Username> = manifests.accounts()?.into_iter().collect();
    names.extend(applied.accounts()?);
    names.extend(journal.pending().into_iter().chain(journal.lost()).map(|(name, _)| name));
    let mut out = Vec::new();
    for name in names {
        match last_good(journal, applied, &name)? {
            Some(good) => out.push((name, Ok(good.manifests.domains))),
            // Deleted.
            None if journal.latest(&name).is_some() => {}
            None => {
                let domains = manifests.domains(&name);
                out.push((name, domains));
            }
        }
    }
    Ok(out)
}

/// What the account is after `entry`, which is finished.
fn good_after(entry: &Entry) -> Option<LastGood> {
    let manifests = entry.outcome()?.clone();
    let meta = entry.meta().cloned().unwrap_or_else(|| MetaManifest {
        schema_version: SCHEMA_VERSION,
        last_applied_revision: manifests.revision(),
        last_applied_at: entry.started_at,
        last_audit_action: entry.audit.clone(),
        owner: entry.owner.clone(),
    });
    Some(LastGood { manifests, meta, rendered: None })
}

impl Engine {
    /// Puts everything on disk that finished operations have written, and notes in the journal that it is.
    ///
    /// # Errors
    /// The disk; then the journal goes on speaking for it.
    pub fn checkpoint(&self) -> Result<(), FsError> {
        let pending = self.journal.pending();
        for (account, operation) in &pending {
            let Some(entry) = self.journal.read(*operation)?.filter(|entry| entry.is_finished()) else { continue };
            match good_after(&entry) {
                Some(mut good) => {
                    // Another release may have made something else of it.
                    if !self.is_inherited(*operation) {
                        good.rendered = self.rendered(&good.manifests).ok();
                    }
                    self.applied.remember(&good)?;
                }
                None => self.applied.forget(account)?,
            }
        }
        self.uids.record()?;
        if pending.is_empty() {
            return Ok(());
        }
        self.fs.sync_all()?;
        self.journal.checkpoint(pending)
    }

    /// How many accounts were changed since the last checkpoint.
    pub fn unsynced(&self) -> usize {
        self.journal.pending().len()
    }

    /// What `name` was converged to last; `None` if that is not known.
    ///
    /// # Errors
    /// The disk.
    pub fn last_good(&self, name: &Username) -> Result<Option<LastGood>, FsError> {
        last_good(&self.journal, &self.applied, name)
    }

    /// Makes the account again what its last finished operation made it, if a power cut may have taken that. The account's
    /// lock is held, and nothing is unfinished.
    pub(super) fn restore_lost(&self, name: &Username) -> Result<(), AgentError> {
        let Some(operation) = self.journal.is_lost(name) else { return Ok(()) };
        let entry = self.journal.read(operation).map_err(|e| failed(&e))?;
        if let Some(entry) = entry.filter(|entry| entry.is_finished()) {
            self.establish(&entry)?;
            if let Task::Repair(task) = &entry.task {
                self.act(&entry, task)?;
            }
        }
        self.journal.found(name, operation);
        Ok(())
    }

    /// Carries out again whatever the last power cut may have taken.
    pub(super) fn restore_all_lost(&self) {
        for (name, operation) in self.journal.lost() {
            let lock = self.lock_of(&name);
            let _held = guard(&lock);
            if guard(&self.unfinished).contains_key(&name) {
                continue;
            }
            match self.restore_lost(&name) {
                Ok(()) => {
                    tracing::info!(account = %name, %operation, "carried out again after a restart of the machine")
                }
                Err(error) => tracing::error!(account = %name, %operation, %error, "can't be carried out again yet"),
            }
        }
    }
}
