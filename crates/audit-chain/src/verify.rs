//! Verifying, entry by entry, in little memory.

use crate::canonical::{Fields, hash};
use crate::checkpoint::Checkpoint;
use crate::key::PublicKey;
use crate::line::{End, FORMAT, Head};
use crate::{KEY_ACTION, Record};
use std::collections::{BTreeSet, VecDeque};
use wcp360_types::api::audit::{AuditFault, AuditFaultKind, AuditVerification};

/// Checkpoints may come this many entries after the one they hold.
const REMEMBERED: usize = 4096;

/// Verifies a trail as it is fed with it.
#[derive(Debug, Default)]
pub struct Verifier {
    /// Keys whose signature counts.
    trusted: BTreeSet<PublicKey>,
    /// Whether somebody named keys; else the file's own are believed, which shows only that it agrees with itself.
    anchored: bool,
    /// Keys that entries name, each with its entry.
    introduced: Vec<(u64, PublicKey)>,
    expected_last: Option<u64>,
    /// A checkpoint that is known from elsewhere, until its entry comes.
    known: Option<Checkpoint>,
    selection: bool,
    must_end: bool,
    ended: bool,
    /// Positions and hashes of the last entries.
    recent: VecDeque<(u64, String)>,
    /// A gap: the first and the last that are missing. They may still turn up.
    gap: Option<(u64, u64)>,
    /// The last entry that a good checkpoint holds.
    held: u64,
    /// The farthest that a checkpoint claims.
    claimed: u64,
    found: AuditVerification,
}

