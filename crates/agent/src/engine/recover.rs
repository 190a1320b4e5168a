//! After a crash, and from time to time.

use super::{Engine, failed, guard};
use crate::fsx::FsError;
use crate::journal::Answer;
use crate::journal::Entry;
use crate::names;
use jiff::Timestamp;
use wcp360_agent_proto::AgentError;
use wcp360_types::{OperationId, Username};

/// How long answers of finished operations are kept.
const REMEMBERED_SECONDS: i64 = 86_400;

impl Engine {
    /// Lists what a crash interrupted, and takes its names, so that nobody else gets them meanwhile.
    pub(super) fn find_unfinished(&self) -> Result<(), FsError> {
        let mut open = Vec::new();
        for operation in self.journal.unfinished() {
            open.extend(self.journal.read(operation)?);
        }
        for entry in open {
            for set in [&entry.from, &entry.to].into_iter().flatten() {
                if let Err(error) = self.names.claim(&entry.account, &names::hosts(&set.domains)) {
                    tracing::error!(account = %entry.account, %error, "an unfinished operation wants a name that is taken");
                }
            }
            guard(&self.unfinished).insert(entry.account, entry.operation);
        }
        Ok(())
    }

    /// Finishes, or takes back, everything unfinished. Returns how much is left.
    pub fn recover(&self) -> u64 {
        let pending: Vec<(Username, OperationId)> =
            guard(&self.unfinished).iter().map(|(name, operation)| (name.clone(), *operation)).collect();
        for (name, operation) in pending {
            let lock = self.lock_of(&name);
            let _held = guard(&lock);
            if guard(&self.unfinished).get(&name) != Some(&operation) {
                continue;
            }
            match self.resume(operation) {
                Ok(Ok(_)) => tracing::info!(account = %name, %operation, "interrupted operation finished"),
                Ok(Err(error)) => {
                    tracing::warn!(account = %name, %operation, %error, "interrupted operation taken back")
                }
                Err(error) => tracing::error!(account = %name, %operation, %error, "interrupted operation still open"),
            }
        }
        self.restore_all_lost();
        self.unfinished()
    }

    /// Goes on with an operation of the journal. The outer error: it is still open. The account's lock is held.
    pub(super) fn resume(&self, operation: OperationId) -> Result<Result<Answer, AgentError>, AgentError> {
        let entry = self.journal.read(operation).map_err(|e| failed(&e))?;
        let mut entry: Entry = entry.ok_or_else(|| failed(&"the journal has lost the operation"))?;
        let answer = self.resume_entry(&mut entry);
        if entry.is_finished() {
            return Ok(answer);
        }
        match answer {
            Err(error) => Err(error),
            Ok(_) => Err(failed(&"it is still open")),
        }
    }

    /// Forgets answers of yesterday and removes trees whose time in the trash is over.
    pub fn clean_up(&self) {
        let now = Timestamp::now().as_second();
        if let Err(error) = self.uids.record().and_then(|()| self.journal.forget(now - REMEMBERED_SECONDS)) {
            tracing::warn!(%error, "old journal entries stay");
        }
        self.empty_trash();
    }
}
