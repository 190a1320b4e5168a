//! How records stand in a file.
//!
//! A file begins with a line that says its format and an id of its own. Then come frames: each is what one wait for the disk
//! made durable, with its number, its length and a checksum over the file's id, both, and the content. After the disk has
//! confirmed a frame, a *seal* follows, an empty frame with the same number. It says that the frame was complete: if it does
//! not fit its checksum any more, it was damaged later. A frame without seal or successor may be torn: the power failed, or
//! the process died, before anybody was told of what it says.

use memchr::memmem;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// The format of this release; another one is refused.
pub(super) const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"\xf5WCPjrn\n";
const CHECK: usize = 8;
/// Bytes before a frame's content.
pub(super) const HEADER: usize = MAGIC.len() + 8 + 4 + CHECK;

/// The line at the beginning of a file.
pub(super) fn file_header(id: u64) -> String {
    format!("wcp360-journal {FORMAT} {id:016x}\n")
}

/// The frame `number` with this content; without content, a seal.
pub(super) fn encode(id: u64, number: u64, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u32::try_from(content.len()).map_err(std::io::Error::other)?;
    let mut out = Vec::with_capacity(HEADER + content.len());
    out.extend(MAGIC);
    out.extend(number.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(check(id, number, content));
    out.extend(content);
    Ok(out)
}

fn check(id: u64, number: u64, content: &[u8]) -> [u8; CHECK] {
    let mut hash = Sha256::new();
    hash.update(id.to_le_bytes());
    hash.update(number.to_le_bytes());
    hash.update((content.len() as u64).to_le_bytes());
    hash.update(content);
    let mut out = [0; CHECK];
    out.copy_from_slice(&hash.finalize()[..CHECK]);
    out
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) id: u64,
    /// Number and place of the content of each frame.
    pub(super) frames: Vec<(u64, Range<usize>)>,
    /// Where the last complete frame ends.
    pub(super) end: usize,
    /// Whether something incomplete follows it.
    pub(super) torn: bool,
}

/// Reads a file.
///
/// # Errors
/// Why it can't be believed; a torn end is none.
pub(super) fn scan(bytes: &[u8]) -> Result<Scan, String> {
    let line = memchr::memchr(b'\n', bytes).and_then(|end| std::str::from_utf8(&bytes[..end]).ok()).unwrap_or("");
    let fields: Vec<&str> = line.split(' ').collect();
    let ["wcp360-journal", format, id] = fields[..] else { return Err("it does not begin as a journal does".into()) };
    if format != FORMAT.to_string() {
        return Err(format!("it has format {format}, this release knows {FORMAT}: install the release that wrote it"));
    }
    let id = u64::from_str_radix(id, 16).map_err(|e| format!("its id: {e}"))?;
    let mut scan = Scan { id, frames: Vec::new(), end: line.len() + 1, torn: false };
    let mut last = None;
    while scan.end < bytes.len() {
        let Some((number, content)) = frame_at(bytes, scan.end, id) else {
            let mut later = memmem::find_iter(&bytes[scan.end + 1..], &MAGIC).map(|at| scan.end + 1 + at);
            if let Some(good) = later.find(|at| frame_at(bytes, *at, id).is_some()) {
                return Err(format!("the record at byte {} is damaged (the next good one is at {good})", scan.end));
            }
            scan.torn = true;
            break;
        };
        scan.end = content.end;
        let expected = last.map(|last: u64| if content.is_empty() { last } else { last + 1 });
        if expected.is_some_and(|expected| expected != number) {
            return Err(format!("the records before byte {} are missing", content.start));
        }
        last = Some(number);
        if !content.is_empty() {
            scan.frames.push((number, content));
        }
    }
    Ok(scan)
}

fn frame_at(bytes: &[u8], at: usize, id: u64) -> Option<(u64, Range<usize>)> {
    let header = bytes.get(at..at + HEADER)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (number, rest) = rest.split_at(8);
    let (length, sum) = rest.split_at(4);
    let number = u64::from_le_bytes(number.try_into().ok()?);
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let start = at + HEADER;
    let content = bytes.get(start..start.checked_add(length)?)?;
    (magic == MAGIC && sum == check(id, number, content)).then_some((number, start..start + length))
}
