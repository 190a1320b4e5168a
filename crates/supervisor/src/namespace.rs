//! The mount namespace of a unit: what its processes see of the file system (systemd.exec(5), “Sandboxing”, “Paths”).
//!
//! Runs in the forked child, as root, before it drops its privileges. Everything is done in a private copy of the mount tree;
//! nothing is visible outside. The order is that of systemd: sources of bind mounts are taken from the host's view first, then
//! mounts are made from the root downwards, then what must be read-only becomes so. Nothing is ever made *more* writable.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
};

use crate::resolve::{Create, ResolveError, Resolved, resolve};
use crate::sys;
use crate::unit::{Exec, OptPath, ProtectHome, ProtectSystem};

/// Why a unit's view of the file system could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// No namespace at all.
    #[error(
        "can't make a mount namespace: {0}; the unit asks for isolation and is not started without it. Give the container \
         CAP_SYS_ADMIN, or remove the directives from the unit"
    )]
    Unshare(io::Error),
    /// A path of a directive.
    #[error("{directive}: {source}")]
    Path {
        /// Which directive.
        directive: &'static str,
        /// What is wrong with the path.
        source: ResolveError,
    },
    /// A mount failed.
    #[error("{directive} {path}: {source}")]
    Mount {
        /// Which directive.
        directive: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Directories that stand in for `/tmp` and `/var/tmp` (`PrivateTmp=`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PrivateTmp {
    /// Shown as `/tmp`.
    pub(crate) tmp: PathBuf,
    /// Shown as `/var/tmp`.
    pub(crate) var_tmp: PathBuf,
}

/// Whether a unit needs a mount namespace.
pub(crate) fn is_needed(e: &Exec) -> bool {
    e.private_tmp
        || e.private_devices
        || e.hide_pid.is_some()
        || e.proc_subset_pid
        || e.protect_system != ProtectSystem::No
        || e.protect_home != ProtectHome::No
        || !(e.tmpfs.is_empty()
            && e.binds.is_empty()
            && e.read_only.is_empty()
            && e.read_write.is_empty()
            && e.inaccessible.is_empty())
}

enum What {
    /// Attach this tree.
    Tree { tree: OwnedFd, is_dir: bool, read_only: bool },
    /// An empty file system.
    Tmpfs { options: Vec<(String, String)>, read_only: bool },
    /// Nothing can be reached there.
    Inaccessible,
    /// Read-only from here on down.
    ReadOnly,
    /// As writable as it was, inside something read-only.
    ReadWrite,
    /// A minimal /dev.
    Devices(Vec<Device>),
}

struct Op {
    directive: &'static str,
    path: PathBuf,
    optional: bool,
    what: What,
}

/// A directive, its paths, and what it does to them.
type PathList<'a> = (&'static str, &'a [OptPath], fn() -> What);

struct Device {
    name: &'static str,
    tree: OwnedFd,
    is_dir: bool,
}

/// From which path on down mounts become read-only, or stay as they are.
struct Rule {
    path: PathBuf,
    read_only: bool,
}

const ATTRS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

fn clone_tree(fd: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(fd, "", flags)?)
}

fn attach(tree: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", target, "", flags)?)
}

fn new_fs(kind: &str, options: &[(&str, &str)], attrs: MountAttrFlags) -> io::Result<OwnedFd> {
    let ctx = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&ctx, "source", kind)?;
    for (k, v) in options {
        fsconfig_set_string(&ctx, *k, *v)?;
    }
    fsconfig_create(&ctx)?;
    Ok(fsmount(&ctx, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}

fn path_error(directive: &'static str) -> impl Fn(ResolveError) -> NamespaceError {
    move |source| NamespaceError::Path { directive, source }
}

/// Makes the namespace. `writable` are further paths that stay writable (runtime directories), `blank` is an empty file of mode
/// 000 to cover files with. Notes about what was left out go to `note`.
pub(crate) fn enter(
    e: &Exec,
    private_tmp: Option<&PrivateTmp>,
    writable: &[PathBuf],
    blank: &Path,
    note: &mut dyn FnMut(String),
) -> Result<(), NamespaceError> {
    sys::unshare_mounts().map_err(NamespaceError::Unshare)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|e| NamespaceError::Unshare(e.into()))?;

    let mut ops = gather(e, private_tmp, writable)?;
    // Taken before anything can cover it.
    let blank = resolve(blank, Create::No).ok();
    // Parents before children; the sort is stable.
    ops.sort_by(|a, b| a.path.cmp(&b.path));
    let closed: Vec<PathBuf> =
        ops.iter().filter(|o| matches!(o.what, What::Inaccessible)).map(|o| o.path.clone()).collect();
    ops.retain(|o| !closed.iter().any(|c| o.path.starts_with(c) && o.path != *c));

    let mut rules = Vec::new();
    if e.protect_system == ProtectSystem::Strict {
        rules.push(Rule { path: "/".into(), read_only: true });
        rules.extend(["/dev", "/proc", "/sys"].map(|p| Rule { path: p.into(), read_only: false }));
    }
    let mut finally: Vec<(OwnedFd, PathBuf)> = Vec::new();
    for op in ops {
        perform(op, blank.as_ref(), &mut rules, &mut finally)?;
    }
    if e.hide_pid.is_some() || e.proc_subset_pid {
        own_proc(e, note);
    }
    make_read_only(&rules)?;
    for (fd, path) in finally {
        sys::mount_read_only(fd.as_fd(), false).map_err(|source| NamespaceError::Mount {
            directive: "read-only",
            path,
            source,
        })?;
    }
    std::env::set_current_dir("/").map_err(|source| NamespaceError::Mount {
        directive: "chdir",
        path: "/".into(),
        source,
    })
}

/// A bind mount whose source is taken now, from the host's view.
fn bind(
    directive: &'static str,
    source: &str,
    target: &str,
    optional: bool,
    recursive: bool,
    read_only: bool,
) -> Result<Option<Op>, NamespaceError> {
    let r = match resolve(Path::new(source), Create::No) {
        Ok(r) => r,
        Err(ResolveError::Missing(_)) if optional => return Ok(None),
        Err(e) => return Err(path_error(directive)(e)),
    };
    let tree = clone_tree(&r.fd, recursive).map_err(|source| NamespaceError::Mount {
        directive,
        path: r.path.clone(),
        source,
    })?;
    let what = What::Tree { tree, is_dir: r.is_dir, read_only };
    Ok(Some(Op { directive, path: target.into(), optional, what }))
}

fn gather(e: &Exec, private_tmp: Option<&PrivateTmp>, writable: &[PathBuf]) -> Result<Vec<Op>, NamespaceError> {
    let mut ops = Vec::new();
    for t in &e.tmpfs {
        let what = What::Tmpfs { options: t.options.clone(), read_only: t.read_only };
        ops.push(Op { directive: "TemporaryFileSystem=", path: t.path.clone().into(), optional: false, what });
    }
    if let Some(p) = private_tmp {
        for (source, target) in [(&p.tmp, "/tmp"), (&p.var_tmp, "/var/tmp")] {
            ops.extend(bind("PrivateTmp=", &source.to_string_lossy(), target, false, true, false)?);
        }
    }
    for b in &e.binds {
        let directive = if b.read_only { "BindReadOnlyPaths=" } else { "BindPaths=" };
        ops.extend(bind(directive, &b.source, &b.target, b.optional, b.recursive, b.read_only)?);
    }
    if e.private_devices {
        let path = PathBuf::from("/dev");
        let what = What::Devices(devices().map_err(|source| NamespaceError::Mount {
            directive: "PrivateDevices=",
            path: path.clone(),
            source,
        })?);
        ops.push(Op { directive: "PrivateDevices=", path, optional: false, what });
    }
    let home: fn() -> What = match e.protect_home {
        ProtectHome::ReadOnly => || What::ReadOnly,
        ProtectHome::Tmpfs => || What::Tmpfs { options: vec![("mode".into(), "0755".into())], read_only: true },
        _ => || What::Inaccessible,
    };
    if e.protect_home != ProtectHome::No {
        for p in ["/home", "/root", "/run/user"].iter().filter(|p| Path::new(p).exists()) {
            ops.push(Op { directive: "ProtectHome=", path: p.into(), optional: true, what: home() });
        }
    }
    let system: &[&str] = match e.protect_system {
        ProtectSystem::Yes => &["/usr", "/boot", "/efi"],
        ProtectSystem::Full => &["/usr", "/boot", "/efi", "/etc"],
        ProtectSystem::No | ProtectSystem::Strict => &[],
    };
    for p in system {
        ops.push(Op { directive: "ProtectSystem=", path: p.into(), optional: true, what: What::ReadOnly });
    }
    let lists: [PathList<'_>; 3] = [
        ("ReadOnlyPaths=", &e.read_only, || What::ReadOnly),
        ("ReadWritePaths=", &e.read_write, || What::ReadWrite),
        ("InaccessiblePaths=", &e.inaccessible, || What::Inaccessible),
    ];
    for (directive, list, what) in lists {
        for p in list {
            ops.push(Op { directive, path: p.path.clone().into(), optional: p.optional, what: what() });
        }
    }
    for p in writable {
        ops.push(Op { directive: "RuntimeDirectory=", path: p.clone(), optional: true, what: What::ReadWrite });
    }
    Ok(ops)
}

fn perform(
    op: Op,
    blank: Option<&Resolved>,
    rules: &mut Vec<Rule>,
    finally: &mut Vec<(OwnedFd, PathBuf)>,
) -> Result<(), NamespaceError> {
    let Op { directive, path, optional, what } = op;
    let create = match &what {
        What::Tree { is_dir: false, .. } => Create::File,
        What::Tree { .. } | What::Tmpfs { .. } => Create::Dir,
        _ => Create::No,
    };
    let target = match resolve(&path, create) {
        Ok(t) => t,
        Err(ResolveError::Missing(_)) if optional => return Ok(()),
        Err(e) => return Err(path_error(directive)(e)),
    };
    let place = target.path.clone();
    let fail = |source: io::Error| NamespaceError::Mount { directive, path: place.clone(), source };
    match what {
        What::Tree { tree, is_dir, read_only } => {
            if is_dir != target.is_dir {
                return Err(fail(io::Error::other("source and target must both be directories, or both be files")));
            }
            attach(&tree, &target.fd).map_err(fail)?;
            rules.push(Rule { path: target.path, read_only });
        }
        What::Tmpfs { options, read_only } => {
            let mut all: Vec<(&str, &str)> = vec![("mode", "0755"), ("size", "10%")];
            all.extend(options.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            let fs = new_fs("tmpfs", &all, ATTRS).map_err(fail)?;
            attach(&fs, &target.fd).map_err(fail)?;
            rules.push(Rule { path: target.path.clone(), read_only: false });
            if read_only {
                finally.push((fs, target.path));
            }
        }
        What::Inaccessible => {
            close(&target, blank).map_err(fail)?;
            rules.push(Rule { path: target.path, read_only: false });
        }
        What::ReadOnly | What::ReadWrite => {
            let read_only = matches!(what, What::ReadOnly);
            if target.path != Path::new("/") {
                let tree = clone_tree(&target.fd, true).map_err(fail)?;
                attach(&tree, &target.fd).map_err(fail)?;
            }
            rules.push(Rule { path: target.path, read_only });
        }
        What::Devices(devices) => {
            let fs = own_dev(&target, devices).map_err(fail)?;
            rules.push(Rule { path: target.path.clone(), read_only: false });
            finally.push((fs, target.path));
        }
    }
    Ok(())
}

/// Covers a path with something of mode 000 that nobody can read, enter or write.
fn close(target: &Resolved, blank: Option<&Resolved>) -> io::Result<()> {
    let tree = if target.is_dir {
        let attrs = ATTRS | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        new_fs("tmpfs", &[("mode", "0000"), ("size", "4k"), ("nr_inodes", "2")], attrs)?
    } else {
        let blank = blank.ok_or_else(|| io::Error::other("the supervisor's state directory lacks the file “blank”"))?;
        clone_tree(&blank.fd, false)?
    };
    sys::mount_read_only(tree.as_fd(), false)?;
    attach(&tree, &target.fd)
}

const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const SHARED: [&str; 5] = ["pts", "shm", "mqueue", "hugepages", "log"];

fn devices() -> io::Result<Vec<Device>> {
    let mut out = Vec::new();
    for name in NODES.into_iter().chain(SHARED) {
        match resolve(&Path::new("/dev").join(name), Create::No) {
            Ok(r) => out.push(Device { name, tree: clone_tree(&r.fd, true)?, is_dir: r.is_dir }),
            // A container may lack some.
            Err(ResolveError::Missing(_)) => {}
            Err(e) => return Err(io::Error::other(e.to_string())),
        }
    }
    Ok(out)
}

fn own_dev(target: &Resolved, devices: Vec<Device>) -> io::Result<OwnedFd> {
    let attrs = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let fs = new_fs("tmpfs", &[("mode", "0755"), ("size", "64k"), ("nr_inodes", "64")], attrs)?;
    attach(&fs, &target.fd)?;
    for d in devices {
        let create = if d.is_dir { Create::Dir } else { Create::File };
        let place = resolve(&target.path.join(d.name), create).map_err(|e| io::Error::other(e.to_string()))?;
        attach(&d.tree, &place.fd)?;
    }
    for (to, name) in [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ] {
        symlinkat(to, &fs, name)?;
    }
    Ok(fs)
}

/// Mounts a fresh /proc with `hidepid`, and puts back what was mounted on parts of the old one (containers mask some that way).
fn own_proc(e: &Exec, note: &mut dyn FnMut(String)) {
    let attempt = || -> io::Result<()> {
        let mut masks = Vec::new();
        let proc = Path::new("/proc");
        // Paths compare by parts: “/proc” itself starts with “/proc/” too.
        let beneath = |m: &Mount| m.point != proc && m.point.starts_with(proc) && m.fs != "autofs";
        for m in mounts()?.into_iter().filter(beneath) {
            if let Ok(r) = resolve(&m.point, Create::No)
                && mount_id(&r.fd) == Some(m.id)
            {
                masks.push((m.point, clone_tree(&r.fd, false)?));
            }
        }
        let mut options = Vec::new();
        options.extend(e.hide_pid.map(|h| ("hidepid", h)));
        options.extend(e.proc_subset_pid.then_some(("subset", "pid")));
        let fs = new_fs("proc", &options, ATTRS | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
        let target = resolve(proc, Create::No).map_err(|e| io::Error::other(e.to_string()))?;
        attach(&fs, &target.fd)?;
        for (point, tree) in masks {
            // With subset=pid there may be nothing left to cover.
            if let Ok(r) = resolve(&point, Create::No) {
                attach(&tree, &r.fd)?;
            }
        }
        Ok(())
    };
    if let Err(e) = attempt() {
        note(format!(
            "ProtectProc=: this kernel or container does not allow a new /proc ({e}); other users' processes stay visible"
        ));
    }
}

struct Mount {
    id: u64,
    point: PathBuf,
    fs: String,
}

/// /proc/self/mountinfo, see proc(5).
fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    let mut out = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let mut f = line.split(|b| *b == b' ');
        let id = f.next().and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        let (Some(id), Some(point)) = (id, f.nth(3)) else { continue };
        let kind = f.skip_while(|w| *w != b"-").nth(1).unwrap_or_default();
        out.push(Mount { id, point: unescape(point), fs: String::from_utf8_lossy(kind).into_owned() });
    }
    Ok(out)
}

/// Undoes the octal escapes of mountinfo.
fn unescape(raw: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(raw.len());
    let mut i = 0;
    while i < raw.len() {
        let code = raw.get(i + 1..i + 4).filter(|_| raw[i] == b'\\');
        let n = code.and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 8).ok());
        match n {
            Some(n) => {
                out.push(n);
                i += 4;
            }
            None => {
                out.push(raw[i]);
                i += 1;
            }
        }
    }
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(out))
}

