//! Starting a process of a unit: what happens between fork(2) and execve(2), see systemd.exec(5).
//!
//! The supervisor has one thread, so that the child may allocate and use the standard library. The child reports through a
//! pipe that closes on exec: nothing but end of file means that the program runs.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::caps;
use crate::credentials::Credentials;
use crate::namespace::{self, PrivateTmp};
use crate::proc::ProcId;
use crate::sys::{self, Fork};
use crate::unit::{Command, Exec, LimitKind};
use crate::value::Limit;

/// Where programs are looked for, and the `PATH` of units.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All that is needed to start one process.
pub(crate) struct Launch<'a> {
    pub(crate) exec: &'a Exec,
    pub(crate) command: &'a Command,
    pub(crate) credentials: &'a Credentials,
    /// Without the `LISTEN_` variables.
    pub(crate) env: BTreeMap<String, String>,
    /// The cgroup to join; without one, a reaper is put in between.
    pub(crate) cgroup: Option<&'a Path>,
    pub(crate) stdin: BorrowedFd<'a>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Sockets to pass, with their names.
    pub(crate) passed: Vec<(BorrowedFd<'a>, String)>,
    pub(crate) private_tmp: Option<&'a PrivateTmp>,
    pub(crate) runtime_directories: &'a [PathBuf],
    pub(crate) blank: &'a Path,
    /// The limit of open files that the supervisor itself was started with.
    pub(crate) open_files: Rlimit,
}

/// A process that was started.
pub(crate) struct Launched {
    pub(crate) pid: i32,
    /// Where the child reports: see [`Report`].
    pub(crate) report: OwnedFd,
    pub(crate) reaper: Option<Reaper>,
}

/// The process in between where there are no cgroups.
pub(crate) struct Reaper {
    pub(crate) id: ProcId,
    /// Where it reports ends: see [`read_ends`].
    pub(crate) ends: OwnedFd,
    /// A byte written here lets the program start. If it closes without one, nothing starts: a supervisor that is killed before
    /// it has written the reaper down leaves nothing that its successor does not know.
    pub(crate) go: OwnedFd,
}

/// What the child said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Something was left out.
    Note(String),
    /// It could not run the program.
    Failed(String),
}

/// Parses what was read from the report pipe.
pub(crate) fn reports(text: &[u8]) -> Vec<Report> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|l| match l.split_at_checked(1)? {
            ("W", t) => Some(Report::Note(t.to_owned())),
            ("E", t) => Some(Report::Failed(t.to_owned())),
            _ => None,
        })
        .collect()
}

/// Reads (pid, status) pairs that a reaper reported, and whether the pipe has ended.
pub(crate) fn read_ends(pipe: &OwnedFd) -> (Vec<(i32, i32)>, bool) {
    let mut out = Vec::new();
    let mut buf = [0u8; 8];
    // A unit may end processes faster than they are counted; others want to be heard too.
    while out.len() < 256 {
        match rustix::io::read(pipe, &mut buf) {
            Ok(8) => {
                let [a, b, c, d, e, f, g, h] = buf;
                out.push((i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h])));
            }
            Ok(_) => return (out, true),
            Err(_) => return (out, false),
        }
    }
    (out, false)
}

/// Forks and runs a command.
pub(crate) fn launch(l: &Launch<'_>) -> io::Result<Launched> {
    let (report, report_w) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&report, OFlags::NONBLOCK)?;
    if l.cgroup.is_some() {
        return match sys::fork()? {
            Fork::Child => child(l, report_w),
            Fork::Parent(pid) => Ok(Launched { pid, report, reaper: None }),
        };
    }
    let (ends, ends_w) = pipe_with(PipeFlags::CLOEXEC)?;
    let (go_r, go) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        Fork::Child => {
            drop(go);
            reaper(l, report_w, ends_w, &go_r)
        }
        Fork::Parent(reaper_pid) => {
            drop(ends_w);
            drop(report_w);
            let mut buf = [0u8; 4];
            let n = rustix::io::read(&ends, &mut buf)?;
            let id = ProcId::of(reaper_pid).filter(|_| n == 4);
            let id = id.ok_or_else(|| io::Error::other("the reaper process could not fork"))?;
            fcntl_setfl(&ends, OFlags::NONBLOCK)?;
            Ok(Launched { pid: i32::from_ne_bytes(buf), report, reaper: Some(Reaper { id, ends, go }) })
        }
    }
}

