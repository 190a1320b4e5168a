//! Opening files whose path may lead through directories that others write to.
//!
//! The supervisor is root and has one thread: it must neither follow a link that a tenant planted nor wait for somebody to
//! open the other end of a pipe. Links are followed only if root owns them (see [`crate::resolve`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, openat};
use rustix::io::Errno;

use crate::resolve::{Create, ResolveError, resolve};

/// What is opened at once, or not at all.
const CAREFUL: OFlags = OFlags::CLOEXEC.union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

impl From<ResolveError> for io::Error {
    fn from(e: ResolveError) -> Self {
        match e {
            ResolveError::Missing(_) => Self::new(io::ErrorKind::NotFound, e.to_string()),
            ResolveError::Io(_, source) => source,
            ResolveError::Unsafe(_) => Self::other(e.to_string()),
        }
    }
}

/// Files, and devices such as /dev/null; a pipe would make whoever writes into it wait.
fn plain(fd: OwnedFd) -> io::Result<File> {
    let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::CharacterDevice) {
        return Err(io::Error::other("it is neither a file nor a device"));
    }
    fcntl_setfl(&fd, fcntl_getfl(&fd)?.difference(OFlags::NONBLOCK))?;
    Ok(File::from(fd))
}

/// Opens what a handle (`O_PATH`) stands for, whatever its path leads to by now.
fn reopen(handle: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let kind = FileType::from_raw_mode(fstat(&handle)?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::CharacterDevice) {
        return Err(io::Error::other("it is neither a file nor a device"));
    }
    let path = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
    Ok(openat(CWD, path, flags | CAREFUL, Mode::empty())?)
}

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    plain(reopen(resolve(path, Create::No)?.fd, OFlags::RDONLY)?)
}

/// Reads a text of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit { Err(io::Error::other(format!("it is larger than {limit} bytes"))) } else { Ok(text) }
}

/// Opens a file to append to it, and makes it if it is missing (not its directory).
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let dir = resolve(dir, Create::No)?.fd;
    let flags = OFlags::WRONLY | OFlags::APPEND;
    let fd = match openat(&dir, name, flags | OFlags::CREATE | OFlags::NOFOLLOW | CAREFUL, Mode::from_raw_mode(0o640)) {
        // A link: to be followed if it is root's.
        Err(Errno::LOOP) => reopen(resolve(path, Create::No)?.fd, flags)?,
        // A pipe that nobody reads.
        Err(Errno::NXIO) => return Err(io::Error::other("it is neither a file nor a device")),
        opened => opened?,
    };
    plain(fd)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{lchown, symlink};

    #[test]
    fn nobodys_link_or_pipe_holds_us_up() {
        let t = tempfile::tempdir().unwrap();
        let dir = t.path().canonicalize().unwrap();
        fs::write(dir.join("precious"), "x").unwrap();
        let log = dir.join("log");
        append(&log).unwrap().write_all(b"one").unwrap();
        append(&log).unwrap().write_all(b"two").unwrap();
        assert_eq!(read(&log, 10).unwrap(), "onetwo");
        assert!(read(&log, 5).is_err(), "too large");
        fs::remove_file(&log).unwrap();

        symlink(dir.join("precious"), &log).unwrap();
        append(&log).unwrap().write_all(b"y").unwrap();
        assert_eq!(read(&log, 10).unwrap(), "xy", "root's link is followed");
        lchown(&log, Some(65534), None).unwrap();
        assert!(append(&log).is_err() && open(&log).is_err(), "somebody else's is not");
        // Nor one in the middle of the path.
        symlink(&dir, dir.join("detour")).unwrap();
        lchown(dir.join("detour"), Some(65534), None).unwrap();
        assert!(append(&dir.join("detour/precious")).is_err() && open(&dir.join("detour/precious")).is_err());
        assert_eq!(fs::read_to_string(dir.join("precious")).unwrap(), "xy");

        fs::remove_file(&log).unwrap();
        rustix::fs::mknodat(CWD, &log, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        assert!(append(&log).is_err() && open(&log).is_err(), "a pipe is opened neither way, and not waited for");
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&log).unwrap();
        assert!(append(&log).is_err(), "nor one that somebody reads");
        assert_eq!(open(&dir.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(append(Path::new("/dev/null")).is_ok());
    }
}
