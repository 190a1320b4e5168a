//! The system calls that neither the standard library nor rustix offers, behind safe functions. All `unsafe` code of the
//! supervisor is in this file.

#![allow(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;

/// Which side of a [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The parent, with the child's process id.
    Parent(i32),
    /// The child.
    Child,
}

/// fork(2). Refuses in a process with several threads, where the child could only call async-signal-safe functions.
pub(crate) fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|d| d.count() != 1) {
        return Err(io::Error::other("refusing to fork: the process has more than one thread"));
    }
    // SAFETY: the process has one thread (checked above), so that no lock can be held by a thread that does not exist in the
    // child, which may then allocate and call anything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// _exit(2): ends the process at once, without running destructors or flushing what the parent will flush.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

/// execve(2). Returns only on failure.
pub(crate) fn exec(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let argv: Vec<_> = argv.iter().map(|a| a.as_ptr()).chain([ptr::null()]).collect();
    let env: Vec<_> = env.iter().map(|a| a.as_ptr()).chain([ptr::null()]).collect();
    // SAFETY: both arrays end with a null pointer and their strings live until the call returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data; sigemptyset initialises it, sigaddset only sets bits in it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for s in signals {
            libc::sigaddset(&mut set, *s);
        }
        set
    }
}

/// Blocks signals and returns a signalfd(2) that reports them.
pub(crate) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: the set is initialised; a null old set is allowed.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the set is initialised; the descriptor returned is new and owned by nobody else.
    unsafe {
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// The numbers of the signals waiting in a signalfd.
pub(crate) fn read_signals(fd: BorrowedFd<'_>) -> Vec<i32> {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    let mut out = Vec::new();
    let mut buf = [0u8; SIZE];
    while let Ok(SIZE) = rustix::io::read(fd, &mut buf) {
        // `ssi_signo` is the first field, a u32.
        out.push(i32::from_ne_bytes([buf[0], buf[1], buf[2], buf[3]]));
    }
    out
}

/// Receives a datagram without waiting, and the process id of its sender (the socket has SO_PASSCRED). Descriptors that came with
/// it are closed. rustix 1.1 has this too, but misparses a second control message when the first is not a multiple of 8 long.
pub(crate) fn receive(fd: BorrowedFd<'_>, text: &mut [u8]) -> Option<(usize, Option<i32>)> {
    #[repr(align(8))]
    struct Control([u8; 512]);
    let mut control = Control([0; 512]);
    let mut iov = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    let mut sender = None;
    // SAFETY: the message header points to `iov` and `control`, which outlive it and have the lengths given. The CMSG macros walk
    // only the part of `control`, suitably aligned, that the kernel says it filled; payloads are read unaligned and within the
    // length of their message. Descriptors that arrive are owned by nobody else.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.0.as_mut_ptr().cast();
        msg.msg_controllen = control.0.len();
        let n = libc::recvmsg(fd.as_raw_fd(), &mut msg, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC);
        let n = usize::try_from(n).ok()?;
        let mut at = libc::CMSG_FIRSTHDR(&msg);
        while !at.is_null() {
            let c = &*at;
            let data = libc::CMSG_DATA(at);
            let len = c.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            match (c.cmsg_level, c.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<libc::ucred>() => {
                    sender = Some(data.cast::<libc::ucred>().read_unaligned().pid);
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for i in 0..len / size_of::<RawFd>() {
                        drop(OwnedFd::from_raw_fd(data.cast::<RawFd>().add(i).read_unaligned()));
                    }
                }
                _ => {}
            }
            at = libc::CMSG_NXTHDR(&msg, at);
        }
        Some((n, sender))
    }
}

/// Gives every signal its default action and blocks none: what a new program expects.
pub(crate) fn reset_signals() {
    for sig in 1..=64 {
        // SAFETY: SIG_DFL is a valid action; the call fails harmlessly for KILL, STOP and libc's own signals.
        unsafe { libc::signal(sig, libc::SIG_DFL) };
    }
    let set = set_of(&[]);
    // SAFETY: the set is initialised; a null old set is allowed.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set, ptr::null_mut()) };
}

