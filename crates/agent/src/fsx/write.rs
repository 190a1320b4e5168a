//! Changing.

use super::{Access, Durability, FileType, Fs, FsError, temporary};
use crate::crash;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use std::io::Write;

/// Sets owner and mode of an open file. The owner first: changing it clears set-id bits.
pub(super) fn set_access(fd: impl AsFd, access: Access) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(&fd)?;
    if (stat.st_uid, stat.st_gid) != (access.uid, access.gid) {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(access.uid)), Some(Gid::from_raw(access.gid)))?;
    }
    if rustix::fs::fstat(&fd)?.st_mode & 0o7777 != access.mode {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(access.mode))?;
    }
    Ok(())
}

impl Fs {
    /// Makes `path` a directory with `access`. What is in it stays.
    ///
    /// # Errors
    /// Something else is there, or it can't be made.
    pub fn ensure_dir(&self, path: &str, access: Access) -> Result<(), FsError> {
        let failed = |e: Errno| FsError::new("make the directory", path, e);
        if let Some(root) = self.root(path) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(root, ".", flags, Mode::empty()).map_err(failed)?;
            return set_access(fd, access).map_err(failed);
        }
        let (dir, name) = self.parent_to_change(path)?;
        crash::point("mkdir");
        match rustix::fs::mkdirat(&dir, name.as_os_str(), Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        crash::point("mkdir done");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&dir, name.as_os_str(), flags, Mode::empty()).map_err(failed)?;
        set_access(fd, access).map_err(failed)?;
        crash::point("mkdir access");
        Ok(())
    }

    /// Makes `path` a file with this content and access, replacing what was there in one step.
    ///
    /// # Errors
    /// It can't be written; then the old one is still there.
    pub fn write(&self, path: &str, content: &[u8], access: Access, durability: Durability) -> Result<(), FsError> {
        let failed = |e: std::io::Error| FsError::new("write", path, e);
        let (dir, name) = self.parent_to_change(path)?;
        let new = temporary(&name);
        crash::point("write");
        let fd = create_new(&dir, &new).map_err(|e| failed(e.into()))?;
        set_access(&fd, access).map_err(|e| failed(e.into()))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(content).map_err(failed)?;
        if durability == Durability::Durable {
            file.sync_all().map_err(failed)?;
        }
        crash::point("write temporary");
        rustix::fs::renameat(&dir, new.as_os_str(), &dir, name.as_os_str()).map_err(|e| failed(e.into()))?;
        crash::point("write done");
        if durability == Durability::Durable {
            self.sync_parent(path)?;
        }
        Ok(())
    }

    /// Writes a file that is not there yet, in a directory that nobody looks at yet.
    ///
    /// # Errors
    /// It is there, or can't be written.
    pub fn write_new(&self, path: &str, content: &[u8], access: Access) -> Result<(), FsError> {
        let failed = |e: std::io::Error| FsError::new("write", path, e);
        let (dir, name) = self.parent_to_change(path)?;
        let fd = create_new(&dir, &name).map_err(|e| failed(e.into()))?;
        set_access(&fd, access).map_err(|e| failed(e.into()))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(content).map_err(failed)?;
        crash::point("write manifest");
        Ok(())
    }

    /// Makes sure that a file is at `path` with `access`; its content is none of our business.
    ///
    /// # Errors
    /// Something else is there, or it can't be made.
    pub fn ensure_file(&self, path: &str, access: Access) -> Result<(), FsError> {
        let failed = |e: Errno| FsError::new("make", path, e);
        let (dir, name) = self.parent_to_change(path)?;
        crash::point("touch");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&dir, name.as_os_str(), flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        if super::read::meta(&rustix::fs::fstat(&fd).map_err(failed)?).file_type != FileType::File {
            return Err(FsError::new("make", path, std::io::Error::other("something else is there")));
        }
        set_access(fd, access).map_err(failed)?;
        crash::point("touch done");
        Ok(())
    }

    /// Writes several files, each as [`Fs::write`] does, with one wait for the disk: the content of all is on disk before
    /// the first takes its place, so that each is the old or the new one whatever happens. Their names are not: after a
    /// power cut, any of them may be the old one again.
    ///
    /// # Errors
    /// As [`Fs::write`]; those before the one that failed are written.
    pub fn write_together(&self, files: &[(&str, &[u8], Access)]) -> Result<(), FsError> {
        let mut written = Vec::with_capacity(files.len());
        let mut places = Vec::with_capacity(files.len());
        for (path, content, access) in files {
            let failed = |e: std::io::Error| FsError::new("write", path, e);
            let (dir, name) = self.parent_to_change(path)?;
            crash::point("write");
            let fd = create_new(&dir, &temporary(&name)).map_err(|e| failed(e.into()))?;
            set_access(&fd, *access).map_err(|e| failed(e.into()))?;
            let mut file = std::fs::File::from(fd);
            file.write_all(content).map_err(failed)?;
            written.push(file);
            places.push((path, dir, name));
        }
        sync_together(&written).map_err(|e| FsError::new("write", files.first().map_or("", |(path, ..)| path), e))?;
        for (path, dir, name) in places {
            crash::point("write temporary");
            rustix::fs::renameat(&dir, temporary(&name).as_os_str(), &dir, name.as_os_str())
                .map_err(|e| FsError::new("write", path, e))?;
            crash::point("write done");
        }
        Ok(())
    }

    /// Opens the file at `path` for appending to it, making it if it is missing and `create` says so.
    ///
    /// # Errors
    /// It is missing, or can't be made.
    pub fn open_log(&self, path: &str, create: bool) -> Result<std::fs::File, FsError> {
        let (dir, name) = self.parent(path)?;
        let mut flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        flags.set(OFlags::CREATE, create);
        rustix::fs::openat(&dir, name.as_os_str(), flags, Mode::from_raw_mode(0o600))
            .map(std::fs::File::from)
            .map_err(|e| FsError::new("open", path, e))
    }

    /// Puts everything on the disks of the trusted roots but those in memory.
    ///
    /// # Errors
    /// A disk fails.
    pub fn sync_all(&self) -> Result<(), FsError> {
        let mut seen = Vec::new();
        for (root, fd) in &self.roots {
            let path = root.to_string_lossy();
            let failed = |e: Errno| FsError::new("sync", &path, e);
            let device = rustix::fs::fstat(fd).map_err(failed)?.st_dev;
            if root.starts_with("/run") || seen.contains(&device) {
                continue;
            }
            seen.push(device);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(fd, ".", flags, Mode::empty()).map_err(failed)?;
            rustix::fs::syncfs(fd).map_err(failed)?;
        }
        Ok(())
    }

    /// Opens the lock file at `path`, making it if it is missing.
    ///
    /// # Errors
    /// It can't be made.
    pub fn open_lock(&self, path: &str) -> Result<std::fs::File, FsError> {
        let (dir, name) = self.parent(path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&dir, name.as_os_str(), flags, Mode::from_raw_mode(0o600))
            .map(std::fs::File::from)
            .map_err(|e| FsError::new("open", path, e))
    }

    /// Sets owner and mode of the file at `path`.
    ///
    /// # Errors
    /// It is missing or a link.
    pub fn set_access(&self, path: &str, access: Access) -> Result<(), FsError> {
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW)?;
        set_access(fd, access).map_err(|e| FsError::new("set the owner of", path, e))
    }

    /// Sets owner and mode of the socket at `path`, in a directory that only root can write to.
    ///
    /// # Errors
    /// It is missing.
    pub fn set_socket_access(&self, path: &str, access: Access) -> Result<(), FsError> {
        let failed = |e: Errno| FsError::new("set the owner of", path, e);
        let (dir, name) = self.parent_to_change(path)?;
        // A socket can't be opened for reading; a link in its place is not followed by chownat, and fchmodat is made safe
        // by going through the descriptor's own entry in /proc.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&dir, name.as_os_str(), flags, Mode::empty()).map_err(failed)?;
        let (uid, gid) = (Some(Uid::from_raw(access.uid)), Some(Gid::from_raw(access.gid)));
        rustix::fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(failed)?;
        let by_descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        rustix::fs::chmod(by_descriptor, Mode::from_raw_mode(access.mode)).map_err(failed)
    }

    /// Makes `path` a link to `target`, replacing what was there in one step.
    ///
    /// # Errors
    /// A directory is there, or it can't be made.
    pub fn symlink(&self, path: &str, target: &str, uid: u32, gid: u32) -> Result<(), FsError> {
        let failed = |e: Errno| FsError::new("make the link", path, e);
        let (dir, name) = self.parent_to_change(path)?;
        let new = temporary(&name);
        crash::point("link");
        remove_if_there(&dir, &new).map_err(failed)?;
        rustix::fs::symlinkat(target, &dir, new.as_os_str()).map_err(failed)?;
        if (uid, gid) != (0, 0) {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::chownat(&dir, new.as_os_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        crash::point("link temporary");
        rustix::fs::renameat(&dir, new.as_os_str(), &dir, name.as_os_str()).map_err(failed)?;
        crash::point("link done");
        Ok(())
    }

    /// Takes the file or link at `path` away, and what a crash left of writing it. Nothing there is fine.
    ///
    /// # Errors
    /// It is a directory, or can't be removed.
    pub fn remove_file(&self, path: &str) -> Result<(), FsError> {
        let failed = |e: Errno| FsError::new("remove", path, e);
        let (dir, name) = match self.parent_to_change(path) {
            Ok(found) => found,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error),
        };
        crash::point("remove");
        remove_if_there(&dir, &temporary(&name)).map_err(failed)?;
        remove_if_there(&dir, &name).map_err(failed)?;
        crash::point("remove done");
        Ok(())
    }

    /// Takes away what a crash left of writing `path`.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn remove_temporary(&self, path: &str) -> Result<(), FsError> {
        match self.parent_to_change(path) {
            Ok((dir, name)) => remove_if_there(&dir, &temporary(&name)).map_err(|e| FsError::new("remove", path, e)),
            Err(error) if error.is_missing() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Renames `from` to `to`, which must not exist.
    ///
    /// # Errors
    /// `from` is missing, `to` exists, or they are on different disks.
    pub fn rename_new(&self, from: &str, to: &str) -> Result<(), FsError> {
        self.rename_with(from, to, RenameFlags::NOREPLACE)
    }

    /// Swaps `a` and `b` in one step.
    ///
    /// # Errors
    /// One is missing, or they are on different disks.
    pub fn exchange(&self, a: &str, b: &str) -> Result<(), FsError> {
        self.rename_with(a, b, RenameFlags::EXCHANGE)
    }

    fn rename_with(&self, from: &str, to: &str, flags: RenameFlags) -> Result<(), FsError> {
        let (from_dir, from_name) = self.parent_to_change(from)?;
        let (to_dir, to_name) = self.parent_to_change(to)?;
        crash::point("rename");
        rustix::fs::renameat_with(&from_dir, from_name.as_os_str(), &to_dir, to_name.as_os_str(), flags)
            .map_err(|e| FsError::new("rename", from, e))?;
        crash::point("rename done");
        Ok(())
    }

    /// Makes the same file appear at `to` as well, unless something is there.
    ///
    /// # Errors
    /// `from` is missing, or they are on different disks.
    pub fn hard_link(&self, from: &str, to: &str) -> Result<(), FsError> {
        let (from_dir, from_name) = self.parent_to_change(from)?;
        let (to_dir, to_name) = self.parent_to_change(to)?;
        let result =
            rustix::fs::linkat(&from_dir, from_name.as_os_str(), &to_dir, to_name.as_os_str(), AtFlags::empty());
        result.map_err(|e| FsError::new("link", to, e))
    }

    /// Puts the directory entries beside `path` on disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync_parent(&self, path: &str) -> Result<(), FsError> {
        let (dir, _) = self.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&dir, ".", flags, Mode::empty()).map_err(|e| FsError::new("open", path, e))?;
        rustix::fs::fsync(fd).map_err(|e| FsError::new("sync", path, e))
    }
}

fn create_new(dir: &OwnedFd, name: &std::ffi::OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600)) {
            // What an earlier crash left.
            Err(Errno::EXIST) => rustix::fs::unlinkat(dir, name, AtFlags::empty())?,
            other => return other,
        }
    }
}

fn remove_if_there(dir: &OwnedFd, name: &std::ffi::OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Puts the content of several files on disk. Writing is begun for all before the first is waited for, so that the file
/// system needs one commit of its journal for them instead of one for each.
///
/// # Errors
/// The disk.
#[allow(unsafe_code)] // no safe wrapper
fn sync_together(files: &[std::fs::File]) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    for file in files {
        // SAFETY: an open descriptor and numbers. A hint: where it fails, sync_all does all of the work.
        unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }
    files.iter().try_for_each(std::fs::File::sync_all)
}
