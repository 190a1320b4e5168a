//! Putting on disk, in the background, what the journal speaks for meanwhile; and carrying out again what a power cut took.

use super::{Engine, failed, guard};
use crate::fsx::FsError;
use crate::journal::Journal;
use std::collections::BTreeMap;
use wcp360_agent_proto::AgentError;
use wcp360_types::Username;
use wcp360_types::manifest::ManifestSet;

/// What the accounts are whose manifests the last power cut may have taken.
pub(super) fn lost_sets(journal: &Journal) -> Result<BTreeMap<Username, Option<ManifestSet>>, FsError> {
    let mut out = BTreeMap::new();
    for (account, operation) in journal.lost() {
        if let Some(entry) = journal.read(operation)?
            && entry.is_finished()
        {
            out.insert(account, entry.outcome().cloned());
        }
    }
    Ok(out)
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
            match entry.outcome() {
                Some(set) => self.applied.remember(set)?,
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
    pub fn last_good(&self, name: &Username) -> Result<Option<ManifestSet>, FsError> {
        if let Some(operation) = self.journal.latest(name)
            && let Some(entry) = self.journal.read(operation)?.filter(|entry| entry.is_finished())
        {
            return Ok(entry.outcome().cloned());
        }
        self.applied.load(name)
    }

    /// Makes the account again what its last finished operation made it, if a power cut may have taken that. The account's
    /// lock is held, and nothing is unfinished.
    pub(super) fn restore_lost(&self, name: &Username) -> Result<(), AgentError> {
        let Some(operation) = self.journal.is_lost(name) else { return Ok(()) };
        let entry = self.journal.read(operation).map_err(|e| failed(&e))?;
        if let Some(entry) = entry.filter(|entry| entry.is_finished()) {
            self.establish(&entry)?;
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