/// Ignores a signal.
pub(crate) fn ignore_signal(sig: i32) {
    // SAFETY: SIG_IGN is a valid action.
    unsafe { libc::signal(sig, libc::SIG_IGN) };
}

/// pidfd_send_signal(2) with any signal number.
pub(crate) fn pidfd_kill(fd: BorrowedFd<'_>, sig: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open; a null siginfo is allowed.
    let r =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), sig, ptr::null::<libc::siginfo_t>(), 0) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// With a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Not known: it was not our child.
    Unknown,
}

impl ExitStatus {
    /// Reads the status word of waitpid(2).
    pub(crate) fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// Reaps one child that ended: waitpid(2). Without `block`, returns `None` when none has; `Err(ECHILD)` when there is none.
pub(crate) fn wait_any(block: bool) -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        match unsafe { libc::waitpid(-1, &mut status, if block { 0 } else { libc::WNOHANG }) } {
            0 => return Ok(None),
            -1 => {
                let e = io::Error::last_os_error();
                if e.kind() != io::ErrorKind::Interrupted {
                    return Err(e);
                }
            }
            pid => return Ok(Some((pid, status))),
        }
    }
}

/// Closes every descriptor from `first` on, except those in `keep`.
pub(crate) fn close_from(first: RawFd, keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|k| *k >= first).collect();
    keep.sort_unstable();
    let mut start = first;
    for k in keep.into_iter().chain([RawFd::MAX]) {
        if k > start {
            let last = if k == RawFd::MAX { u32::MAX } else { k as u32 - 1 };
            // SAFETY: called in a forked child only, which uses none of these descriptors again.
            unsafe { libc::syscall(libc::SYS_close_range, start as u32, last, 0) };
        }
        start = k.saturating_add(1);
    }
}

