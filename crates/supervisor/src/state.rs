//! What survives the supervisor: an append-only file of unit records, so that a supervisor started after a crash can adopt
//! what still runs. A change costs one short write, however many units there are.
//!
//! The first line identifies the boot; each further line is the record of a unit, and the last one about a unit counts. It is
//! rewritten when it has grown to more than twice what is alive.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::kill::Tracker;
use crate::proc::{self, ProcId};

/// How far a unit had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    Starting,
    Active,
    Stopping,
    /// Nothing runs; it waits to be restarted.
    Waiting,
    /// A socket that listens.
    Listening,
    /// A oneshot that remains, or a target.
    Reached,
}

/// What is known of a unit that is not inactive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) unit: String,
    pub(crate) stage: Stage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) main: Option<ProcId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracker: Option<Tracker>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) private_tmp: Vec<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) runtime: Vec<PathBuf>,
    /// The sockets that were passed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sockets: Vec<String>,
    #[serde(default)]
    pub(crate) since: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    boot: String,
}

#[derive(Deserialize)]
struct Gone {
    gone: String,
}

/// The state file.
pub(crate) struct Store {
    path: PathBuf,
    file: File,
    live: HashMap<String, Box<str>>,
    lines: usize,
}

/// Differs between boots, also of containers on the same kernel.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let init = proc::stat(1).map_or(0, |s| s.start);
    format!("{}:{init}", id.trim())
}

fn create(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() == 0 {
        let mut line = serde_json::to_vec(&Header { boot: boot_id() })?;
        line.push(b'\n');
        file.write_all(&line)?;
    }
    Ok(file)
}

impl Store {
    /// Opens the state in a directory. Returns what an earlier supervisor left, and whether it was of this boot: if not, its
    /// processes are gone, and only its directories remain.
    ///
    /// # Errors
    /// When the directory is not writable.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Vec<Record>, bool)> {
        let path = dir.join("state");
        let text = fs::read(&path).unwrap_or_default();
        let mut records: HashMap<String, Record> = HashMap::new();
        let mut same_boot = false;
        for (i, line) in text.split(|b| *b == b'\n').enumerate() {
            if i == 0 {
                same_boot = serde_json::from_slice::<Header>(line).is_ok_and(|h| h.boot == boot_id());
            } else if let Ok(r) = serde_json::from_slice::<Record>(line) {
                records.insert(r.unit.clone(), r);
            } else if let Ok(g) = serde_json::from_slice::<Gone>(line) {
                records.remove(&g.gone);
            }
            // A torn last line is skipped: what it said did not happen yet.
        }
        let mut records: Vec<Record> = records.into_values().collect();
        records.sort_by(|a, b| a.unit.cmp(&b.unit));
        let live = records
            .iter()
            .filter_map(|r| Some((r.unit.clone(), serde_json::to_string(r).ok()?.into_boxed_str())))
            .collect();
        let mut store = Self { file: create(&path)?, path, live, lines: 0 };
        store.compact()?;
        Ok((store, records, same_boot))
    }

    /// Notes what a unit is doing.
    ///
    /// # Errors
    /// When it can't be written; the unit is then not adopted after a crash.
    pub(crate) fn put(&mut self, record: &Record) -> io::Result<()> {
        let line = serde_json::to_string(record)?;
        self.append(&line)?;
        self.live.insert(record.unit.clone(), line.into_boxed_str());
        self.maybe_compact()
    }

    /// Notes that a unit is inactive.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn remove(&mut self, unit: &str) -> io::Result<()> {
        if self.live.remove(unit).is_none() {
            return Ok(());
        }
        self.append(&serde_json::json!({ "gone": unit }).to_string())?;
        self.maybe_compact()
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.lines += 1;
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.file.write_all(&bytes)
    }

    fn maybe_compact(&mut self) -> io::Result<()> {
        if self.lines > 2 * self.live.len() + 1000 { self.compact() } else { Ok(()) }
    }

    fn compact(&mut self) -> io::Result<()> {
        let tmp = self.path.with_extension("new");
        let _ = fs::remove_file(&tmp);
        let mut file = create(&tmp)?;
        let mut text = String::new();
        for line in self.live.values() {
            text.push_str(line);
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        fs::rename(&tmp, &self.path)?;
        self.file = file;
        self.lines = self.live.len();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(unit: &str) -> Record {
        Record {
            unit: unit.into(),
            stage: Stage::Active,
            main: Some(ProcId { pid: 7, start: 9 }),
            tracker: Some(Tracker::Reapers(vec![])),
            private_tmp: vec![],
            runtime: vec![],
            sockets: vec!["a.socket".into()],
            since: 1,
        }
    }

    #[test]
    fn last_word_counts_and_torn_lines_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut s, old, _) = Store::open(dir.path()).unwrap();
        assert!(old.is_empty());
        s.put(&record("a.service")).unwrap();
        s.put(&record("b.service")).unwrap();
        s.put(&Record { since: 5, ..record("a.service") }).unwrap();
        s.remove("b.service").unwrap();
        s.remove("never.service").unwrap();
        drop(s);
        let path = dir.path().join("state");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"unit\":\"torn");
        fs::write(&path, text).unwrap();
        let (s, old, same_boot) = Store::open(dir.path()).unwrap();
        assert!(same_boot);
        assert_eq!(old, [Record { since: 5, ..record("a.service") }]);
        drop(s);
        // Another boot.
        let text = fs::read_to_string(&path).unwrap().replacen("boot\":\"", "boot\":\"x", 1);
        fs::write(&path, text).unwrap();
        assert!(!Store::open(dir.path()).unwrap().2);
    }

    #[test]
    fn stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let (mut s, _, _) = Store::open(dir.path()).unwrap();
        for i in 0..10_000 {
            s.put(&Record { since: i, ..record("a.service") }).unwrap();
        }
        assert!(fs::metadata(dir.path().join("state")).unwrap().len() < 400_000);
        drop(s);
        assert_eq!(Store::open(dir.path()).unwrap().1[0].since, 9999);
    }
}
