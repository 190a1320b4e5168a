//! Making ready what a service needs, and starting its processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, getsockname, socket_with};

use super::{Main, Manager, Running};
use crate::credentials::Credentials;
use crate::exec::{DEFAULT_PATH, Launch, launch};
use crate::files;
use crate::kill::Tracker;
use crate::log::{Level, open_own};
use crate::name::UnitName;
use crate::namespace::PrivateTmp;
use crate::poller::{Id, Source};
use crate::proc::ProcId;
use crate::resolve::{Create, Resolved, resolve};
use crate::unit::{Command, Exec, Output, Service, ServiceType, UnitFile};
use crate::value;

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `ExecStart=`.
    Main,
    /// `ExecStartPre=`, `ExecReload=`, `ExecStop=`.
    Control,
}

/// The largest `EnvironmentFile=`, in bytes: more than a program can be started with.
const MAX_ENVIRONMENT_FILE: u64 = 1 << 20;

/// Random lower-case hexadecimal digits.
fn random_hex(bytes: usize) -> io::Result<String> {
    let mut buf = vec![0u8; bytes];
    let n = rustix::rand::getrandom(&mut buf, rustix::rand::GetRandomFlags::empty())?;
    if n != bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(buf.iter().map(|b| format!("{b:02x}")).collect())
}

/// A directory that nobody can have prepared: `<parent>/wcp360-private-<unit>-<random>/tmp`, the outer one closed to all but root.
fn private_dir(parent: &str, unit: &UnitName) -> io::Result<(PathBuf, PathBuf)> {
    let base = PathBuf::from(format!("{parent}/wcp360-private-{unit}-{}", random_hex(6)?));
    fs::DirBuilder::new().mode(0o700).create(&base)?;
    let inner = base.join("tmp");
    fs::create_dir(&inner)?;
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o1777))?;
    Ok((base, inner))
}

/// The directory above, opened without following others' links, and the name in it.
fn within(path: &Path, create: Create) -> io::Result<(Resolved, OsString)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    Ok((resolve(parent, create)?, name.to_owned()))
}

/// Removes a runtime directory if it is empty; otherwise moves it out of the way, so that the unit can be started again at once.
/// Returns what is still to be removed.
fn discard(dir: &Path) -> io::Result<Option<PathBuf>> {
    let (parent, name) = match within(dir, Create::No) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        r => r?,
    };
    match unlinkat(&parent.fd, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(_) => {}
    }
    let trash = Path::new("/run").join(format!(".wcp360-trash-{}", random_hex(6)?));
    renameat(&parent.fd, &name, CWD, &trash)?;
    Ok(Some(trash))
}

fn runtime_dirs(e: &Exec, c: &Credentials) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for d in &e.runtime_directories {
        let path = Path::new("/run").join(d);
        // By handles: a directory above may belong to the unit's user, who could put a link in its place.
        let (parent, name) = within(&path, Create::Dir)?;
        match mkdirat(&parent.fd, &name, Mode::from_raw_mode(0o700)) {
            Err(rustix::io::Errno::EXIST) => {}
            r => r?,
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let dir = openat(&parent.fd, &name, flags, Mode::empty())
            .map_err(|e| io::Error::other(format!("{} is no directory of its own: {e}", path.display())))?;
        let ids = (rustix::fs::Uid::from_raw(c.uid), rustix::fs::Gid::from_raw(c.gid));
        rustix::fs::fchown(&dir, Some(ids.0), Some(ids.1))?;
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(e.runtime_directory_mode))?;
        out.push(path);
    }
    Ok(out)
}

/// The variables of a unit's processes, without those that differ between them.
pub(super) fn environment(e: &Exec, c: &Credentials, runtime: &[PathBuf]) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    env.insert("INVOCATION_ID".into(), random_hex(16).map_err(|e| e.to_string())?);
    if let Some(user) = &c.user {
        env.insert("USER".into(), user.clone());
        env.insert("LOGNAME".into(), user.clone());
        env.insert("HOME".into(), c.home.clone());
        env.insert("SHELL".into(), c.shell.clone());
    }
    if !runtime.is_empty() {
        let all: Vec<_> = runtime.iter().map(|p| p.to_string_lossy()).collect();
        env.insert("RUNTIME_DIRECTORY".into(), all.join(":"));
    }
    for a in &e.environment {
        let (k, v) = value::env_assignment(a).map_err(|e| format!("Environment=: {e}"))?;
        env.insert(k, v);
    }
    for f in &e.environment_files {
        match files::read(Path::new(&f.path), MAX_ENVIRONMENT_FILE) {
            Ok(text) => env.extend(value::env_file(&text)),
            Err(e) if f.optional && e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("EnvironmentFile={}: {e}", f.path)),
        }
    }
    Ok(env)
}

