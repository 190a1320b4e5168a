//! Refusals in the trail: some one by one, the others as counts.

use super::Auditor;
use super::flood::{Beginning, By};
use crate::{Caller, EngineError};
use jiff::Timestamp;

impl Auditor {
    /// Whether a refusal is to be recorded. There is a bound, so that nobody fills the disk with them; those beyond it are
    /// counted, and the count is recorded.
    pub fn admits_refusal(&self, by: By<'_>, operation: &str, reason: &str) -> bool {
        self.flood.admits(by, operation, reason, Timestamp::now())
    }

    /// What is to be recorded before `caller` begins `operation`: nothing, if they were refused it again and again and an
    /// entry stands for what they try.
    pub fn beginning(&self, caller: &Caller, operation: &str) -> Beginning {
        self.flood.beginning(caller, operation)
    }

    /// Notes that the entry of a beginning was recorded that stands for those that follow it.
    pub fn stands(&self, caller: &Caller, operation: &str) {
        self.flood.stands(caller, operation);
    }

    /// Notes that an operation succeeded: what the caller begins next is recorded by itself again.
    pub fn succeeded(&self, caller: &Caller, operation: &str) {
        self.flood.succeeded(caller, operation);
    }

    /// Records what was only counted so far.
    ///
    /// # Errors
    /// As [`Auditor::record`].
    pub async fn record_counts(&self) -> Result<(), EngineError> {
        self.summarise(true).await
    }

    pub(super) async fn summarise(&self, stops: bool) -> Result<(), EngineError> {
        let entries = self.flood.turn(Timestamp::now(), stops);
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            tracing::warn!(actor = entry.actor, target = entry.target, detail = entry.detail, "refusals");
        }
        self.db
            .write(move |tx| {
                let now = Timestamp::now();
                entries.iter().try_for_each(|entry| tx.append_audit(entry, now))
            })
            .await?;
        self.mirror_soon();
        Ok(())
    }
}
