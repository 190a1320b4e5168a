//! Giving entries their place in the chain, and signing its state: only a chain that still holds what was signed last.

use super::by_panel;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use wcp360_audit_chain::{Checkpoint, SigningKey};
use wcp360_store::{StoreError, Tx};

/// Entries that get their place in the chain in one transaction.
const CHAINED_AT_ONCE: u32 = 200;
/// A checkpoint comes after so many entries,
const SIGNED_AT_MOST: u64 = 100;
/// and if there is anything to sign, after this time.
const SIGNED_AT_LEAST: SignedDuration = SignedDuration::from_secs(60);

/// One turn of chaining and signing.
#[derive(Debug)]
pub(super) struct Turn {
    /// The key that signs.
    pub(super) key: Arc<SigningKey>,
    /// How far the trail is known to have come.
    pub(super) known: u64,
    /// The last checkpoint that was made here.
    pub(super) anchor: Option<Checkpoint>,
    /// Whether it was told already that the trail does not hold that.
    pub(super) told: bool,
    /// Whether a checkpoint is wanted now.
    pub(super) sign: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct CaughtUp {
    /// There may be more to chain.
    pub(super) more: bool,
    /// The checkpoint that was made.
    pub(super) made: Option<Checkpoint>,
    /// Where the trail ended, if it had come farther.
    pub(super) shorter: Option<u64>,
    /// Whether it does not hold what was signed last.
    pub(super) rewritten: bool,
}

impl Turn {
    /// Whether there is something to sign, if the trail ends with entry `end`.
    pub(super) fn is_due(&self, end: u64, now: Timestamp) -> bool {
        let (signed, when) = match &self.anchor {
            Some(made) if made.key == self.key.public().id() => (made.seq, made.at),
            // A new key signs what the one before has signed.
            Some(made) => (0, made.at),
            None => (0, Timestamp::UNIX_EPOCH),
        };
        end > signed && (self.sign || end - signed >= SIGNED_AT_MOST || now.duration_since(when) >= SIGNED_AT_LEAST)
    }

    /// Chains what waits, and signs the end if that is due.
    ///
    /// # Errors
    /// The database's.
    pub(super) fn chain(&self, tx: &mut Tx<'_>) -> Result<CaughtUp, StoreError> {
        let (now, known) = (Timestamp::now(), self.known);
        // Less than there once was: somebody took the end away, or put an older database back.
        let end = tx.audit_end()?.map_or(0, |(seq, _)| seq);
        if end < known {
            let detail = format!("the trail had reached entry {known}, and ends with entry {end}");
            tx.append_audit(&by_panel("audit.truncated", None, "failed", Some(&detail)), now)?;
        }
        // Another one than was signed: who computed it anew must not get a signature for it.
        let rewritten = match &self.anchor {
            Some(made) if made.seq <= end => tx.audit_hash(made.seq)?.as_ref() != Some(&made.hash),
            _ => false,
        };
        if let (Some(made), true, false) = (&self.anchor, rewritten, self.told) {
            let detail = format!("the trail up to entry {} is not the one that was signed", made.seq);
            tx.append_audit(&by_panel("audit.rewritten", None, "failed", Some(&detail)), now)?;
        }
        let more = tx.chain_audit(CHAINED_AT_ONCE)? == u64::from(CHAINED_AT_ONCE);
        let made = match tx.audit_end()? {
            Some((seq, hash)) if !rewritten && !more && self.is_due(seq, now) => {
                let made = Checkpoint::sign(&self.key, seq, &hash, now);
                tx.insert_checkpoint(&made)?;
                Some(made)
            }
            _ => None,
        };
        Ok(CaughtUp { more, made, shorter: (end < known).then_some(end), rewritten })
    }
}
