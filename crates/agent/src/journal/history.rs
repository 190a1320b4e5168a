//! A line about each operation, kept when its records go: what the agent did, for whoever compares it with the audit trail.
//!
//! One file for each file of the log that is over, `<its number>-<how many lines>.jsonl`, written whole before that one is
//! removed. Killed in between, both are there, and the log's records count.

use super::{Entry, Journal, State, Task};
use crate::engine::guard;
use crate::fsx::{Access, Durability, Fs, FsError};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use wcp360_agent_proto::{OperationKind, OperationOutcome, OperationPosition, OperationSummary, OperationsPage};
use wcp360_agent_render::paths::AGENT_STATE;

const PRIVATE: Access = Access { uid: 0, gid: 0, mode: 0o600 };
/// What is older goes,
const DAYS: i64 = 30;
/// and of what is left the oldest, as far as whole files can go, if there are more operations.
const MOST: usize = 50_000;

/// The files.
pub(super) struct History {
    fs: Arc<Fs>,
}

/// A file of the history.
#[derive(Debug, Clone, Copy)]
struct Kept {
    segment: u64,
    lines: usize,
}

fn dir() -> String {
    format!("{AGENT_STATE}/history")
}

impl Kept {
    fn path(self) -> String {
        format!("{}/{:016}-{}.jsonl", dir(), self.segment, self.lines)
    }

    fn of(name: &str) -> Option<Self> {
        let (segment, lines) = name.strip_suffix(".jsonl")?.split_once('-')?;
        Some(Self { segment: segment.parse().ok()?, lines: lines.parse().ok()? })
    }
}

impl History {
    pub(super) fn new(fs: &Arc<Fs>) -> Self {
        Self { fs: Arc::clone(fs) }
    }

    /// Keeps what was in a file of the log; on disk when this returns.
    pub(super) fn keep(&self, segment: u64, operations: &[OperationSummary]) -> Result<(), FsError> {
        let kept = Kept { segment, lines: operations.len() };
        if operations.is_empty() {
            return Ok(());
        }
        self.fs.ensure_dir(&dir(), Access { mode: 0o700, ..PRIVATE })?;
        let mut text = Vec::new();
        for operation in operations {
            serde_json::to_writer(&mut text, operation).map_err(|e| FsError::new("write", &kept.path(), e))?;
            text.push(b'\n');
        }
        self.fs.write(&kept.path(), &text, PRIVATE, Durability::Durable)
    }

    /// Drops what is beyond the bounds.
    pub(super) fn trim(&self) -> Result<(), FsError> {
        self.trim_to(MOST, Timestamp::now().as_second() - DAYS * 86_400)
    }

    fn trim_to(&self, most: usize, oldest: i64) -> Result<(), FsError> {
        let mut lines = 0;
        for kept in self.files()?.into_iter().rev() {
            lines += kept.lines;
            // Written after the last of its operations.
            let written = self.fs.meta(&kept.path())?.map_or(0, |meta| meta.modified.0);
            if lines > most || written < oldest {
                self.fs.remove_file(&kept.path())?;
            }
        }
        Ok(())
    }

    /// Oldest first.
    fn files(&self) -> Result<Vec<Kept>, FsError> {
        Ok(self.fs.list(&dir())?.iter().filter_map(|name| Kept::of(name)).collect())
    }

    fn read(&self, kept: Kept) -> Result<Vec<OperationSummary>, FsError> {
        let path = kept.path();
        let Some((bytes, _)) = self.fs.read(&path)? else { return Ok(Vec::new()) };
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(|e| FsError::new("read", &path, e))).collect()
    }
}

impl Journal {
    /// What was done so far, oldest first, at most `limit` behind `after`: of the last 30 days, and at most some 50,000
    /// operations besides those of the last day.
    ///
    /// # Errors
    /// The disk.
    pub fn operations(&self, after: Option<OperationPosition>, limit: usize) -> Result<OperationsPage, FsError> {
        // Whoever moves records from the log into the history waits.
        let history = guard(&self.history);
        let live: BTreeSet<u64> = guard(&self.index).slots.values().map(|slot| slot.begin.segment).collect();
        let kept = history.files()?.into_iter().filter(|kept| !live.contains(&kept.segment));
        let mut files: Vec<(u64, Option<Kept>)> = kept.map(|kept| (kept.segment, Some(kept))).collect();
        files.extend(live.iter().map(|segment| (*segment, None)));
        files.sort_unstable_by_key(|(segment, _)| *segment);
        let mut operations = Vec::new();
        let behind = |position: OperationPosition| after.is_none_or(|after| position > after);
        for (segment, kept) in files {
            if after.is_some_and(|after| segment < after.file) {
                continue;
            }
            // One more than asked for tells whether there is more.
            let room = limit + 1 - operations.len();
            match kept {
                Some(kept) => {
                    operations.extend(history.read(kept)?.into_iter().filter(|line| behind(line.position)).take(room));
                }
                None => operations.extend(self.summaries_where(segment, room, behind)?),
            }
            if operations.len() > limit {
                break;
            }
        }
        let more = operations.len() > limit;
        operations.truncate(limit);
        let next = operations.last().filter(|_| more).map(|last: &OperationSummary| last.position);
        Ok(OperationsPage { operations, next })
    }