/// The process between the supervisor and a unit where there are no cgroups. Whatever the unit's processes do, they stay its
/// descendants. It ends when the last of them has ended; it holds nothing but its pipe.
fn reaper(l: &Launch<'_>, report: OwnedFd, ends: OwnedFd, go: &OwnedFd) -> ! {
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"wcp360-reaper");
    sys::ignore_signal(libc::SIGPIPE);
    if rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_err() {
        sys::exit_now(1);
    }
    match sys::fork() {
        Ok(Fork::Child) => {
            if !matches!(rustix::io::read(go, &mut [0u8; 1]), Ok(1)) {
                sys::exit_now(1);
            }
            child(l, report)
        }
        Ok(Fork::Parent(pid)) => {
            let _ = rustix::io::write(&ends, &pid.to_ne_bytes());
            // Nothing of the supervisor may stay open here: its lock and its sockets must end with it.
            sys::close_from(0, &[ends.as_raw_fd()]);
            std::mem::forget(report);
            while let Ok(Some((pid, status))) = sys::wait_any(true) {
                let mut record = [0u8; 8];
                record[..4].copy_from_slice(&pid.to_ne_bytes());
                record[4..].copy_from_slice(&status.to_ne_bytes());
                let _ = rustix::io::write(&ends, &record);
            }
            sys::exit_now(0)
        }
        Err(_) => sys::exit_now(1),
    }
}

struct Failure {
    code: i32,
    text: String,
}

fn fail<E: std::fmt::Display>(code: i32, what: &str) -> impl FnOnce(E) -> Failure {
    let what = what.to_owned();
    move |e| Failure { code, text: if what.is_empty() { e.to_string() } else { format!("{what}: {e}") } }
}

fn child(l: &Launch<'_>, report: OwnedFd) -> ! {
    let mut pipe = Some(report);
    let Err(f) = prepare_and_exec(l, &mut pipe);
    if let Some(p) = &pipe {
        let _ = rustix::io::write(p, format!("E{}\n", f.text.replace('\n', " ")).as_bytes());
    }
    sys::exit_now(f.code)
}

// The exit codes are those of systemd.exec(5), “Process Exit Codes”.
fn prepare_and_exec(l: &Launch<'_>, report: &mut Option<OwnedFd>) -> Result<std::convert::Infallible, Failure> {
    let mut notes = Vec::new();
    let e = l.exec;
    let privileged = l.command.full_privileges;
    sys::reset_signals();
    if let Some(cgroup) = l.cgroup {
        fs::write(cgroup.join("cgroup.procs"), "0").map_err(fail(219, "joining the unit's cgroup"))?;
    }
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(e.umask));

    let passed: Vec<BorrowedFd<'_>> = l.passed.iter().map(|(fd, _)| *fd).collect();
    if let Some(keep) = report.take() {
        *report = Some(
            sys::arrange_fds([l.stdin, l.stdout, l.stderr], &passed, keep).map_err(fail(202, "file descriptors"))?,
        );
    }

    if let Some(n) = e.oom_score_adjust
        && let Err(err) = fs::write("/proc/self/oom_score_adj", n.to_string())
    {
        notes.push(format!("OOMScoreAdjust={n} is not possible here: {err}"));
    }
    set_limits(l, &mut notes)?;
    if namespace::is_needed(e) {
        namespace::enter(e, l.private_tmp, l.runtime_directories, l.blank, &mut |n| notes.push(n))
            .map_err(fail(226, "isolation"))?;
    }
    if !privileged {
        drop_privileges(l)?;
    }
    match &e.working_directory {
        Some(w) => {
            let dir = if w.path == "~" { &l.credentials.home } else { &w.path };
            if let Err(err) = std::env::set_current_dir(dir)
                && !w.optional
            {
                return Err(fail(200, &format!("WorkingDirectory={dir}"))(err));
            }
        }
        None => std::env::set_current_dir("/").map_err(fail(200, "chdir /"))?,
    }

    let mut env = l.env.clone();
    if !l.passed.is_empty() {
        env.insert("LISTEN_PID".into(), std::process::id().to_string());
        env.insert("LISTEN_FDS".into(), l.passed.len().to_string());
        let names: Vec<&str> = l.passed.iter().map(|(_, n)| n.as_str()).collect();
        env.insert("LISTEN_FDNAMES".into(), names.join(":"));
    }
    let argv = if l.command.literal { l.command.argv.clone() } else { substitute(&l.command.argv, &env) };
    let c = |s: String| CString::new(s).map_err(fail(203, "a NUL in the command or environment"));
    let argv = argv.into_iter().map(c).collect::<Result<Vec<_>, _>>()?;
    let envp = env.into_iter().map(|(k, v)| c(format!("{k}={v}"))).collect::<Result<Vec<_>, _>>()?;
    if let Some(p) = &report {
        for n in notes {
            let _ = rustix::io::write(p, format!("W{}\n", n.replace('\n', " ")).as_bytes());
        }
    }
    let program = &l.command.program;
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    for path in candidates(program) {
        let path = sys::c_path(&path).map_err(fail(203, program))?;
        error = sys::exec(&path, &argv, &envp);
        if error.kind() != io::ErrorKind::NotFound {
            break;
        }
    }
    Err(fail(203, &format!("running {program}"))(error))
}

