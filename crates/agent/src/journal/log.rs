//! Files that are only appended to, and one wait for the disk for everybody who waits.
//!
//! Whoever comes first writes what has gathered and waits for the disk; what comes meanwhile gathers, and is written next,
//! together. A hundred operations at once so cost a few waits instead of two hundred.

use super::JournalError;
use super::frame::{self, HEADER};
use crate::crash;
use crate::fsx::{Fs, FsError};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use wcp360_agent_render::paths::AGENT_STATE;

/// A file is not appended to any more when it is larger, in bytes.
const LARGE: u64 = 8 * 1024 * 1024;

/// Where a record's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// The number of the first frame of the file.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
}

/// The files, with the last one open.
pub(super) struct Log {
    fs: Arc<Fs>,
    state: Mutex<State>,
    durable: Condvar,
}

struct State {
    current: Segment,
    /// Records that wait for the next frame.
    gathering: Vec<u8>,
    waiting: usize,
    /// Number of the frame that is being gathered.
    next: u64,
    /// Somebody is writing.
    writing: bool,
    /// Frames that are on disk, until everybody who waits for them has heard it.
    placed: HashMap<u64, Placed>,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

#[derive(Clone)]
struct Segment {
    first: u64,
    id: u64,
    file: Arc<File>,
    end: u64,
}

struct Placed {
    segment: u64,
    content: u64,
    waiting: usize,
}

/// The directory of the files.
pub(super) fn dir() -> String {
    format!("{AGENT_STATE}/journal")
}

pub(super) fn path(first: u64) -> String {
    format!("{}/{first:016}.log", dir())
}

impl Log {
    /// Opens what there is and hands each record to `see`, in order. A torn end is cut off.
    pub(super) fn open(
        fs: Arc<Fs>,
        mut see: impl FnMut(Location, &[u8]) -> Result<(), String>,
    ) -> Result<Self, JournalError> {
        let mut segments: Vec<u64> =
            fs.list(&dir())?.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
        segments.sort_unstable();
        let mut next = 1;
        let mut current = None;
        for (n, first) in segments.iter().enumerate() {
            let (path, last) = (path(*first), n + 1 == segments.len());
            let refuse = |reason: String| JournalError::Damaged { path: path.clone(), reason };
            let (bytes, _) = fs.read(&path)?.ok_or_else(|| refuse("it is gone".into()))?;
            if last && frame::file_header(0).len() > bytes.len() {
                // Killed while it was made.
                fs.remove_file(&path)?;
                break;
            }
            let scan = frame::scan(&bytes).map_err(refuse)?;
            if n > 0 && *first != next {
                return Err(refuse(format!("record {next} is missing before it")));
            }
            if scan.torn && !last {
                return Err(refuse(format!("the record at byte {} is damaged", scan.end)));
            }
            for (number, content) in &scan.frames {
                if *number != next.max(*first) {
                    return Err(refuse(format!("record {next} is missing before byte {}", content.start)));
                }
                next = number + 1;
                for (start, record) in records(&bytes[content.clone()]).map_err(refuse)? {
                    let offset = (content.start + start) as u64;
                    see(Location { segment: *first, offset, length: record.len() }, record).map_err(refuse)?;
                }
            }
            next = next.max(*first);
            if last {
                let file = fs.open_log(&path, false)?;
                if scan.torn {
                    tracing::warn!(
                        path,
                        at = scan.end,
                        "the journal's last record is incomplete; nobody was told of it"
                    );
                    file.set_len(scan.end as u64).map_err(|e| FsError::new("cut", &path, e))?;
                    file.sync_all().map_err(|e| FsError::new("sync", &path, e))?;
                }
                current = Some(Segment { first: *first, id: scan.id, file: Arc::new(file), end: scan.end as u64 });
            }
        }
        let current = match current {
            Some(segment) => segment,
            None => create(&fs, next)?,
        };
        let state = State {
            current,
            gathering: Vec::new(),
            waiting: 0,
            next,
            writing: false,
            placed: HashMap::new(),
            broken: None,
        };
        Ok(Self { fs, state: Mutex::new(state), durable: Condvar::new() })
    }

