//! The supervisor's own log: one JSON object per line, in `supervisor.log`.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// An open log.
pub(crate) struct Log {
    file: File,
    echo: bool,
}

/// A log file above this size, in bytes, becomes `<file>.1` when it is opened next.
const ROTATE_AT: u64 = 16 << 20;

/// Opens one of our own logs, readable by root and its group. The panel's user may write into the directory too: what it put in
/// our place (a link, a file of its own, a second name of another file) is removed, never written to.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let ours = |m: &Metadata| m.is_file() && m.uid() == 0 && m.nlink() == 1;
    match std::fs::symlink_metadata(path) {
        Ok(m) if ours(&m) && m.len() > ROTATE_AT => {
            let mut old = path.as_os_str().to_owned();
            old.push(".1");
            let _ = std::fs::rename(path, old);
        }
        Ok(m) if !ours(&m) && !m.is_dir() => std::fs::remove_file(path)?,
        _ => {}
    }
    let flags = libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    if ours(&file.metadata()?) {
        Ok(file)
    } else {
        Err(io::Error::other("somebody else put a file in its place: check who may write into the directory"))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(ms: u64) -> String {
    let (secs, millis) = (ms / 1000, ms % 1000);
    let (days, s) = (secs / 86_400, secs % 86_400);
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant's civil_from_days).
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z", s / 3600, s / 60 % 60, s % 60)
}

impl Log {
    pub(crate) fn open(path: &Path, echo: bool) -> io::Result<Self> {
        Ok(Self { file: open_own(path)?, echo })
    }

    /// Writes a line. What can't be written is lost: the supervisor does not stop for a full disk.
    pub(crate) fn write(&mut self, level: Level, unit: Option<&str>, message: &str) {
        let mut m = Map::new();
        m.insert("ts".into(), Value::String(rfc3339(now_ms())));
        let level = match level {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        m.insert("level".into(), level.into());
        if let Some(u) = unit {
            m.insert("unit".into(), u.into());
        }
        m.insert("msg".into(), message.into());
        let mut line = Value::Object(m).to_string();
        line.push('\n');
        let _ = self.file.write_all(line.as_bytes());
        if self.echo {
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

/// The last lines of a file, from an offset on: at most `count` lines and 4 kB, control characters removed.
pub(crate) fn tail(path: &Path, from: u64, count: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        // Of `append:FILE`, the unit's user may be able to put something else in its place.
        let mut f = crate::files::open(path)?;
        let len = f.metadata()?.len();
        f.seek(SeekFrom::Start(from.min(len).max(len.saturating_sub(4096))))?;
        let mut buf = Vec::new();
        f.take(4096).read_to_end(&mut buf)?;
        Ok(buf)
    };
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let skip = lines.len().saturating_sub(count);
    lines[skip..].iter().map(|l| l.chars().filter(|c| !c.is_control()).take(500).collect()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn nobodys_link_or_file_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, log) = (dir.path().join("precious"), dir.path().join("log"));
        std::fs::write(&precious, "x").unwrap();
        std::os::unix::fs::symlink(&precious, &log).unwrap();
        drop(open_own(&log).unwrap());
        assert!(std::fs::symlink_metadata(&log).unwrap().is_file());
        std::fs::remove_file(&log).unwrap();
        std::fs::hard_link(&precious, &log).unwrap();
        open_own(&log).unwrap().write_all(b"log").unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "x");
        std::fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink(&precious, &log).unwrap();
        std::os::unix::fs::lchown(&log, Some(65534), None).unwrap();
        assert!(tail(&log, 0, 3).is_empty(), "what it leads to is not shown to whoever asks why the unit failed");
    }

    #[test]
    fn lines_are_json_and_tail_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let mut log = Log::open(&path, false).unwrap();
        for i in 0..20 {
            log.write(Level::Warn, Some("a.service"), &format!("line \"{i}\"\nx"));
        }
        let last = tail(&path, 0, 3);
        assert_eq!(last.len(), 3);
        let v: Value = serde_json::from_str(&last[2]).unwrap();
        assert_eq!((v["msg"].as_str(), v["level"].as_str()), (Some("line \"19\"\nx"), Some("warn")));
        assert!(tail(&path, u64::MAX, 3).is_empty());
        assert!(tail(Path::new("/nonexistent"), 0, 3).is_empty());
    }
}