/// Puts descriptors at 3, 4, … for a program to inherit, and lets it inherit 0 to 2 and these alone; `keep` stays open, close-on-
/// exec.
pub(crate) fn arrange_fds(stdio: [BorrowedFd<'_>; 3], passed: &[BorrowedFd<'_>], keep: OwnedFd) -> io::Result<OwnedFd> {
    let high = 3 + passed.len() as RawFd + 1;
    let dup_high = |fd: RawFd| -> io::Result<RawFd> {
        // SAFETY: duplicates an open descriptor to a new number above all targets; no memory is passed.
        let n = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, high) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n) }
    };
    // Everything goes above the targets first, so that no source is overwritten.
    let sources = stdio.iter().chain(passed).map(|f| dup_high(f.as_raw_fd())).collect::<io::Result<Vec<_>>>()?;
    let kept = dup_high(keep.as_raw_fd())?;
    drop(keep);
    for (target, source) in sources.iter().enumerate() {
        // SAFETY: called in a forked child only; the numbers 0 to 2+n are given away on purpose. dup2 clears close-on-exec.
        if unsafe { libc::dup2(*source, target as RawFd) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    close_from(3 + passed.len() as RawFd, &[kept]);
    // SAFETY: `kept` was made above and is owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(kept) })
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// mount_setattr(2): makes one mount, or all beneath it, read-only. Needs Linux 5.12.
pub(crate) fn mount_read_only(fd: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let attr = MountAttr { set: 1, clear: 0, propagation: 0, userns: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, `attr` has the layout and size that the kernel expects and outlives the call.
    let r = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd.as_raw_fd(), c"".as_ptr(), flags, &attr, size_of::<MountAttr>())
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A private mount namespace for this process: unshare(2).
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: no memory is passed; only the mount namespace (and the shared working directory) are unshared.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// An entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
}

fn c_name(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Calls a getXXX_r function with a growing buffer. `Ok(false)`: there is no such entry.
fn with_buffer(mut call: impl FnMut(&mut [u8]) -> (i32, bool)) -> io::Result<bool> {
    let mut size = 2048;
    loop {
        let mut buf = vec![0u8; size];
        match call(&mut buf) {
            (0, found) => return Ok(found),
            (libc::ERANGE, _) if size < (1 << 22) => size *= 4,
            (libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => return Ok(false),
            (e, _) => return Err(io::Error::from_raw_os_error(e)),
        }
    }
}

/// Looks a user up by name or number: getpwnam(3), getpwuid(3).
pub(crate) fn user(name: &str) -> io::Result<Option<Account>> {
    let c = c_name(name)?;
    let number: Option<u32> = name.parse().ok();
    let mut found = None;
    with_buffer(|buf| {
        let mut result: *mut libc::passwd = ptr::null_mut();
        // SAFETY: `pw`, `buf` and `result` outlive the calls; on success `result` points to `pw`, whose strings are valid C
        // strings in `buf`, copied before `buf` goes away.
        unsafe {
            let mut pw: libc::passwd = std::mem::zeroed();
            let (p, n) = (buf.as_mut_ptr().cast(), buf.len());
            let r = match number {
                Some(uid) => libc::getpwuid_r(uid, &mut pw, p, n, &mut result),
                None => libc::getpwnam_r(c.as_ptr(), &mut pw, p, n, &mut result),
            };
            if r == 0 && !result.is_null() {
                let s = |p: *const libc::c_char| CStr::from_ptr(p).to_string_lossy().into_owned();
                found = Some(Account {
                    name: s(pw.pw_name),
                    uid: pw.pw_uid,
                    gid: pw.pw_gid,
                    home: s(pw.pw_dir),
                    shell: s(pw.pw_shell),
                });
            }
            (r, !result.is_null())
        }
    })?;
    Ok(found)
}

/// Looks a group up by name or number: getgrnam(3).
pub(crate) fn group(name: &str) -> io::Result<Option<u32>> {
    if let Ok(n) = name.parse::<u32>() {
        // The highest number stands for “no change”: whoever asked for it would stay in root's group.
        return Ok(Some(n).filter(|n| *n != u32::MAX));
    }
    let c = c_name(name)?;
    let mut gid = None;
    with_buffer(|buf| {
        let mut result: *mut libc::group = ptr::null_mut();
        // SAFETY: as in `user`; only the number is read.
        unsafe {
            let mut gr: libc::group = std::mem::zeroed();
            let r = libc::getgrnam_r(c.as_ptr(), &mut gr, buf.as_mut_ptr().cast(), buf.len(), &mut result);
            if r == 0 && !result.is_null() {
                gid = Some(gr.gr_gid);
            }
            (r, !result.is_null())
        }
    })?;
    Ok(gid)
}

/// All groups of a user: getgrouplist(3).
pub(crate) fn groups_of(user: &str, gid: u32) -> io::Result<Vec<u32>> {
    let c = c_name(user)?;
    let mut count: libc::c_int = 64;
    loop {
        let mut list = vec![0u32; count as usize];
        let room = count;
        // SAFETY: `list` has room for `count` numbers; the call writes no more than that and updates `count`.
        let r = unsafe { libc::getgrouplist(c.as_ptr(), gid, list.as_mut_ptr(), &mut count) };
        if r >= 0 {
            list.truncate(count.max(0) as usize);
            return Ok(list);
        }
        if count <= room || count > 65_536 {
            return Err(io::Error::other("the user is in too many groups"));
        }
    }
}

/// Sets group list, group and user of the process, for good: setgroups(2), setresgid(2), setresuid(2).
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: `groups` is valid for its length; the other calls pass numbers.
    let ok = unsafe {
        libc::setgroups(groups.len(), groups.as_ptr()) == 0
            && libc::setresgid(gid, gid, gid) == 0
            && libc::setresuid(uid, uid, uid) == 0
    };
    if ok { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Turns glibc's extra malloc arenas off and returns free memory to the system: keeps the one process small.
pub(crate) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only gives unused pages back.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A path as a C string.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn databases() {
        let root = user("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(user("0").unwrap().unwrap().name, "root");
        assert_eq!(user("no-such-user-here").unwrap(), None);
        assert_eq!(group("root").unwrap(), Some(0));
        assert_eq!(group("no-such-group-here").unwrap(), None);
        assert_eq!((group("4294967295").unwrap(), user("4294967295").unwrap()), (None, None));
        assert!(groups_of("root", 0).unwrap().contains(&0));
    }
}