    /// Appends a record; it is on disk when this returns.
    pub(super) fn append(&self, record: &[u8]) -> Result<Location, FsError> {
        let failed = |reason: &str| FsError::new("write", &dir(), std::io::Error::other(reason.to_owned()));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let length = u32::try_from(record.len()).map_err(|e| failed(&e.to_string()))?;
        state.gathering.extend(length.to_le_bytes());
        let start = state.gathering.len() as u64;
        state.gathering.extend(record);
        state.waiting += 1;
        let mine = state.next;
        loop {
            if let Some(placed) = state.placed.get_mut(&mine) {
                let place = Location { segment: placed.segment, offset: placed.content + start, length: record.len() };
                placed.waiting -= 1;
                if placed.waiting == 0 {
                    state.placed.remove(&mine);
                }
                return Ok(place);
            }
            if let Some(reason) = &state.broken {
                return Err(failed(reason));
            }
            if state.writing {
                state = self.durable.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.writing = true;
            let content = std::mem::take(&mut state.gathering);
            let waiting = std::mem::take(&mut state.waiting);
            let (number, segment) = (state.next, state.current.clone());
            state.next += 1;
            drop(state);
            let result = write(&segment, number, &content);
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.writing = false;
            match result {
                Ok(end) => {
                    let content = segment.end + HEADER as u64;
                    state.placed.insert(number, Placed { segment: segment.first, content, waiting });
                    state.current.end = end;
                    self.begin_anew_if_large(&mut state);
                }
                // What the disk holds now is unknown, and asking it again does not tell (it may say yes): a restart reads it.
                Err(error) => state.broken = Some(format!("{error}; restart wcp360-agent when the disk is well again")),
            }
            self.durable.notify_all();
        }
    }

    fn begin_anew_if_large(&self, state: &mut State) {
        if state.current.end > LARGE {
            match create(&self.fs, state.next) {
                Ok(segment) => state.current = segment,
                Err(error) => tracing::warn!(%error, "no new journal file; the old one grows"),
            }
        }
    }

    /// The bytes of a record.
    pub(super) fn read(&self, at: Location) -> Result<Vec<u8>, FsError> {
        let path = path(at.segment);
        let mut bytes = vec![0; at.length];
        let file = self.fs.open_log(&path, false)?;
        file.read_exact_at(&mut bytes, at.offset).map_err(|e| FsError::new("read", &path, e))?;
        Ok(bytes)
    }

    /// Files, the oldest first, that are not the current one and that `needed` does not speak for.
    pub(super) fn old(&self, needed: impl Fn(u64) -> bool) -> Result<Vec<u64>, FsError> {
        let current = self.state.lock().unwrap_or_else(PoisonError::into_inner).current.first;
        let files = self.fs.list(&dir())?;
        let numbers = files.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok());
        Ok(numbers.take_while(|first| *first < current && !needed(*first)).collect())
    }

    /// Removes a file.
    pub(super) fn remove(&self, first: u64) -> Result<(), FsError> {
        self.fs.remove_file(&path(first))
    }
}

fn create(fs: &Fs, first: u64) -> Result<Segment, FsError> {
    let path = path(first);
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| FsError::new("make", &path, std::io::Error::other(e.to_string())))?;
    let id = u64::from_le_bytes(random);
    let header = frame::file_header(id);
    crash::point("journal file");
    let file = fs.open_log(&path, true)?;
    let written = file.write_all_at(header.as_bytes(), 0).and_then(|()| file.sync_all());
    written.map_err(|e| FsError::new("write", &path, e))?;
    fs.sync_parent(&path)?;
    crash::point("journal file done");
    Ok(Segment { first, id, file: Arc::new(file), end: header.len() as u64 })
}

/// Writes a frame, waits for the disk, and seals it. Returns where the file ends.
fn write(segment: &Segment, number: u64, content: &[u8]) -> std::io::Result<u64> {
    let bytes = frame::encode(segment.id, number, content)?;
    let (first, second) = bytes.split_at(if cfg!(debug_assertions) { bytes.len() / 2 } else { 0 });
    if !first.is_empty() {
        segment.file.write_all_at(first, segment.end)?;
        crash::point("journal torn");
    }
    segment.file.write_all_at(second, segment.end + first.len() as u64)?;
    segment.file.sync_data()?;
    crash::point("journal unsealed");
    let end = segment.end + bytes.len() as u64;
    let seal = frame::encode(segment.id, number, &[])?;
    // Nobody waits for it: it goes to disk with the next frame.
    segment.file.write_all_at(&seal, end)?;
    Ok(end + seal.len() as u64)
}

/// The records in a frame, each with its place.
fn records(mut content: &[u8]) -> Result<Vec<(usize, &[u8])>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    while !content.is_empty() {
        let split = content.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let (record, rest) = split.ok_or_else(|| format!("a record is longer than its frame at {at}"))?;
        out.push((at + 4, record));
        at += 4 + record.len();
        content = rest;
    }
    Ok(out)
}
