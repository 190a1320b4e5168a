//! The journal: what was begun, so that a restart can finish it or take it back, and what was answered.
//!
//! An operation's first record is on disk before its first effect, and its last before anybody is told. The records carry
//! the durability of everything that an operation writes: manifests and what is derived from them are written without
//! waiting for the disk. After a power cut the operations since the last *checkpoint* are carried out again
//! ([`Journal::lost`]); a checkpoint puts everything on disk, in the background, and then says so here.

mod frame;
mod history;
mod legacy;
mod log;
mod record;
#[cfg(test)]
mod tests;

use crate::crash;
use crate::engine::guard;
use crate::fsx::{Fs, FsError};
use history::History;
use jiff::Timestamp;
use log::{Location, Log};
use record::{Body, Head, HeadKind};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wcp360_agent_proto::{Accepted, AgentError, Converged, Repaired, RepairedItem};
use wcp360_types::manifest::{AuditReference, ManifestSet, MetaManifest};
use wcp360_types::{LoginName, OperationId, Username};

/// Why the journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// What is in a file can't be believed.
    #[error(
        "{path}: {reason}; look at the accounts that were changed last, move the file away and start again: every account is \
         then compared with its manifests"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On the way to `to`.
    Applying,
    /// On the way back to `from`.
    Reverting,
    /// The machine is what `to` says.
    Done,
    /// The machine is what `from` says.
    RolledBack,
}

/// What an operation does besides, or instead of, converging from one set to the other.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Nothing else.
    #[default]
    Converge,
    /// Brings the account's tree back from the trash, before it converges. On the way back it goes there again.
    BringBack {
        /// Its name in the trash.
        tree: String,
    },
    /// Acts on single differences; both sets are the same.
    Repair(RepairTask),
    /// Notes whose the account is; both sets are the same.
    Owner,
}

impl Task {
    /// Whether the operation leads from one set to the other, and can be taken back.
    pub fn converges(&self) -> bool {
        matches!(self, Task::Converge | Task::BringBack { .. })
    }
}

/// What a repair does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepairTask {
    /// What was decided about each item of the request; those to be done are `Done` in advance.
    pub items: Vec<RepairedItem>,
    /// What is accepted or ignored from here on.
    pub accept: Vec<Accepted>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To a change.
    Converged(Box<Converged>),
    /// To a repair.
    Repaired(Repaired),
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub operation: OperationId,
    /// The account.
    pub account: Username,
    /// What the account was.
    pub from: Option<ManifestSet>,
    /// What it shall be.
    pub to: Option<ManifestSet>,
    /// Who caused it.
    pub audit: AuditReference,
    /// When it began; names the tree in the trash.
    pub started_at: Timestamp,
    /// Directories and log files in the account's home that were not there before it. A change that is taken back takes them
    /// away again, if nobody has put anything into them; nothing else ever does.
    pub created: Vec<String>,
    /// How far it is.
    pub state: State,
    /// What it does.
    pub task: Task,
    /// Whose the account is from then on, as far as that is known.
    pub owner: Option<LoginName>,
    /// What was answered: an answer or an error.
    pub answer: Option<Result<Answer, AgentError>>,
}

impl Entry {
    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Done | State::RolledBack)
    }

    /// What `meta.json` says after it, if it was answered to be done.
    pub fn meta(&self) -> Option<&MetaManifest> {
        match &self.answer {
            Some(Ok(Answer::Converged(converged))) => converged.record.as_ref().map(|record| &record.meta),
            _ => None,
        }
    }

    /// What the account is when the operation is finished.
    pub fn outcome(&self) -> Option<&ManifestSet> {
        if self.state == State::Done { self.to.as_ref() } else { self.from.as_ref() }
    }
}

/// What is known of an operation without reading its records.
#[derive(Debug, Clone)]
struct Slot {
    account: Username,
    begin: Location,
    last: Location,
    state: State,
    /// Seconds since 1970.
    at: i64,
}

