//! Removing whole trees, without being led out of them.

use super::{Fs, FsError};
use crate::crash;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::CString;

impl Fs {
    /// Removes the directory `path` if it is empty; anything else stays as it is.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn remove_empty_dir(&self, path: &str) -> Result<(), FsError> {
        let Ok((dir, name)) = self.parent_to_change(path) else { return Ok(()) };
        match rustix::fs::unlinkat(&dir, name.as_os_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(FsError::new("remove", path, error)),
        }
    }

    /// Removes the directory `path` with everything in it; nothing there is fine. Links are removed, never followed; another file system mounted
    /// inside is left alone, which is an error.
    ///
    /// # Errors
    /// Something can't be removed.
    pub fn remove_tree(&self, path: &str) -> Result<(), FsError> {
        let failed = |e: Errno| FsError::new("remove", path, e);
        let (dir, name) = match self.parent_to_change(path) {
            Ok(found) => found,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error),
        };
        crash::point("remove tree");
        let name = CString::new(name.into_encoded_bytes()).map_err(|_| failed(Errno::INVAL))?;
        match rustix::fs::unlinkat(&dir, name.as_c_str(), AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(failed(error)),
        }
        let Some(top) = enter(&dir, &name).map_err(failed)? else {
            return Ok(());
        };
        empty(top).map_err(failed)?;
        crash::point("remove tree emptied");
        match rustix::fs::unlinkat(&dir, name.as_c_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        crash::point("remove tree done");
        Ok(())
    }
}

/// Opens a directory for emptying; `None` if it is none (any more), and then it has been removed.
fn enter(dir: &OwnedFd, name: &CString) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(dir, name.as_c_str(), flags, Mode::empty(), resolve) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        // Swapped for a link or a file since it was looked at.
        Err(Errno::LOOP | Errno::NOTDIR) => match rustix::fs::unlinkat(dir, name.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Empties a directory. With a list of its own instead of recursion, because a tenant decides how deep a tree is; and with
/// one descriptor for each level, closed on the way up, reopened by `..` never.
fn empty(top: OwnedFd) -> Result<(), Errno> {
    // Each level: its descriptor, and the directories in it that are still to be done.
    let mut levels = vec![level(top)?];
    while let Some((fd, pending)) = levels.last_mut() {
        let Some(name) = pending.pop() else {
            levels.pop();
            continue;
        };
        match rustix::fs::unlinkat(&*fd, name.as_c_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(Errno::NOTDIR) => {
                rustix::fs::unlinkat(&*fd, name.as_c_str(), AtFlags::empty())?;
                continue;
            }
            Err(error) => return Err(error),
        }
        if let Some(child) = enter(fd, &name)? {
            // Again after its content is gone.
            pending.push(name);
            if levels.len() > 200 {
                flatten(&mut levels, child)?;
            } else {
                levels.push(level(child)?);
            }
        }
    }
    Ok(())
}

/// A tree deeper than descriptors should be spent on: its next level is moved to the top, where it is done as a sibling.
fn flatten(levels: &mut [(OwnedFd, Vec<CString>)], child: OwnedFd) -> Result<(), Errno> {
    let (_, pending) = level(child.try_clone().map_err(|_| Errno::MFILE)?)?;
    let (top, queue) = &mut levels[0];
    for name in pending {
        for n in 0.. {
            let target = CString::new(format!(".wcp360-deep-{n}")).map_err(|_| Errno::INVAL)?;
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(&child, name.as_c_str(), &*top, target.as_c_str(), flags) {
                Ok(()) => {
                    queue.push(target);
                    break;
                }
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Removes everything in `fd` but directories, and names those.
fn level(fd: OwnedFd) -> Result<(OwnedFd, Vec<CString>), Errno> {
    let mut dirs = Vec::new();
    for entry in rustix::fs::Dir::read_from(&fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::unlinkat(&fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => dirs.push(name.to_owned()),
            Err(error) => return Err(error),
        }
    }
    Ok((fd, dirs))
}