fn candidates(program: &str) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    DEFAULT_PATH.split(':').map(|d| Path::new(d).join(program)).collect()
}

fn set_limits(l: &Launch<'_>, notes: &mut Vec<String>) -> Result<(), Failure> {
    // The supervisor raised its own limit for its sockets; that is nothing to inherit.
    let _ = setrlimit(Resource::Nofile, l.open_files);
    for (kind, Limit { soft, hard }) in &l.exec.limits {
        let (resource, name) = match kind {
            LimitKind::OpenFiles => (Resource::Nofile, "LimitNOFILE"),
            LimitKind::Processes => (Resource::Nproc, "LimitNPROC"),
            LimitKind::Core => (Resource::Core, "LimitCORE"),
        };
        let wanted = Rlimit { current: *soft, maximum: *hard };
        if setrlimit(resource, wanted).is_ok() {
            continue;
        }
        // As systemd does: as close as the limit of this machine allows.
        let top = getrlimit(resource).maximum;
        let cut = |v: Option<u64>| match (v, top) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        setrlimit(resource, Rlimit { current: cut(*soft), maximum: cut(*hard) }).map_err(fail(205, name))?;
        notes.push(format!("{name}= was cut to {}: the supervisor may not raise it", top.unwrap_or(u64::MAX)));
    }
    Ok(())
}

fn drop_privileges(l: &Launch<'_>) -> Result<(), Failure> {
    let e = l.exec;
    let mut bounding = e.bounding.unwrap_or(caps::ALL);
    if e.private_devices {
        bounding &= !caps::DEVICES;
    }
    for bit in (0..64).filter(|b| bounding & (1 << b) == 0) {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            // Beyond the last capability of this kernel.
            Err(rustix::io::Errno::INVAL) => break,
            Err(err) => return Err(fail(218, "CapabilityBoundingSet=")(err)),
        }
    }
    let ambient = e.ambient.unwrap_or(0) & bounding;
    let c = l.credentials;
    if c.drops_root() && ambient != 0 {
        rustix::thread::set_keep_capabilities(true).map_err(fail(218, "AmbientCapabilities="))?;
    }
    if c.user.is_some() || e.group.is_some() || !e.supplementary_groups.is_empty() {
        sys::become_user(c.uid, c.gid, &c.groups).map_err(fail(217, "changing to User=, Group="))?;
    }
    if c.drops_root() && ambient != 0 {
        let set = CapabilitySet::from_bits_retain(ambient);
        rustix::thread::set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable: set })
            .map_err(fail(218, "AmbientCapabilities="))?;
        for bit in (0..64).filter(|b| ambient & (1 << b) != 0) {
            rustix::thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(1 << bit), true)
                .map_err(fail(218, "AmbientCapabilities="))?;
        }
    }
    if e.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(fail(227, "NoNewPrivileges="))?;
    }
    Ok(())
}

/// `${NAME}` inside a word, `$NAME` as a word of its own (split at white space), `$$` for a dollar: systemd.service(5),
/// “Command lines”. The program's own name (the first word) is taken as it is.
pub(crate) fn substitute(argv: &[String], env: &BTreeMap<String, String>) -> Vec<String> {
    let mut out = Vec::with_capacity(argv.len());
    let name_end = |s: &str| s.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(s.len());
    for (i, word) in argv.iter().enumerate() {
        if i == 0 {
            out.push(word.clone());
            continue;
        }
        if let Some(name) = word.strip_prefix('$')
            && !name.is_empty()
            && name_end(name) == name.len()
        {
            out.extend(env.get(name).into_iter().flat_map(|v| v.split_whitespace().map(str::to_owned)));
            continue;
        }
        let mut text = String::with_capacity(word.len());
        let mut rest = word.as_str();
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(r) = rest.strip_prefix('$') {
                text.push('$');
                rest = r;
            } else if let Some((name, r)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
                text.push_str(env.get(name).map_or("", String::as_str));
                rest = r;
            } else {
                text.push('$');
            }
        }
        text.push_str(rest);
        out.push(text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let env = BTreeMap::from([("MAINPID".to_owned(), "7".to_owned()), ("L".to_owned(), "a  b".to_owned())]);
        let argv = ["/bin/$L", "$MAINPID", "x${L}y", "$L", "$$", "$NONE", "${NONE}", "a$", "$(x)"].map(str::to_owned);
        assert_eq!(substitute(&argv, &env), ["/bin/$L", "7", "xa  by", "a", "b", "$", "", "a$", "$(x)"]);
    }

    #[test]
    fn report_lines() {
        assert_eq!(
            reports(b"Wnote\nEbad: thing\n"),
            [Report::Note("note".into()), Report::Failed("bad: thing".into())]
        );
        assert_eq!(reports(b""), []);
    }
}
