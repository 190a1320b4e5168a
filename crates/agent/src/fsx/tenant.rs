//! Acting as the tenant, where the tenant decides what a path means.

use super::{Fs, FsError};
use crate::crash;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Takes on an account's identity for file access, in this thread, until dropped.
///
/// The kernel then checks every access as it would for the account, so a path that leads to what is not theirs ends there.
struct Identity;

#[allow(unsafe_code)] // setfsuid and setfsgid exist in no safe wrapper that changes this thread only
impl Identity {
    fn assume(uid: u32, gid: u32) -> Result<Self, Errno> {
        // SAFETY: plain system calls on integers; they change this thread's identity for file access and nothing else.
        unsafe {
            libc::setfsgid(gid);
            libc::setfsuid(uid);
        }
        let identity = Self;
        // These calls report no failure; asking with an impossible id gives the current one.
        // SAFETY: as above.
        let now = unsafe { (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX)) };
        let expected = (i32::try_from(uid), i32::try_from(gid));
        if (Ok(now.0), Ok(now.1)) == expected { Ok(identity) } else { Err(Errno::PERM) }
    }
}

#[allow(unsafe_code)] // as above
impl Drop for Identity {
    fn drop(&mut self) {
        // SAFETY: as above; back to root, which the process is.
        unsafe {
            libc::setfsuid(0);
            libc::setfsgid(0);
        }
    }
}

/// What became of a directory that is the tenant's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TenantDir {
    /// It is there now, or was before.
    There,
    /// Something that is no directory is in the way; the account sees to it.
    InTheWay,
}

impl Fs {
    /// Makes `relative` below `home` as the account, for the account. What exists is not changed.
    ///
    /// # Errors
    /// The account's disk is full or the like.
    pub(crate) fn tenant_dir(&self, home: &str, relative: &str, uid: u32, web: u32) -> Result<TenantDir, FsError> {
        let path = format!("{home}/{relative}");
        let failed = |e: Errno| FsError::new("make the folder", &path, e);
        let mut dir = self.open_at(home, OFlags::PATH | OFlags::DIRECTORY)?;
        for (depth, part) in relative.split('/').enumerate() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            crash::point("folder");
            // The home belongs to root, who makes what is directly in it; below, the account itself.
            let identity = if depth == 0 { None } else { Some(Identity::assume(uid, uid).map_err(failed)?) };
            let made = match rustix::fs::mkdirat(&dir, part, Mode::from_raw_mode(0o2750)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                // The account has taken its own rights away, or has put something else there.
                Err(Errno::ACCESS | Errno::PERM | Errno::NOTDIR) => return Ok(TenantDir::InTheWay),
                Err(error) => return Err(failed(error)),
            };
            let opened = rustix::fs::openat(&dir, part, flags, Mode::empty());
            drop(identity);
            let next = match opened {
                Ok(fd) => fd,
                Err(Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => return Ok(TenantDir::InTheWay),
                Err(error) => return Err(failed(error)),
            };
            // What was just made gets the group that nginx reads with; a crash may have come between the two. Whatever
            // the account may have put in its place meanwhile is its own too, or is left alone.
            let owner = rustix::fs::fstat(&next).map_err(failed)?.st_uid;
            if (depth == 0 && owner == 0) || (made && owner == uid) {
                let access = super::Access { uid, gid: web, mode: 0o2750 };
                super::write::set_access(&next, access).map_err(failed)?;
            }
            crash::point("folder done");
            dir = next;
        }
        Ok(TenantDir::There)
    }
}
