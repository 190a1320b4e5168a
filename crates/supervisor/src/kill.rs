//! Which processes belong to a unit, and how to reach all of them: a cgroup where one can be made, else a reaper process.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::proc::{self, ProcId};
use crate::sys;

/// How many processes are held by handles at once: each is an open file.
const HANDLES: usize = 256;

/// How the processes of units are kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracking {
    /// A cgroup if possible, else a reaper.
    #[default]
    Auto,
    /// A cgroup, or nothing starts.
    Cgroup,
    /// A reaper: a small process between the supervisor and the unit, that orphans fall back to (prctl(2),
    /// PR_SET_CHILD_SUBREAPER), so that every descendant stays findable by walking /proc.
    Reaper,
}

/// The cgroup beneath which units get theirs: cgroups(7), version 2, kernel 5.14 or later for `cgroup.kill`.
#[derive(Debug, Clone)]
pub struct CgroupRoot {
    path: PathBuf,
}

impl CgroupRoot {
    /// Finds the cgroup2 mount and makes `name` in it, beneath the supervisor's own cgroup. Moves the supervisor itself into
    /// a leaf there, so that it does not die with whatever started it.
    ///
    /// # Errors
    /// When there is no cgroup2 file system, it is not writable, or it is too old.
    pub fn prepare(name: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mount = mounts
            .lines()
            .find_map(|l| {
                let (left, right) = l.split_once(" - ")?;
                right.starts_with("cgroup2 ").then(|| left.split(' ').nth(4))?
            })
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup2 file system is mounted"))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/");
        // When started from one of our own units, stay beside it, not in it.
        let base: PathBuf = Path::new(own)
            .components()
            .take_while(|c| !c.as_os_str().to_string_lossy().starts_with("wcp360.supervisor"))
            .collect();
        let mut path = PathBuf::from(mount);
        path.push(base.strip_prefix("/").unwrap_or(&base));
        if !path.is_dir() {
            // A cgroup namespace or a bind mount that does not match: the mount's root is the best guess.
            path = PathBuf::from(mount);
        }
        path.push(name);
        let leaf = path.join("supervisor");
        fs::create_dir_all(&leaf)?;
        if !leaf.join("cgroup.kill").exists() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel has no cgroup.kill (Linux 5.14)"));
        }
        fs::write(leaf.join("cgroup.procs"), "0")?;
        Ok(Self { path })
    }

    /// Leaves the cgroup that [`CgroupRoot::prepare`] made and removes it, if no unit is in it.
    pub fn release(&self) {
        if let Some(parent) = self.path.parent() {
            let _ = fs::write(parent.join("cgroup.procs"), "0");
        }
        remove_cgroup(&self.path);
    }

    /// Makes the cgroup of a unit.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn create(&self, unit: &str) -> io::Result<PathBuf> {
        let path = self.path.join(unit);
        match fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(path),
        }
    }

    /// The cgroups that exist, except the supervisor's own.
    #[must_use]
    pub fn existing(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        entries
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()) && e.file_name() != "supervisor")
            .map(|e| e.path())
            .collect()
    }
}

/// The processes of one active unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracker {
    /// All in a cgroup.
    Cgroup(PathBuf),
    /// All descendants of these reapers.
    Reapers(Vec<ProcId>),
}

fn cgroup_pids(dir: &Path, out: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) {
        out.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|p| *p > 0));
    }
    // A service with the privilege may have made cgroups of its own.
    let Ok(entries) = fs::read_dir(dir) else { return };
    for e in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        cgroup_pids(&e.path(), out);
    }
}

fn remove_cgroup(dir: &Path) {
    if fs::remove_dir(dir).is_ok() {
        return;
    }
    if let Ok(entries) = fs::read_dir(dir) {
        for e in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            remove_cgroup(&e.path());
        }
    }
    let _ = fs::remove_dir(dir);
}

impl Tracker {
    /// The processes, in no order. Reapers and zombies are not among them.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        match self {
            Self::Cgroup(dir) => {
                let mut out = Vec::new();
                cgroup_pids(dir, &mut out);
                out
            }
            Self::Reapers(roots) => {
                let live: Vec<i32> = roots.iter().filter(|r| r.is_alive()).map(|r| r.pid).collect();
                if live.is_empty() { Vec::new() } else { proc::descendants(&live) }
            }
        }
    }

    /// Whether no process is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Cgroup(dir) => match fs::read_to_string(dir.join("cgroup.events")) {
                Ok(t) => t.lines().any(|l| l == "populated 0"),
                Err(_) => true,
            },
            Self::Reapers(_) => self.pids().is_empty(),
        }
    }

    /// Whether a process belongs to the unit.
    #[must_use]
    pub fn contains(&self, pid: i32) -> bool {
        self.pids().contains(&pid)
    }

    /// Sends a signal to every process, once, also to those that were being forked meanwhile.
    pub fn signal_all(&self, sig: i32) {
        self.signal_rounds(sig, 16);
    }

    fn signal_rounds(&self, sig: i32, rounds: usize) {
        let mut known = HashSet::new();
        let mut now = self.pids();
        for _ in 0..rounds {
            let mut fresh: Vec<i32> = now.iter().copied().filter(|p| known.insert(*p)).collect();
            if fresh.is_empty() {
                break;
            }
            // A process may end after it was listed, and its number be given to another, which is none of ours. So each is
            // held by a handle first, and counts if its number is still listed after that.
            while !fresh.is_empty() {
                let rest = fresh.split_off(fresh.len().min(HANDLES));
                let held: Vec<_> = fresh.iter().filter_map(|p| Some((*p, proc::handle(*p)?))).collect();
                now = self.pids();
                let listed: HashSet<i32> = now.iter().copied().collect();
                for (_, handle) in held.iter().filter(|(p, _)| listed.contains(p)) {
                    let _ = sys::pidfd_kill(handle.as_fd(), sig);
                }
                fresh = rest;
            }
        }
    }

    /// Sends SIGKILL to every process, also to those that appear meanwhile. They may take a moment to be gone.
    pub fn kill_all(&self) {
        match self {
            Self::Cgroup(dir) => {
                if fs::write(dir.join("cgroup.kill"), "1").is_err() {
                    self.signal_all(libc::SIGKILL);
                }
            }
            Self::Reapers(_) => {
                // Stop them all first, so that none forks away while the others are killed.
                self.signal_rounds(libc::SIGSTOP, 64);
                self.signal_all(libc::SIGKILL);
            }
        }
    }

    /// Removes what tracked the unit, once it is empty.
    pub fn remove(&self) {
        if let Self::Cgroup(dir) = self {
            remove_cgroup(dir);
        }
    }
}
