//! Looking.

use super::{Access, FileType, Fs, FsError, Meta};
use rustix::fs::{AtFlags, OFlags, Stat};
use rustix::io::Errno;
use std::io::Read;

/// No file the agent reads is larger.
const MAX_FILE: u64 = 64 * 1024 * 1024;

pub(super) fn meta(stat: &Stat) -> Meta {
    let file_type = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => FileType::File,
        rustix::fs::FileType::Directory => FileType::Dir,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        _ => FileType::Other,
    };
    // The types of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
    let (modified, changed) =
        ((stat.st_mtime as i64, stat.st_mtime_nsec as i64), (stat.st_ctime as i64, stat.st_ctime_nsec as i64));
    Meta {
        file_type,
        access: Access { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 },
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified,
        changed,
        inode: stat.st_ino,
    }
}

impl Fs {
    /// What is at `path`; `None` if nothing is.
    ///
    /// # Errors
    /// A parent is a link, or can't be read.
    pub fn meta(&self, path: &str) -> Result<Option<Meta>, FsError> {
        let (dir, name) = match self.parent(path) {
            Ok(found) => found,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(meta(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(FsError::new("look at", path, error)),
        }
    }

    /// As [`Fs::meta`], also for the trusted roots themselves.
    ///
    /// # Errors
    /// As there.
    pub fn meta_of_any(&self, path: &str) -> Result<Option<Meta>, FsError> {
        match self.root(path) {
            Some(root) => {
                rustix::fs::fstat(root).map(|stat| Some(meta(&stat))).map_err(|e| FsError::new("look at", path, e))
            }
            None => self.meta(path),
        }
    }

    /// The content of the file at `path`, with its metadata; `None` if it is missing.
    ///
    /// # Errors
    /// It is not a regular file, is too large or can't be read.
    pub fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Meta)>, FsError> {
        // NONBLOCK: a pipe in the place of a file must not hold the agent up.
        let fd = match self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW) {
            Ok(fd) => fd,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let failed = |e: std::io::Error| FsError::new("read", path, e);
        let stat = rustix::fs::fstat(&fd).map_err(|e| failed(e.into()))?;
        let meta = meta(&stat);
        if meta.file_type != FileType::File {
            return Err(failed(std::io::Error::other("it is not a regular file")));
        }
        let mut content = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0));
        std::fs::File::from(fd).take(MAX_FILE + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MAX_FILE {
            return Err(failed(std::io::Error::other("it is larger than any file the agent knows")));
        }
        Ok(Some((content, meta)))
    }

    /// Where the link at `path` points; `None` if there is no link.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read_link(&self, path: &str) -> Result<Option<String>, FsError> {
        let (dir, name) = match self.parent(path) {
            Ok(found) => found,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::readlinkat(&dir, name.as_os_str(), Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(FsError::new("read the link", path, error)),
        }
    }

    /// The names in the directory `path`, sorted; empty if it is missing.
    ///
    /// # Errors
    /// It can't be read.
    pub fn list(&self, path: &str) -> Result<Vec<String>, FsError> {
        let fd = match self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let failed = |e: Errno| FsError::new("list", path, e);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}