    /// The operations that began in a file of the log.
    pub(super) fn summaries(&self, segment: u64) -> Result<Vec<OperationSummary>, FsError> {
        self.summaries_where(segment, usize::MAX, |_| true)
    }

    fn summaries_where(
        &self,
        segment: u64,
        most: usize,
        wanted: impl Fn(OperationPosition) -> bool,
    ) -> Result<Vec<OperationSummary>, FsError> {
        let mut found: Vec<_> = guard(&self.index)
            .slots
            .iter()
            .filter(|(_, slot)| slot.begin.segment == segment)
            .map(|(operation, slot)| (OperationPosition { file: segment, byte: slot.begin.offset }, *operation))
            .filter(|(position, _)| wanted(*position))
            .collect();
        found.sort_unstable_by_key(|(position, _)| *position);
        found.truncate(most);
        let mut out = Vec::with_capacity(found.len());
        for (position, operation) in found {
            out.extend(self.read(operation)?.map(|entry| summary(position, &entry)));
        }
        Ok(out)
    }
}

fn summary(position: OperationPosition, entry: &Entry) -> OperationSummary {
    OperationSummary {
        position,
        operation: entry.operation,
        account: entry.account.clone(),
        kind: match (&entry.task, &entry.from, &entry.to) {
            (Task::Owner, ..) => OperationKind::Owner,
            (Task::Repair(_), ..) => OperationKind::Repair,
            (Task::Converge, None, _) | (Task::BringBack { .. }, ..) => OperationKind::Create,
            (Task::Converge, Some(_), Some(_)) => OperationKind::Change,
            (Task::Converge, Some(_), None) => OperationKind::Delete,
        },
        audit: entry.audit.clone(),
        before: entry.from.as_ref().map(|set| set.revision()),
        after: entry.to.as_ref().map(|set| set.revision()),
        outcome: match entry.state {
            State::Done => OperationOutcome::Done,
            State::RolledBack => OperationOutcome::RolledBack,
            State::Applying | State::Reverting => OperationOutcome::Open,
        },
        at: entry.started_at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Machine, entry, rolled_back};
    use super::*;

    /// Everything, in pages of `limit`.
    fn all(journal: &Journal, limit: usize) -> Vec<OperationSummary> {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            let page = journal.operations(after, limit).unwrap();
            assert!(page.operations.len() <= limit);
            out.extend(page.operations);
            match page.next {
                Some(next) => after = Some(next),
                None => return out,
            }
        }
    }

    #[test]
    fn sec_06_operations_are_told_in_order_and_outlive_their_records() {
        let machine = Machine::new();
        let journal = machine.journal().unwrap();
        let mut begun = Vec::new();
        while std::fs::read_dir(machine.file().parent().unwrap()).unwrap().count() < 4 {
            let mut entry = entry(&format!("user{}", begun.len()));
            entry.created = vec!["x".repeat(1024 * 1024)];
            journal.write(&entry).unwrap();
            journal.write(&rolled_back(&entry)).unwrap();
            begun.push(entry);
        }
        let open = entry("open");
        journal.write(&open).unwrap();
        begun.push(open);
        let before = all(&journal, 3);
        let names = |list: &[OperationSummary]| list.iter().map(|line| line.operation).collect::<Vec<_>>();
        assert_eq!(names(&before), begun.iter().map(|entry| entry.operation).collect::<Vec<_>>());
        assert_eq!(before[0].audit, begun[0].audit);
        assert_eq!((before[0].kind, before[0].outcome), (OperationKind::Create, OperationOutcome::RolledBack));
        assert_eq!((before[0].before.clone(), before[0].at), (None, begun[0].started_at));
        assert_eq!(before[0].after, begun[0].to.as_ref().map(|set| set.revision()));
        assert_eq!(before.last().unwrap().outcome, OperationOutcome::Open);
        // The records go; the lines stay, also for a second reader, and if both are there nothing comes twice.
        journal.checkpoint(journal.pending()).unwrap();
        let first = before[0].position.file;
        guard(&journal.history).keep(first, &journal.summaries(first).unwrap()).unwrap();
        assert_eq!(all(&journal, 2), before);
        journal.forget(Timestamp::now().as_second() + 10).unwrap();
        assert!(journal.read(begun[0].operation).unwrap().is_none(), "its records are gone");
        assert_eq!(all(&journal, 3), before);
        let again = machine.journal().unwrap();
        assert_eq!(all(&again, 1000), before);
        // There is a bound, and what goes is the oldest.
        let history = guard(&again.history);
        let lines: usize = history.files().unwrap().iter().map(|kept| kept.lines).sum();
        history.trim_to(lines - 1, 0).unwrap();
        drop(history);
        let left = all(&again, 1000);
        assert!(left.len() < before.len() && before.ends_with(&left), "{} of {}", left.len(), before.len());
        guard(&again.history).trim_to(lines, Timestamp::now().as_second() + 10).unwrap();
        assert_eq!(all(&again, 1000).last(), before.last());
        assert!(guard(&again.history).files().unwrap().is_empty());
    }
}