/// A socket for sd_notify(3) with a name that the kernel chooses and that needs no path in the unit's view of the file system.
fn notify_socket() -> io::Result<(OwnedFd, String)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    rustix::net::sockopt::set_socket_passcred(&fd, true)?;
    bind(&fd, &SocketAddrUnix::new_unnamed())?;
    let address = SocketAddrUnix::try_from(getsockname(&fd)?)?;
    let name = address.abstract_name().filter(|n| !n.is_empty());
    let name = name.ok_or_else(|| io::Error::other("the kernel gave no address"))?;
    Ok((fd, format!("@{}", String::from_utf8_lossy(name))))
}

impl Manager {
    pub(super) fn log_path(&self, name: &UnitName) -> PathBuf {
        self.settings.log_dir.join("units").join(format!("{name}.log"))
    }

    pub(super) fn make_tracker(&self, name: &UnitName) -> io::Result<Tracker> {
        let Some(cgroups) = &self.cgroups else { return Ok(Tracker::Reapers(Vec::new())) };
        let tracker = Tracker::Cgroup(cgroups.create(name.as_str())?);
        if !tracker.is_empty() {
            tracker.kill_all();
        }
        Ok(tracker)
    }

    /// Everything of a service but its processes.
    pub(super) fn prepare(&mut self, name: &UnitName) -> Result<Running, String> {
        let file: Rc<UnitFile> = self.loader.load(name).map_err(|e| e.to_string())?;
        let spec = file.service.as_ref().ok_or("it has no [Service] section")?;
        let unit: Service = spec.instantiate(name).map_err(|e| e.to_string())?;
        let credentials = Credentials::of(&unit.exec).map_err(|e| e.to_string())?;
        let log = match &unit.exec.stdout {
            Output::Null => None,
            Output::Append(f) => Some(PathBuf::from(f)),
            Output::Journal | Output::Inherit => Some(self.log_path(name)),
        };
        let log = log.map(|p| {
            let len = fs::metadata(&p).map_or(0, |m| m.len());
            (p, len)
        });
        let runtime = runtime_dirs(&unit.exec, &credentials).map_err(|e| format!("RuntimeDirectory=: {e}"))?;
        let mut env = environment(&unit.exec, &credentials, &runtime)?;
        let notify = if unit.kind == ServiceType::Notify {
            let (fd, address) = notify_socket().map_err(|e| format!("making the notification socket: {e}"))?;
            env.insert("NOTIFY_SOCKET".into(), address);
            Some(fd)
        } else {
            None
        };
        let tracker = self.make_tracker(name).map_err(|e| format!("making its cgroup: {e}"))?;
        let mut private_tmp = None;
        let mut private_tmp_bases = Vec::new();
        if unit.exec.private_tmp {
            let mut both = || -> io::Result<PrivateTmp> {
                let (base, tmp) = private_dir("/tmp", name)?;
                private_tmp_bases.push(base);
                let (base, var_tmp) = private_dir("/var/tmp", name)?;
                private_tmp_bases.push(base);
                Ok(PrivateTmp { tmp, var_tmp })
            };
            private_tmp = Some(both().map_err(|e| format!("PrivateTmp=: {e}"))?);
        }
        let begun = Instant::now();
        let deadline = unit.timeout_start.and_then(|t| begun.checked_add(t));
        Ok(Running {
            unit,
            file,
            credentials,
            tracker,
            reaper_pipes: Vec::new(),
            main: None,
            control: None,
            report: None,
            notify,
            log,
            private_tmp,
            private_tmp_bases,
            runtime,
            env,
            up_since: None,
            begun,
            deadline,
            poll: Duration::from_millis(2),
            result: None,
            awaiting_pid_file: false,
            notes: Vec::new(),
            sockets: Vec::new(),
        })
    }

    fn output(&self, name: &UnitName, o: &Output) -> io::Result<OwnedFd> {
        match o {
            Output::Null => self.null.as_fd().try_clone_to_owned(),
            Output::Append(f) => files::append(Path::new(f)).map(OwnedFd::from),
            Output::Journal | Output::Inherit => open_own(&self.log_path(name)).map(OwnedFd::from),
        }
    }

