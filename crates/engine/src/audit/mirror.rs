//! `audit.json`: the trail as lines, for whoever collects logs. How far it is written is kept in a file of its own, because
//! rotation takes the lines away.

use crate::file::write_whole;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wcp360_audit_chain::{Checkpoint, FORMAT, Head, Record, entry_line, json_line, parse_line};
use wcp360_types::api::audit::AuditEntry;

/// What is looked at of a file's end: more than a line can be long.
const TAIL: u64 = 256 * 1024;

/// How far the trail is known to have come, outside of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// The last entry that was written to the mirror.
    pub(super) seq: u64,
    /// The last entry whose checkpoints were written to it.
    pub(super) held: u64,
    /// The last checkpoint that was made here: what who can write the database can't change.
    pub(super) anchor: Option<Checkpoint>,
}

/// The mirror.
#[derive(Debug)]
pub(super) struct Mirror {
    path: PathBuf,
    position_file: PathBuf,
    pub(super) position: Position,
}

impl Position {
    /// How far the trail has come at least.
    pub(super) fn reached(&self) -> u64 {
        self.seq.max(self.anchor.as_ref().map_or(0, |made| made.seq))
    }
}

impl Mirror {
    /// The mirror, continued where it ends. A line that was not finished is taken off.
    pub(super) fn open(path: &Path, position_file: &Path) -> Self {
        let mut position = read_position(position_file).unwrap_or_else(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %position_file.display(), "how far audit.json is written can't be read");
            }
            Position::default()
        });
        // Written after the position was: the lines themselves tell.
        match tail(path) {
            Ok(seq) => position.seq = position.seq.max(seq),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, path = %path.display(), "the audit mirror can't be read"),
        }
        Self { path: path.to_owned(), position_file: position_file.to_owned(), position }
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is new, or was rotated away.
    pub(super) fn is_new(&self) -> bool {
        std::fs::metadata(&self.path).map_or(true, |facts| facts.len() == 0)
    }

    /// Appends entries, and checkpoints where they belong; begins a file that is new with a head. Opened anew each time, so
    /// that a file that was rotated away is left alone.
    ///
    /// # Errors
    /// The file can't be written: then the position stays.
    pub(super) fn append(
        &mut self,
        entries: &[AuditEntry],
        checkpoints: &[Checkpoint],
        keys: &[String],
    ) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
        let mut lines = String::new();
        if file.metadata()?.len() == 0 {
            let head = Head { format: FORMAT.into(), keys: keys.to_vec(), chained: true, ends: false, note: None };
            lines += &json_line("head", &head);
        }
        let mut held = checkpoints.iter().peekable();
        let before = entries.first().map_or(u64::MAX, |e| e.seq);
        while let Some(made) = held.next_if(|made| made.seq < before) {
            lines += &json_line("checkpoint", made);
        }
        for entry in entries {
            lines += &entry_line(entry);
            while let Some(made) = held.next_if(|made| made.seq <= entry.seq) {
                lines += &json_line("checkpoint", made);
            }
        }
        file.write_all(lines.as_bytes())?;
        if let Some(last) = entries.last() {
            self.position.seq = last.seq;
        }
        if let Some(last) = checkpoints.last() {
            self.position.held = last.seq;
        }
        self.save()
    }

    /// Begins anew after an entry: the trail is another one.
    ///
    /// # Errors
    /// The position can't be written.
    pub(super) fn restart(&mut self, seq: u64) -> std::io::Result<()> {
        let anchor = self.position.anchor.take().filter(|made| made.seq <= seq);
        self.position = Position { seq, held: seq, anchor };
        self.save()
    }

    /// Notes the checkpoint that was made last, to be found whenever the machine stops.
    ///
    /// # Errors
    /// The position can't be written.
    pub(super) fn signed(&mut self, made: Checkpoint) -> std::io::Result<()> {
        self.position.anchor = Some(made);
        write_whole(&self.position_file, &self.text(), 0o600)
    }

    fn save(&self) -> std::io::Result<()> {
        write_position(&self.position_file, &self.text())
    }

    fn text(&self) -> String {
        serde_json::to_string(&self.position).expect("plain data has a JSON form")
    }
}

/// Not synced: after a crash of the machine the lines tell how far it is.
fn write_position(path: &Path, text: &str) -> std::io::Result<()> {
    let next = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&next, path)
}

fn read_position(path: &Path) -> std::io::Result<Position> {
    let mut text = String::new();
    File::open(path)?.take(64 * 1024).read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(std::io::Error::other)
}

/// The last entry of a file; a line that was not finished is taken off.
fn tail(path: &Path) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() && (whole > 0 || from == 0) {
        file.set_len(from + whole as u64)?;
    }
    let text = String::from_utf8_lossy(&bytes[..whole]);
    let last = text.lines().rev().find_map(|line| match parse_line(line) {
        Ok(Record::Entry(entry)) => Some(entry.fields().seq),
        _ => None,
    });
    Ok(last.unwrap_or(0))
}