#[derive(Default)]
struct Index {
    slots: HashMap<OperationId, Slot>,
    /// The last finished operation of each account that was changed since the last checkpoint, and the boot it was in.
    pending: HashMap<Username, (OperationId, Arc<str>)>,
    highest_uid: u32,
}

/// The journal of this machine.
pub struct Journal {
    log: Log,
    index: Mutex<Index>,
    boot: Arc<str>,
    /// Held while records go from the log into the history, so that who reads both misses none.
    history: Mutex<History>,
}

impl Journal {
    /// Reads what there is, and takes over what an older release wrote.
    ///
    /// # Errors
    /// The disk, or a damaged or unknown file, by name.
    pub fn open(fs: &Arc<Fs>) -> Result<Self, JournalError> {
        let mut index = Index::default();
        let mut boot: Arc<str> = "".into();
        let log = Log::open(Arc::clone(fs), |at, record| index.see(at, record, &mut boot))?;
        let now = boot_id(fs);
        let journal =
            Self { log, index: Mutex::new(index), boot: now.as_str().into(), history: Mutex::new(History::new(fs)) };
        if *boot != *now {
            journal.log.append(&record::encode(HeadKind::Open { boot: now }, &Body::default())?)?;
        }
        legacy::take_over(fs, &journal)?;
        Ok(journal)
    }

    /// Writes how far `entry` is; on disk when this returns.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, entry: &Entry) -> Result<(), FsError> {
        crash::point("journal");
        let at = self.log.append(&record::of(entry)?)?;
        guard(&self.index).note(entry, at, &self.boot);
        crash::point("journal done");
        Ok(())
    }

    /// The entry of `operation`, if it is known.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&self, operation: OperationId) -> Result<Option<Entry>, FsError> {
        let Some(slot) = guard(&self.index).slots.get(&operation).cloned() else { return Ok(None) };
        let begin = self.log.read(slot.begin)?;
        let last = if slot.last == slot.begin { None } else { Some(self.log.read(slot.last)?) };
        record::entry(operation, &slot.account, slot.state, &begin, last.as_deref()).map(Some)
    }

    /// Operations that are neither done nor taken back.
    pub fn unfinished(&self) -> Vec<OperationId> {
        let open = |slot: &Slot| matches!(slot.state, State::Applying | State::Reverting);
        guard(&self.index).slots.iter().filter(|(_, slot)| open(slot)).map(|(operation, _)| *operation).collect()
    }

    /// Finished operations whose effects the last power cut may have taken: none if the machine has not been started anew
    /// since.
    pub fn lost(&self) -> Vec<(Username, OperationId)> {
        let index = guard(&self.index);
        let elsewhere = index.pending.iter().filter(|(_, (_, boot))| *boot != self.boot);
        elsewhere.map(|(account, (operation, _))| (account.clone(), *operation)).collect()
    }

    /// Whether the last power cut may have taken what `account` is.
    pub fn is_lost(&self, account: &Username) -> Option<OperationId> {
        let index = guard(&self.index);
        index.pending.get(account).filter(|(_, boot)| *boot != self.boot).map(|(operation, _)| *operation)
    }

    /// The last finished operation of `account`, if it was after the last checkpoint.
    pub fn latest(&self, account: &Username) -> Option<OperationId> {
        guard(&self.index).pending.get(account).map(|(operation, _)| *operation)
    }

    /// The last finished operation of each account that was changed since the last checkpoint, without those that are
    /// lost.
    pub fn pending(&self) -> Vec<(Username, OperationId)> {
        let index = guard(&self.index);
        let here = index.pending.iter().filter(|(_, (_, boot))| *boot == self.boot);
        here.map(|(account, (operation, _))| (account.clone(), *operation)).collect()
    }

    /// Notes that a lost operation was carried out again.
    pub fn found(&self, account: &Username, operation: OperationId) {
        if let Some(pending) = guard(&self.index).pending.get_mut(account)
            && pending.0 == operation
        {
            pending.1 = Arc::clone(&self.boot);
        }
    }

    /// The highest number that was ever given to an account, as far as is remembered here.
    pub fn highest_uid(&self) -> u32 {
        guard(&self.index).highest_uid
    }

    /// Notes that the effects of `settled` are on disk.
    ///
    /// # Errors
    /// The disk.
    pub fn checkpoint(&self, settled: Vec<(Username, OperationId)>) -> Result<(), FsError> {
        let kind = HeadKind::Checkpoint { settled };
        self.log.append(&record::encode(kind.clone(), &Body::default())?)?;
        if let HeadKind::Checkpoint { settled } = kind {
            guard(&self.index).settle(&settled);
        }
        Ok(())
    }

    /// Forgets what was finished, and put on disk, before `limit` (seconds since 1970), as far as whole files can go. A line
    /// about each operation is kept for longer: see [`Journal::operations`].
    ///
    /// # Errors
    /// The disk.
    pub fn forget(&self, limit: i64) -> Result<(), FsError> {
        let needed: std::collections::HashSet<u64> = {
            let index = guard(&self.index);
            let pending: std::collections::HashSet<OperationId> =
                index.pending.values().map(|(operation, _)| *operation).collect();
            let keep = |(operation, slot): &(&OperationId, &Slot)| {
                slot.at >= limit
                    || !matches!(slot.state, State::Done | State::RolledBack)
                    || pending.contains(operation)
            };
            index.slots.iter().filter(keep).flat_map(|(_, slot)| [slot.begin.segment, slot.last.segment]).collect()
        };
        let history = guard(&self.history);
        for segment in self.log.old(|segment| needed.contains(&segment))? {
            history.keep(segment, &self.summaries(segment)?)?;
            self.log.remove(segment)?;
            let gone = |at: Location| at.segment == segment;
            guard(&self.index).slots.retain(|_, slot| !gone(slot.begin) && !gone(slot.last));
        }
        history.trim()
    }
}