fn mount_id(fd: impl AsFd) -> Option<u64> {
    statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok().map(|s| s.stx_mnt_id)
}

/// Whether the longest rule that covers a path says read-only; at the same path, read-only wins.
fn is_read_only(rules: &[Rule], path: &Path) -> bool {
    rules
        .iter()
        .filter(|r| path.starts_with(&r.path))
        .max_by_key(|r| (r.path.components().count(), r.read_only))
        .is_some_and(|r| r.read_only)
}

fn make_read_only(rules: &[Rule]) -> Result<(), NamespaceError> {
    if !rules.iter().any(|r| r.read_only) {
        return Ok(());
    }
    let fail = |path: &Path, source: io::Error| NamespaceError::Mount {
        directive: "making read-only",
        path: path.to_owned(),
        source,
    };
    let all = mounts().map_err(|e| fail(Path::new("/proc/self/mountinfo"), e))?;
    for m in all.into_iter().filter(|m| is_read_only(rules, &m.point)) {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(fd) = openat(CWD, &m.point, flags, Mode::empty()) else { continue };
        // Another mount may cover this one; then nobody can reach it.
        if mount_id(&fd) == Some(m.id) {
            sys::mount_read_only(fd.as_fd(), false).map_err(|e| fail(&m.point, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_decides() {
        let rule = |p: &str, read_only| Rule { path: p.into(), read_only };
        let rules = [
            rule("/", true),
            rule("/srv", false),
            rule("/srv/a/ro", true),
            rule("/dev", false),
            rule("/srv/b", false),
            rule("/srv/b", true),
        ];
        for (p, want) in [
            ("/", true),
            ("/usr", true),
            ("/srv", false),
            ("/srv/a", false),
            ("/srv/a/ro/x", true),
            ("/dev/shm", false),
            ("/srvx", true),
            ("/srv/b", true),
        ] {
            assert_eq!(is_read_only(&rules, Path::new(p)), want, "{p}");
        }
        assert!(!is_read_only(&[], Path::new("/")));
    }

    #[test]
    fn mountinfo() {
        assert_eq!(unescape(b"/a\\040b\\134"), Path::new("/a b\\"));
        assert_eq!(unescape(b"/a\\04"), Path::new("/a\\04"));
        assert!(mounts().is_ok_and(|m| m.iter().any(|m| m.point == Path::new("/"))));
    }

    #[test]
    fn nothing_asked_nothing_needed() {
        assert!(!is_needed(&Exec::default()));
        assert!(is_needed(&Exec { private_tmp: true, ..Exec::default() }));
    }
}