impl Verifier {
    /// A verifier that trusts these keys; with none, those that the trail itself names.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let trusted: BTreeSet<PublicKey> = keys.into_iter().collect();
        Self { anchored: !trusted.is_empty(), trusted, ..Self::default() }
    }

    /// The trail is known to have reached this entry.
    pub fn expect_last(&mut self, seq: u64) {
        self.expected_last = Some(self.expected_last.unwrap_or(0).max(seq));
    }

    /// The trail is known to have been signed so: whatever it holds itself, it has to agree with this.
    pub fn expect_checkpoint(&mut self, known: Checkpoint) {
        self.expect_last(known.seq);
        self.known = Some(known);
    }

    /// Whether something is wrong for sure, so that the rest makes no difference.
    pub fn is_decided(&self) -> bool {
        self.found.fault.is_some()
    }

    /// Takes the next record.
    pub fn record(&mut self, record: &Record<'_>) {
        match record {
            Record::Head(head) => self.head(head),
            Record::Entry(entry) => self.entry(&entry.fields()),
            Record::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Record::End(end) => self.end(end),
        }
    }

    /// What can't be read, after the last entry.
    pub fn unreadable(&mut self, place: &str, reason: &str) {
        let seq = self.last() + 1;
        self.fault(AuditFaultKind::Unreadable, seq, None, format!("{place}: {reason}"));
    }

    /// The beginning of a file.
    pub fn head(&mut self, head: &Head) {
        if head.format != FORMAT {
            self.unreadable("the head", &format!("this version verifies {FORMAT}, the file is {:?}", head.format));
        }
        self.selection |= !head.chained;
        self.must_end = head.ends;
        self.ended = false;
        if !self.anchored {
            self.trusted.extend(head.keys.iter().filter_map(|key| key.parse::<PublicKey>().ok()));
        }
    }

    /// The next entry.
    pub fn entry(&mut self, entry: &Fields<'_>) {
        if self.is_decided() {
            return;
        }
        if let Some((first, last)) = self.gap {
            // Only whether what is missing turns up.
            if (first..=last).contains(&entry.seq) {
                let detail = format!("entry {} comes after entry {}", entry.seq, last + 1);
                self.fault(AuditFaultKind::Reordered, first, None, detail);
            }
            return;
        }
        if hash(entry) != entry.hash {
            let detail = format!("the content of entry {} is not what was hashed", entry.seq);
            return self.fault(AuditFaultKind::Altered, entry.seq.min(self.last() + 1), None, detail);
        }
        let before = self.recent.back().map(|(seq, hash)| (*seq, hash.as_str()));
        match before {
            _ if self.selection => {}
            None if entry.seq == 1 && !entry.previous.is_empty() => {
                let detail = "entry 1 follows another one".to_owned();
                return self.fault(AuditFaultKind::Altered, 1, None, detail);
            }
            None => {}
            Some((seq, _)) if entry.seq <= seq => {
                let detail = format!("entry {} comes after entry {seq}", entry.seq);
                return self.fault(AuditFaultKind::Reordered, entry.seq, None, detail);
            }
            Some((seq, _)) if entry.seq > seq + 1 => {
                self.gap = Some((seq + 1, entry.seq - 1));
                return;
            }
            Some((seq, hash)) if entry.previous != hash => {
                let detail = format!("entry {seq} is not the one that entry {} follows", entry.seq);
                return self.fault(AuditFaultKind::Altered, seq, None, detail);
            }
            Some(_) => {}
        }
        // Reading the key has the same name, and may be refused with somebody else's key as what it is about.
        if entry.action == KEY_ACTION
            && entry.outcome == "succeeded"
            && let Some(key) = entry.target.and_then(|text| text.parse().ok())
        {
            self.introduced.push((entry.seq, key));
        }
        self.found.entries += 1;
        self.found.first.get_or_insert(entry.seq);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((entry.seq, entry.hash.to_owned()));
        if let Some(known) = self.known.take_if(|known| known.seq == entry.seq) {
            self.checkpoint(&known);
        }
    }

    /// A checkpoint; those of entries that come later are to be given later, those of earlier ones soon after.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        if self.is_decided() || self.gap.is_some() {
            return;
        }
        let seq = checkpoint.seq;
        let known = self.introduced.iter().map(|(_, key)| key);
        let Some(key) = self.trusted.iter().chain(known).find(|key| key.id() == checkpoint.key).copied() else {
            let detail = format!("nobody vouches for the key {:?} of the checkpoint at entry {seq}", checkpoint.key);
            return self.fault(AuditFaultKind::UnknownKey, seq, None, detail);
        };
        if !checkpoint.is_signed_by(&key) {
            let detail = format!("the signature of the checkpoint at entry {seq} is not that of its key");
            return self.fault(AuditFaultKind::BadSignature, seq, None, detail);
        }
        self.claimed = self.claimed.max(seq);
        let there = self.recent.iter().rev().find(|(there, _)| *there == seq).map(|(_, hash)| hash.clone());
        match there {
            Some(hash) if hash == checkpoint.hash => {
                self.found.checkpoints += 1;
                self.held = self.held.max(seq);
                if self.trusted.contains(&key) {
                    self.found.signed_through = self.found.signed_through.max(Some(seq));
                    // What a trusted signature holds is trusted, the keys that it names too.
                    let named = self.introduced.iter().filter(|(at, _)| *at <= seq).map(|(_, key)| *key);
                    self.trusted.extend(named);
                }
            }
            Some(_) => {
                let detail = format!("the chain at entry {seq} is not the one that was signed");
                let from = self.held + 1;
                self.fault(AuditFaultKind::Rewritten, from, Some(seq), detail);
            }
            // Of a part that is not in the file, or it comes too late to be compared.
            None => {}
        }
    }

    /// The end of an export.
    pub fn end(&mut self, end: &End) {
        self.ended = true;
        if !self.is_decided() && self.gap.is_none() && (end.entries, end.last) != (self.found.entries, self.last_seq())
        {
            let detail = format!("the file says that it has {} entries, and has {}", end.entries, self.found.entries);
            self.fault(AuditFaultKind::Truncated, self.last() + 1, end.last, detail);
        }
    }

    /// What came of it.
    pub fn finish(mut self) -> AuditVerification {
        if let Some((first, last)) = self.gap.filter(|_| !self.is_decided()) {
            let detail = if first == last {
                format!("entry {first} is missing")
            } else {
                format!("entries {first} to {last} are missing")
            };
            self.fault(AuditFaultKind::Removed, first, Some(last), detail);
        }
        let last = self.last();
        let known = self.claimed.max(self.expected_last.unwrap_or(0));
        if !self.is_decided() && !self.selection && known > last {
            let detail = format!("the trail reached entry {known}, and ends with entry {last}");
            self.fault(AuditFaultKind::Truncated, last + 1, Some(known), detail);
        }
        if !self.is_decided() && self.must_end && !self.ended {
            let detail = "the end of the export is missing".to_owned();
            self.fault(AuditFaultKind::Truncated, last + 1, None, detail);
        }
        if !self.is_decided()
            && self.anchored
            && !self.selection
            && self.found.entries > 0
            && self.found.signed_through.is_none()
        {
            let detail = "no checkpoint of a trusted key holds any of it".to_owned();
            self.fault(AuditFaultKind::Unsigned, self.found.first.unwrap_or(1), Some(last), detail);
        }
        let mut found = self.found;
        found.chained = !self.selection;
        found.last = self.recent.back().map(|(seq, _)| *seq);
        found.last_hash = self.recent.back().map(|(_, hash)| hash.clone());
        found.unsigned = last.saturating_sub(found.signed_through.unwrap_or(found.first.unwrap_or(1) - 1));
        found.ok = found.fault.is_none();
        if !found.chained {
            found.notes.push("this is a selection: that nothing is missing from it can't be verified".into());
            found.unsigned = 0;
        } else if found.first.is_some_and(|first| first > 1) {
            found.notes.push("it begins in the middle: what was before is in an earlier file".into());
        }
        if !self.anchored {
            let note = "the keys are those that it names itself; give the panel's public key to be sure whose they are";
            found.notes.push(note.into());
        }
        found
    }

    fn last_seq(&self) -> Option<u64> {
        self.recent.back().map(|(seq, _)| *seq)
    }

    fn last(&self) -> u64 {
        self.last_seq().unwrap_or(0)
    }

    fn fault(&mut self, kind: AuditFaultKind, seq: u64, until: Option<u64>, detail: String) {
        self.found.fault.get_or_insert(AuditFault { kind, seq, until: until.filter(|until| *until > seq), detail });
    }
}
