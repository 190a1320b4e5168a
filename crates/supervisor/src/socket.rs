//! Listening sockets: making, recovering and removing what a `.socket` unit describes (systemd.socket(5)).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::credentials::{CredentialsError, group_id, user_id};
use crate::proc::ProcId;
use crate::unit::Socket;

/// Why a socket could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// A file of another kind is in the way.
    #[error("{0} exists and is no socket: remove it, or change ListenStream=")]
    InTheWay(String),
    /// A system call failed.
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: String, source: io::Error },
    /// The owner does not exist.
    #[error(transparent)]
    Owner(#[from] CredentialsError),
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) fd: OwnedFd,
    /// Device and inode of its file, to see whether it is still ours.
    pub(crate) file: (u64, u64),
}

/// Device and inode of a socket file.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().filter(|m| m.file_type().is_socket()).map(|m| (m.dev(), m.ino()))
}

/// Binds and listens. A socket file that is already there is replaced. The socket blocks: it shares that flag with the service
/// it is passed to, and the supervisor only polls it.
pub(crate) fn open(s: &Socket) -> Result<Listening, SocketError> {
    let path = Path::new(&s.listen);
    let fail = |what: &'static str| move |source: io::Error| SocketError::Io { what, path: s.listen.clone(), source };
    let uid = s.user.as_deref().map(user_id).transpose()?;
    let gid = s.group.as_deref().map(group_id).transpose()?;
    if let Some(dir) = path.parent().filter(|d| !d.is_dir()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(s.directory_mode)
            .create(dir)
            .map_err(fail("making the directory of"))?;
    }
    match fs::symlink_metadata(path) {
        Ok(m) if m.file_type().is_socket() => fs::remove_file(path).map_err(fail("removing the old"))?,
        Ok(_) => return Err(SocketError::InTheWay(s.listen.clone())),
        Err(_) => {}
    }
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| fail("making a socket for")(e.into()))?;
    let address = SocketAddrUnix::new(path).map_err(|e| fail("binding")(e.into()))?;
    // The mode is right from the start, and nothing is done to the path that could be done to a link in its place.
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(!s.mode & 0o777));
    let bound = bind(&fd, &address);
    rustix::process::umask(umask);
    bound.map_err(|e| fail("binding")(e.into()))?;
    if uid.is_some() || gid.is_some() {
        lchown(path, uid, gid).map_err(fail("giving away"))?;
    }
    listen(&fd, s.backlog).map_err(|e| fail("listening on")(e.into()))?;
    let file = identity(path).ok_or_else(|| fail("finding")(io::Error::from(io::ErrorKind::NotFound)))?;
    Ok(Listening { fd, file })
}

/// Takes a listening socket back out of a service that still runs (pidfd_getfd(2)), so that no connection in its queue is lost.
/// `None` when that is not surely the socket that an earlier supervisor passed.
pub(crate) fn recover(s: &Socket, process: ProcId, number: i32, table: &Listeners) -> Option<Listening> {
    let pidfd = process.open()?;
    let fd = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).ok()?;
    let path = Path::new(&s.listen);
    let bound = rustix::net::getsockname(&fd).ok()?;
    let bound = SocketAddrUnix::try_from(bound).ok()?;
    let same_path = bound.path_bytes().is_some_and(|p| p == s.listen.as_bytes());
    // Whoever called listen(2) is recorded as the peer: only root's sockets are ours, a tenant's imitation is not.
    let roots = rustix::net::sockopt::socket_peercred(&fd).ok()?.uid.is_root();
    let listening = rustix::net::sockopt::socket_acceptconn(&fd).unwrap_or(false);
    let file = identity(path)?;
    let same_socket = table.inode(path).is_some_and(|i| socket_inode(&fd) == Some(i));
    if same_path && roots && listening && same_socket { Some(Listening { fd, file }) } else { None }
}

/// The listening Unix sockets of the machine, by path: /proc/net/unix, read once.
pub(crate) struct Listeners(HashMap<PathBuf, Option<u64>>);

impl Listeners {
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read("/proc/net/unix").unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        let mut map = HashMap::new();
        for line in String::from_utf8_lossy(text).lines() {
            let mut f = line.split_ascii_whitespace();
            // Num RefCount Protocol Flags Type St Inode Path; the flag 00010000 says that it listens.
            let (Some("00010000"), Some(inode), Some(name)) = (f.nth(3), f.nth(2), f.next()) else { continue };
            let inode = inode.parse().ok();
            // An unlinked older socket may bear the same name: then nobody knows which is which.
            map.entry(PathBuf::from(name)).and_modify(|i| *i = None).or_insert(inode);
        }
        Self(map)
    }

    /// The inode of the only socket that listens at a path.
    fn inode(&self, path: &Path) -> Option<u64> {
        self.0.get(path).copied().flatten()
    }
}

fn socket_inode(fd: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(fd).ok().map(|s| s.st_ino)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn listeners_by_path() {
        let t = Listeners::parse(
            b"Num       RefCount Protocol Flags    Type St Inode Path\n\
              0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/a\n\
              0000000000000000: 00000003 00000000 00000000 0001 03 12 /run/c\n\
              0000000000000000: 00000002 00000000 00010000 0001 01 13 /run/b\n\
              0000000000000000: 00000002 00000000 00010000 0001 01 14 /run/b\n\
              0000000000000000: 00000002 00000000 00010000 0001 01 15\n",
        );
        let inode = |p: &str| t.inode(Path::new(p));
        assert_eq!((inode("/run/a"), inode("/run/b"), inode("/run/c")), (Some(11), None, None));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let l = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(Listeners::read().inode(&path), socket_inode(&OwnedFd::from(l)));
    }

    #[test]
    fn made_with_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/s.sock");
        let s = Socket {
            listen: path.to_str().unwrap().to_owned(),
            user: Some("nobody".into()),
            group: Some("www-data".into()),
            mode: 0o660,
            directory_mode: 0o711,
            ..Socket::default()
        };
        let first = open(&s).unwrap();
        let m = fs::metadata(&path).unwrap();
        assert_eq!((m.mode() & 0o7777, m.uid()), (0o660, 65534));
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o711);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
        // Again: the old file is replaced.
        let second = open(&s).unwrap();
        assert_ne!(first.file, second.file);
        assert_eq!(identity(&path), Some(second.file));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(open(&s), Err(SocketError::InTheWay(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let bad = Socket { user: Some("no-such-user".into()), ..s };
        assert!(matches!(open(&bad), Err(SocketError::Owner(_))));
    }
}
