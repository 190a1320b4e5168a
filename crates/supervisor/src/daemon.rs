//! The supervisor's process: starting it, its loop, and its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::kill::{CgroupRoot, Tracking};
use crate::loader::Loader;
use crate::log::{Level, Log};
use crate::manager::{Manager, Settings};
use crate::poller::{Poller, Source};
use crate::server::Server;
use crate::state::Store;
use crate::sys::{self, Fork};

/// Where the supervisor finds and keeps things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The unit files.
    pub unit_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Lock and state; survives the supervisor, not the boot.
    pub state_dir: PathBuf,
    /// `supervisor.log`, and `units/<unit>.log`.
    pub log_dir: PathBuf,
    /// Stay in the foreground, and log to standard error too.
    pub foreground: bool,
    /// How the processes of units are kept together.
    pub tracking: Tracking,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unit_dir: "/etc/systemd/system".into(),
            socket: crate::protocol::DEFAULT_SOCKET.into(),
            state_dir: "/run/wcp360/supervisor".into(),
            log_dir: "/var/log/wcp360".into(),
            foreground: false,
            tracking: Tracking::Auto,
        }
    }
}

/// Why the supervisor could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not root.
    #[error("wcp360-supervisor must be run as root")]
    NotRoot,
    /// Another one runs.
    #[error("another supervisor is running (it holds {0}); stop it with `wcp360-supervisor ctl shutdown`")]
    Locked(PathBuf),
    /// A file or directory.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A system call.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// `--tracking cgroup`, and there is none.
    #[error("no cgroup can be made: {0}; mount a writable cgroup2 file system, or use --tracking auto")]
    NoCgroup(io::Error),
    /// The daemon said so before it was ready.
    #[error("{0}")]
    Child(String),
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    move |source| RunError::File { what, path, source }
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> RunError {
    move |e| RunError::System { what, source: e.into() }
}

/// Runs the supervisor. In the foreground, returns when it has ended; else as soon as its daemon listens.
///
/// # Errors
/// See [`RunError`].
pub fn run(config: &Config) -> Result<(), RunError> {
    if !rustix::process::geteuid().is_root() {
        return Err(RunError::NotRoot);
    }
    if config.foreground {
        return serve(config, &mut || Ok(()));
    }
    let (ready, ready_w) = pipe_with(PipeFlags::CLOEXEC).map_err(system("making a pipe"))?;
    let fork = || sys::fork().map_err(system("forking"));
    match fork()? {
        Fork::Parent(_) => {
            drop(ready_w);
            let mut said = String::new();
            File::from(ready).read_to_string(&mut said).map_err(system("waiting for the daemon"))?;
            let _ = sys::wait_any(true);
            match said.as_str() {
                "ready" => Ok(()),
                "" => Err(RunError::Child("the daemon died before it was ready; see its log".into())),
                why => Err(RunError::Child(why.to_owned())),
            }
        }
        Fork::Child => {
            drop(ready);
            // Whoever started us may have had a lock or a socket open; it must not stay taken for as long as we run.
            sys::close_from(3, &[ready_w.as_raw_fd()]);
            let _ = rustix::process::setsid();
            match fork() {
                Ok(Fork::Child) => {}
                _ => sys::exit_now(0),
            }
            let mut ready = Some(File::from(ready_w));
            let result = serve(config, &mut || {
                if let Some(mut r) = ready.take() {
                    detach()?;
                    r.write_all(b"ready")?;
                }
                Ok(())
            });
            if let (Err(e), Some(mut r)) = (&result, ready) {
                let _ = r.write_all(e.to_string().as_bytes());
            }
            sys::exit_now(i32::from(result.is_err()))
        }
    }
}

/// Leaves the terminal and the directory of whoever started it.
fn detach() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    std::env::set_current_dir("/")
}

fn make_dir(path: &Path, mode: u32) -> Result<(), RunError> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(file("making directory", path))
}

/// A directory of root's. What somebody else put there, who may write into the directory above, is moved out of the way.
fn own_dir(path: &Path) -> Result<(), RunError> {
    // Somebody may put something there between any two steps, but can't take away a directory that root made.
    for attempt in 0..16 {
        match fs::symlink_metadata(path) {
            Ok(m) if m.is_dir() && m.uid() == 0 => return Ok(()),
            Ok(_) => {
                let aside = path.with_extension(format!("untrusted-{}-{attempt}", std::process::id()));
                let _ = fs::rename(path, aside);
            }
            Err(_) => match fs::DirBuilder::new().mode(0o750).create(path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(file("making directory", path)(e)),
                _ => {}
            },
        }
    }
    Err(file("making directory", path)(io::Error::other("somebody keeps putting something in its place")))
}

/// As many files as allowed: each listening socket is one. Returns the limit before.
fn raise_open_files() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    let want = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|t| t.trim().parse().ok()).unwrap_or(1 << 20);
    let most = Rlimit { current: Some(want), maximum: Some(want) };
    if setrlimit(Resource::Nofile, most).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    }
    before
}

/// Names the cgroup of a supervisor: two with different state directories don't meet.
fn cgroup_name(state_dir: &Path) -> String {
    if state_dir == Config::default().state_dir {
        return "wcp360.supervisor".into();
    }
    // FNV-1a.
    let hash = state_dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("wcp360.supervisor-{hash:016x}")
}

/// How long the lock is tried for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