    /// Starts a process of a service.
    pub(super) fn spawn(&mut self, id: Id, command: &Command, role: Role) -> Result<(), String> {
        let Some(u) = self.units.get(&id) else { return Err("it is gone".into()) };
        let Some(r) = u.service.as_deref() else { return Err("it is gone".into()) };
        let e = &r.unit.exec;
        let stdout = self.output(&u.name, &e.stdout).map_err(|e| format!("opening StandardOutput=: {e}"))?;
        let stderr = match &e.stderr {
            Output::Inherit => stdout.try_clone(),
            o => self.output(&u.name, o),
        }
        .map_err(|e| format!("opening StandardError=: {e}"))?;
        let mut env = r.env.clone();
        if let Some(m) = &r.main {
            env.insert("MAINPID".into(), m.id.pid.to_string());
        }
        let mut passed = Vec::new();
        if role == Role::Main {
            for s in &r.sockets {
                let socket = self.names.get(s.as_str()).and_then(|i| self.units.get(i)?.socket.as_deref());
                if let Some(socket) = socket {
                    passed.push((socket.fd.as_fd(), s.replace(':', "_")));
                }
            }
        }
        let cgroup = match &r.tracker {
            Tracker::Cgroup(p) => Some(p.as_path()),
            Tracker::Reapers(_) => None,
        };
        let launched = launch(&Launch {
            exec: e,
            command,
            credentials: &r.credentials,
            env,
            cgroup,
            stdin: self.null.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
            passed,
            private_tmp: r.private_tmp.as_ref(),
            runtime_directories: &r.runtime,
            blank: &self.blank,
            open_files: self.settings.open_files,
        })
        .map_err(|e| format!("forking: {e}"))?;

        let pid = launched.pid;
        self.children.insert(pid, id);
        let mut problems = Vec::new();
        let mut watch = |r: io::Result<()>| problems.extend(r.err());
        watch(self.poller.add(&launched.report, Source::Report(id)));
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else {
            return Err("it is gone".into());
        };
        r.report = Some((launched.report, Vec::new()));
        let through_reaper = launched.reaper.is_some();
        let mut go = None;
        if let Some(reaper) = launched.reaper {
            watch(self.poller.add(&reaper.ends, Source::Reaper(id)));
            r.reaper_pipes.push(reaper.ends);
            if let Tracker::Reapers(list) = &mut r.tracker {
                list.retain(|p| p.is_alive());
                list.push(reaper.id);
            }
            go = Some(reaper.go);
        }
        let process = ProcId::of(pid).unwrap_or(ProcId { pid, start: 0 });
        match role {
            Role::Control => r.control = Some(process),
            Role::Main => {
                let pidfd = if through_reaper { process.open() } else { None };
                r.main = Some(Main { id: process, pidfd });
            }
        }
        for p in problems {
            self.say(Level::Error, id, &format!("epoll: {p}"));
        }
        self.record(id);
        if let Some(go) = go {
            let _ = rustix::io::write(&go, b"g");
        }
        Ok(())
    }

    /// Removes directories of a unit that stopped. What is not empty is removed by a child: a tenant may have left much.
    pub(super) fn clean_up(&mut self, id: Id, private: &[PathBuf], runtime: &[PathBuf]) {
        let mut rest: Vec<PathBuf> = Vec::new();
        for base in private {
            let _ = fs::remove_dir(base.join("tmp"));
            if fs::remove_dir(base).is_err_and(|e| e.kind() != io::ErrorKind::NotFound) {
                rest.push(base.clone());
            }
        }
        for dir in runtime {
            match discard(dir) {
                Ok(trash) => rest.extend(trash),
                Err(e) => self.say(Level::Warn, id, &format!("can't remove {}: {e}", dir.display())),
            }
        }
        if rest.is_empty() {
            return;
        }
        match crate::sys::fork() {
            Ok(crate::sys::Fork::Child) => {
                crate::sys::close_from(3, &[]);
                for dir in rest {
                    let _ = fs::remove_dir_all(dir);
                }
                crate::sys::exit_now(0)
            }
            Ok(crate::sys::Fork::Parent(pid)) => drop(self.helpers.insert(pid)),
            Err(e) => self.say(Level::Warn, id, &format!("can't remove {rest:?}: {e}")),
        }
    }
}
