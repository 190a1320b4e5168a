//! A supervisor of its own for each test: own directories, own control socket, own mount namespace. Everything it started is
//! gone when the value is dropped, also when the test failed.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, unreachable_pub)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wcp360_supervisor::protocol::{Client, UnitState, UnitStatus};

pub const BINARY: &str = env!("CARGO_BIN_EXE_wcp360-supervisor");

/// Both ways of keeping processes together: every test of stopping must hold in both.
pub const TRACKINGS: [&str; 2] = ["cgroup", "reaper"];

pub struct Supervisor {
    pub dir: PathBuf,
    child: Option<Child>,
    tracking: String,
    _tmp: tempfile::TempDir,
}

impl Supervisor {
    /// A supervisor that does not run yet.
    pub fn prepare(tracking: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests start services as other users: run them as root");
        let tmp = tempfile::Builder::new().prefix("wcp360-sup-").tempdir_in("/tmp").unwrap();
        // Services run as other users.
        fs::set_permissions(tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = tmp.path().to_owned();
        fs::create_dir(dir.join("units")).unwrap();
        fs::create_dir(dir.join("run")).unwrap();
        Self { dir, child: None, tracking: tracking.into(), _tmp: tmp }
    }

    pub fn start(tracking: &str) -> Self {
        let mut s = Self::prepare(tracking);
        s.run();
        s
    }

    /// The arguments of `run`.
    pub fn args(&self) -> Vec<String> {
        let p = |n: &str| self.dir.join(n).to_str().unwrap().to_owned();
        ["--unit-dir", &p("units"), "--socket", &p("sock"), "--state-dir", &p("state"), "--log-dir", &p("log")]
            .map(str::to_owned)
            .into_iter()
            .chain(["--tracking".to_owned(), self.tracking.clone()])
            .collect()
    }

    pub fn run(&mut self) {
        assert!(self.child.is_none());
        // unshare(1) becomes the supervisor: same process.
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", BINARY, "run", "--foreground"])
            .args(self.args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::options().create(true).append(true).open(self.dir.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let socket = self.dir.join("sock");
        until("the supervisor listens", || Client::connect(&socket).is_ok_and(|mut c| c.ping().is_ok()));
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id() as i32
    }

    /// kill -9.
    pub fn crash(&mut self) {
        let mut c = self.child.take().unwrap();
        c.kill().unwrap();
        c.wait().unwrap();
    }

    /// A polite end. Returns how long it took.
    pub fn shutdown(&mut self) -> Duration {
        let begun = Instant::now();
        self.client().shutdown().unwrap();
        assert!(self.child.take().unwrap().wait().unwrap().success());
        begun.elapsed()
    }

    pub fn client(&self) -> Client {
        let mut c = Client::connect(&self.dir.join("sock")).unwrap();
        c.set_timeout(Some(Duration::from_secs(60))).unwrap();
        c
    }

    /// Writes a unit file; `@DIR@` stands for the test's directory.
    pub fn unit(&self, name: &str, text: &str) {
        let path = self.dir.join("units").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("@DIR@", self.dir.to_str().unwrap())).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn status(&self, unit: &str) -> UnitStatus {
        self.client().status(unit).unwrap()
    }

    pub fn state(&self, unit: &str) -> UnitState {
        self.status(unit).state
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log/supervisor.log")).unwrap_or_default()
    }

    pub fn unit_log(&self, unit: &str) -> String {
        fs::read_to_string(self.dir.join(format!("log/units/{unit}.log"))).unwrap_or_default()
    }

    /// Everything sent by whoever listens there.
    pub fn ask(&self, socket: &str) -> String {
        let mut s = UnixStream::connect(self.dir.join(socket)).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = String::new();
        s.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- supervisor.log\n{}\n{}", self.log(), read(&self.dir.join("stderr")));
        }
        // If it was killed, the next one adopts what it left, and ends it.
        if self.child.is_none() && self.dir.join("state/state").exists() {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run()));
        }
        if let Some(mut child) = self.child.take() {
            let polite = Client::connect(&self.dir.join("sock")).is_ok_and(|mut c| {
                let _ = c.set_timeout(Some(Duration::from_secs(20)));
                c.shutdown().is_ok()
            });
            if !polite {
                let _ = child.kill();
                eprintln!("the supervisor did not end when asked");
                // Nobody is left to end its units.
                let state = read(&self.dir.join("state/state"));
                for cgroup in state.split('"').filter(|w| w.starts_with("/sys/fs/cgroup/")) {
                    let _ = fs::write(Path::new(cgroup).join("cgroup.kill"), "1");
                }
            }
            let _ = child.wait();
        }
        // A last net: nothing that mentions the directory may be left (a reaper may need a moment to see that it is alone).
        for _ in 0..100 {
            if processes_mentioning(self.dir.to_str().unwrap()).is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in processes_mentioning(self.dir.to_str().unwrap()) {
            eprintln!("left over: {pid} {}", cmdline(pid));
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Waits for something to become true.
#[track_caller]
pub fn until(what: &str, mut f: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !f() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn alive(pid: i32) -> bool {
    wcp360_supervisor::proc::stat(pid).is_some_and(|s| s.state != 'Z')
}

pub fn cmdline(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ")
}

/// The processes, other than this one, whose command line or environment holds a text.
pub fn processes_mentioning(text: &str) -> Vec<i32> {
    let me = std::process::id() as i32;
    let has = |file: String| fs::read(file).is_ok_and(|b| b.windows(text.len()).any(|w| w == text.as_bytes()));
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|p| *p != me && (has(format!("/proc/{p}/cmdline")) || has(format!("/proc/{p}/environ"))))
        .collect()
}

/// The resident memory of a process that it shares with nobody, in kB.
pub fn private_kb(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    text.lines()
        .filter(|l| l.starts_with("Private_"))
        .map(|l| l.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
        .sum()
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub fn has_php_fpm() -> bool {
    Path::new("/usr/sbin/php-fpm8.2").exists()
}

/// A small server in Python: says hello on each connection, with whatever `reply` evaluates to.
pub fn python_server(reply: &str, after: &str) -> String {
    format!(
        "import socket,os,sys\n\
         s=socket.socket(fileno=3)\n\
         assert os.environ['LISTEN_FDS']=='1' and os.environ['LISTEN_PID']==str(os.getpid())\n\
         while True:\n\
         \x20 c,_=s.accept()\n\
         \x20 c.sendall(str({reply}).encode())\n\
         \x20 c.close()\n\
         \x20 {after}\n"
    )
}
