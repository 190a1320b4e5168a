//! What /proc says about processes: proc(5).

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::sys;

/// A process that can't be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcId {
    /// Its process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// The interesting part of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// One letter; `Z` is a zombie.
    pub state: char,
    /// The parent.
    pub parent: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold anything, also parentheses.
    let rest = &text[text.rfind(')')? + 1..];
    let mut f = rest.split_ascii_whitespace();
    let state = f.next()?.chars().next()?;
    let parent = f.next()?.parse().ok()?;
    let start = f.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, start })
}

/// Reads `/proc/<pid>/stat`; `None` when the process is gone.
#[must_use]
pub fn stat(pid: i32) -> Option<Stat> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&bytes))
}

impl ProcId {
    /// Identifies a running process.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|s| Self { pid, start: s.start })
    }

    /// Whether this very process is still running (a zombie is not).
    #[must_use]
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|s| s.start == self.start && s.state != 'Z' && s.state != 'X')
    }

    /// A pidfd(2) of this very process; `None` when it is gone.
    #[must_use]
    pub fn open(self) -> Option<OwnedFd> {
        let fd = handle(self.pid)?;
        // Checked after opening: the number can't have been given to another process in between.
        (stat(self.pid)?.start == self.start).then_some(fd)
    }

    /// Sends a signal to this very process, never to a later one with its number.
    pub fn signal(self, sig: i32) {
        if let Some(fd) = self.open() {
            let _ = sys::pidfd_kill(fd.as_fd(), sig);
        }
    }
}

/// A pidfd(2) of whichever process has a number now.
pub(crate) fn handle(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// The living descendants of some processes, without these.
#[must_use]
pub fn descendants(roots: &[i32]) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut zombies = Vec::new();
    for pid in entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
        if let Some(s) = stat(pid) {
            children.entry(s.parent).or_default().push(pid);
            if matches!(s.state, 'Z' | 'X') {
                zombies.push(pid);
            }
        }
    }
    let mut out = Vec::new();
    let mut queue: Vec<i32> = roots.to_vec();
    while let Some(p) = queue.pop() {
        if let Some(c) = children.remove(&p) {
            out.extend(&c);
            queue.extend(c);
        }
    }
    // A zombie leader may have living threads' children, but is no process itself.
    out.retain(|p| !zombies.contains(p) && !roots.contains(p));
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_evil_name() {
        let mut text = String::from("7 (a) R 1 (b)) S 3");
        for n in 5..=60 {
            text.push_str(&format!(" {n}"));
        }
        // Field 22 is the start time.
        let s = parse_stat(&text).unwrap();
        assert_eq!((s.state, s.parent, s.start), ('S', 3, 22));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn this_process() {
        let me = ProcId::of(std::process::id() as i32).unwrap();
        assert!(me.is_alive());
        assert!(me.open().is_some());
        assert!(!ProcId { pid: me.pid, start: me.start + 1 }.is_alive());
        assert!(ProcId { pid: me.pid, start: me.start + 1 }.open().is_none());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(descendants(&[me.pid]).contains(&(child.id() as i32)));
        // An earlier process of that number is not meant.
        let id = ProcId::of(child.id() as i32).unwrap();
        ProcId { start: id.start - 1, ..id }.signal(libc::SIGKILL);
        assert!(child.try_wait().unwrap().is_none());
        id.signal(libc::SIGKILL);
        assert!(!child.wait().unwrap().success());
        assert!(!descendants(&[me.pid]).contains(&(child.id() as i32)));
    }
}