impl Index {
    /// Takes in a record of an earlier run.
    fn see(&mut self, at: Location, record: &[u8], boot: &mut Arc<str>) -> Result<(), String> {
        match record::head(record)? {
            Head { kind: HeadKind::Open { boot: other }, .. } => *boot = other.into(),
            Head { kind: HeadKind::Checkpoint { settled }, .. } => self.settle(&settled),
            Head { kind: HeadKind::Begin { operation, account, uid, at: time }, .. } => {
                self.highest_uid = self.highest_uid.max(uid.unwrap_or(0));
                let slot = Slot { account, begin: at, last: at, state: State::Applying, at: time };
                self.slots.insert(operation, slot);
            }
            Head { kind: HeadKind::Further { operation, state }, .. } => {
                // Without a beginning: that was in a file whose time was over.
                if let Some(slot) = self.slots.get_mut(&operation) {
                    slot.last = at;
                    slot.state = state;
                    if matches!(state, State::Done | State::RolledBack) {
                        self.pending.insert(slot.account.clone(), (operation, Arc::clone(boot)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in what was just written.
    fn note(&mut self, entry: &Entry, at: Location, boot: &Arc<str>) {
        if entry.state == State::Applying {
            let uid = entry.to.as_ref().and_then(|set| set.account.uid).unwrap_or(0);
            self.highest_uid = self.highest_uid.max(uid);
            let (account, time) = (entry.account.clone(), entry.started_at.as_second());
            let slot = Slot { account, begin: at, last: at, state: entry.state, at: time };
            self.slots.insert(entry.operation, slot);
        } else if let Some(slot) = self.slots.get_mut(&entry.operation) {
            slot.last = at;
            slot.state = entry.state;
            if entry.is_finished() {
                self.pending.insert(entry.account.clone(), (entry.operation, Arc::clone(boot)));
            }
        }
    }

    fn settle(&mut self, settled: &[(Username, OperationId)]) {
        for (account, operation) in settled {
            if self.pending.get(account).is_some_and(|(pending, _)| pending == operation) {
                self.pending.remove(account);
            }
        }
    }
}

/// What changes with every start of the machine: only then can something that was written be lost.
fn boot_id(fs: &Fs) -> String {
    let path = fs.layout().real("/proc/sys/kernel/random/boot_id");
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_else(|_| "unknown".into())
}