fn serve(config: &Config, ready: &mut dyn FnMut() -> io::Result<()>) -> Result<(), RunError> {
    let begun = Instant::now();
    make_dir(&config.state_dir, 0o700)?;
    make_dir(&config.log_dir, 0o750)?;
    own_dir(&config.log_dir.join("units"))?;
    let lock_path = config.state_dir.join("lock");
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
    let lock = lock.map_err(file("opening", &lock_path))?;
    // A child of a supervisor that was just killed holds its lock until it has executed its program: a moment.
    let patience = Instant::now() + LOCK_PATIENCE;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= patience {
            return Err(RunError::Locked(lock_path));
        }
        std::thread::sleep(Duration::from_millis(10));
    }

    let log_path = config.log_dir.join("supervisor.log");
    let mut log = Log::open(&log_path, config.foreground).map_err(file("opening", &log_path))?;
    let panic_log = log_path.clone();
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(mut l) = Log::open(&panic_log, true) {
            l.write(
                Level::Error,
                None,
                &format!("the supervisor crashed: {info}. Units go on; start it again to adopt them"),
            );
        }
    }));
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let open_files = raise_open_files();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(system("becoming a subreaper"))?;
    let handled = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE];
    let signals = sys::signal_fd(&handled).map_err(system("signalfd"))?;

    let cgroups = match config.tracking {
        Tracking::Reaper => None,
        tracking => match CgroupRoot::prepare(&cgroup_name(&config.state_dir)) {
            Ok(c) => Some(c),
            Err(e) if tracking == Tracking::Cgroup => return Err(RunError::NoCgroup(e)),
            Err(e) => {
                log.write(Level::Info, None, &format!("no cgroups here ({e}): each unit gets a reaper process"));
                None
            }
        },
    };
    let (store, records, same_boot) =
        Store::open(&config.state_dir).map_err(file("opening state in", &config.state_dir))?;
    let poller = Poller::new().map_err(system("epoll"))?;
    poller.add(&signals, Source::Signals).map_err(system("epoll"))?;
    let settings = Settings { state_dir: config.state_dir.clone(), log_dir: config.log_dir.clone(), open_files };
    let loader = Loader::new(config.unit_dir.clone());
    let mut m =
        Manager::new(settings, loader, store, cgroups, poller, log).map_err(file("preparing", &config.state_dir))?;

    let fresh = records.is_empty() || !same_boot;
    let adopted = m.adopt(records, same_boot);
    let mut server = Server::bind(&config.socket).map_err(file("listening on", &config.socket))?;
    server.register(&m).map_err(system("epoll"))?;
    m.log.write(
        Level::Info,
        None,
        &format!(
            "wcp360-supervisor {} is ready after {} ms, {}; {adopted:?}",
            env!("CARGO_PKG_VERSION"),
            begun.elapsed().as_millis(),
            if fresh { "nothing to take over" } else { "took over from an earlier one" }
        ),
    );
    ready().map_err(system("telling that it is ready"))?;
    m.start_enabled();
    server.deliver(&mut m);
    sys::trim_memory();

    let result = main_loop(&mut m, &mut server, &signals);
    server.remove_file();
    m.release();
    m.log.write(Level::Info, None, "ended");
    drop(lock);
    result
}

fn main_loop(m: &mut Manager, server: &mut Server, signals: &impl AsFd) -> Result<(), RunError> {
    loop {
        let timeout = m.next_timeout();
        for source in m.poller.wait(timeout).map_err(system("epoll"))? {
            match source {
                Source::Signals => on_signals(m, signals),
                Source::Control => server.accept(m),
                Source::Connection(id) => server.ready(id, m),
                Source::Listen(id) => m.on_connect(id),
                Source::Report(id) => m.on_report(id),
                Source::Reaper(id) => m.on_reaper(id),
                Source::Notify(id) => m.on_notify(id),
                Source::Main(id) => m.on_main_gone(id),
            }
        }
        m.run_timers();
        let down = m.is_down();
        server.deliver(m);
        if down {
            // The answer must reach whoever asked, but nobody may keep us.
            let limit = Instant::now() + Duration::from_secs(2);
            while !server.is_idle() && Instant::now() < limit {
                std::thread::sleep(Duration::from_millis(5));
                server.flush_all(m);
            }
            return Ok(());
        }
    }
}

fn on_signals(m: &mut Manager, signals: &impl AsFd) {
    for sig in sys::read_signals(signals.as_fd()) {
        match sig {
            libc::SIGCHLD => m.reap(),
            libc::SIGTERM | libc::SIGINT => m.begin_shutdown(None),
            libc::SIGHUP => m.forget_files(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_put_in_place_of_our_directory_is_moved_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        let (units, elsewhere) = (dir.path().join("units"), dir.path().join("elsewhere"));
        fs::create_dir(&elsewhere).expect("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, &units).expect("a link");
        for _ in 0..2 {
            own_dir(&units).expect("it is made");
            assert!(fs::symlink_metadata(&units).is_ok_and(|m| m.is_dir() && m.mode() & 0o777 == 0o750));
        }
        std::os::unix::fs::chown(&units, Some(65534), None).expect("given away");
        own_dir(&units).expect("it is made anew");
        assert!(fs::symlink_metadata(&units).is_ok_and(|m| m.uid() == 0));
        assert!(fs::symlink_metadata(&elsewhere).is_ok_and(|m| m.is_dir()));
    }

    #[test]
    fn cgroup_names_differ() {
        assert_eq!(cgroup_name(Path::new("/run/wcp360/supervisor")), "wcp360.supervisor");
        assert_ne!(cgroup_name(Path::new("/a")), cgroup_name(Path::new("/b")));
    }
}
