//! The only place that changes files.
//!
//! Every path is resolved by `openat2` beneath the descriptor of a trusted root, without following any symbolic link, and
//! owners and modes are set on descriptors, never on names. A path outside the trusted roots can't be named at all.
//!
//! Files are replaced whole: a temporary sibling with a fixed name (so that a crash leaves at most one, which the next
//! attempt or the removal takes away), then a rename.

// The one place: see clippy.toml.
#![allow(clippy::disallowed_methods)]

mod read;
mod tenant;
mod tree;
mod write;

pub(crate) use tenant::TenantDir;

use crate::layout::Layout;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What went wrong with which path.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {path}: {source}")]
pub struct FsError {
    /// What was tried, e.g. "write".
    pub action: &'static str,
    /// The path.
    pub path: String,
    /// Why not.
    pub source: std::io::Error,
}

impl FsError {
    pub(crate) fn new(action: &'static str, path: &str, source: impl Into<std::io::Error>) -> Self {
        Self { action, path: path.into(), source: source.into() }
    }

    /// Whether the path, or one of its parents, is missing.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

/// Owner and permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A socket, a device, a pipe.
    Other,
}

/// A path's metadata, of the link itself if it is one.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// What it is.
    pub file_type: FileType,
    /// Whose it is.
    pub access: Access,
    /// Bytes.
    pub size: u64,
    /// When its content changed last: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// When it, or its metadata, changed last.
    pub changed: (i64, i64),
    /// Its number on its file system.
    pub inode: u64,
}

/// How much of a write must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Replaced atomically; after a power cut it may be the old one. Enough for what is derived from manifests and is
    /// compared with them after every boot.
    Derived,
    /// On disk when the call returns.
    Durable,
}

/// The trusted roots, held open.
#[derive(Debug)]
pub struct Fs {
    roots: Vec<(PathBuf, OwnedFd)>,
    layout: Layout,
    writes: AtomicU64,
}

impl Fs {
    /// Opens the trusted roots, creating those that are missing.
    ///
    /// # Errors
    /// One can't be created or opened.
    pub fn open(layout: &Layout, base_dir: &str) -> Result<Self, FsError> {
        let mut roots = Vec::new();
        for root in ["/etc", "/var/lib/wcp360", "/var/log/wcp360", "/run/wcp360", base_dir] {
            let real = layout.real(root);
            if !real.is_dir() {
                std::fs::create_dir_all(&real).map_err(|e| FsError::new("create", root, e))?;
            }
            // A root itself may be reached through links: an administrator has put it on another disk.
            let fd = rustix::fs::open(&real, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| FsError::new("open", root, e))?;
            roots.push((PathBuf::from(root), fd));
        }
        // The longest first, so that a root inside another is found before it.
        roots.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_os_str().len()));
        Ok(Self { roots, layout: layout.clone(), writes: AtomicU64::new(0) })
    }

    /// How often something was asked for that changes files, since the start.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// The directory that `path` is in, and its name there, for changing something.
    fn parent_to_change(&self, path: &str) -> Result<(OwnedFd, OsString), FsError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.parent(path)
    }

    /// The layout it works in.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The trusted root of `path`, and the rest of it.
    fn locate<'a>(&self, path: &'a str) -> Result<(&OwnedFd, &'a Path), FsError> {
        for (root, fd) in &self.roots {
            if let Ok(rest) = Path::new(path).strip_prefix(root)
                && !rest.as_os_str().is_empty()
            {
                return Ok((fd, rest));
            }
        }
        Err(FsError::new("use", path, Errno::XDEV))
    }

    /// The trusted root that `path` itself is.
    fn root(&self, path: &str) -> Option<&OwnedFd> {
        self.roots.iter().find(|(root, _)| root == Path::new(path)).map(|(_, fd)| fd)
    }

    /// The directory that `path` is in, and its name there.
    fn parent(&self, path: &str) -> Result<(OwnedFd, OsString), FsError> {
        let (root, rest) = self.locate(path)?;
        let name = rest.file_name().ok_or_else(|| FsError::new("use", path, Errno::INVAL))?.to_owned();
        let dir = match rest.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        Ok((beneath(root, dir, OFlags::PATH | OFlags::DIRECTORY).map_err(|e| FsError::new("open", path, e))?, name))
    }

    /// Opens `path`, which must not be a link.
    fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, FsError> {
        let (root, rest) = self.locate(path)?;
        beneath(root, rest, flags).map_err(|e| FsError::new("open", path, e))
    }
}

/// Opens `path` below `dir`, following no link of any kind.
fn beneath(dir: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        // EAGAIN: something was renamed meanwhile, and the kernel can't say whether the path was left.
        match openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;

/// The name of the temporary sibling of `name`.
fn temporary(name: &OsString) -> OsString {
    let mut out = OsString::from(".");
    out.push(name);
    out.push(".wcp360-new");
    debug_assert!(!out.as_bytes().contains(&b'/'));
    out
}
