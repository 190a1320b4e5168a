//! The real binary, on folders of its own, without an agent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Core must not run as root.
const NOBODY: u32 = 65534;

pub(crate) struct Panel {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Drop for Panel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(dir: &Path, address: SocketAddr) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcp360-core"));
    let path = |name: &str| dir.join(name);
    command
        .args(["--config", path("wcp360.yaml").to_str().unwrap()])
        .args(["--state-dir", path("state").to_str().unwrap()])
        .args(["--log-dir", path("log").to_str().unwrap()])
        .args(["--agent-socket", path("no-agent.sock").to_str().unwrap()])
        .args(["--socket-dir", path("socket").to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "core has ended: {}",
            std::fs::read_to_string(path("log/core.log")).unwrap_or_default()
        );
        assert!(Instant::now() < until, "core does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

impl Panel {
    /// Starts a panel and sets it up; its administrator is `root`.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["state", "log", "socket"] {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            if rustix::process::geteuid().is_root() {
                chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(dir.path().join("wcp360.yaml"), format!("hostname: panel.test\napi_listen: {address}\n"))
            .unwrap();
        let child = start(dir.path(), address);
        let mut panel = Self { child, dir, address, token: String::new() };
        let setup = std::fs::read_to_string(panel.path("state/setup.token")).unwrap();
        let body = serde_json::json!({"username": "root", "password": "a long password", "setup_token": setup.trim()});
        let done = panel.call("", "POST", "/setup", &body.to_string());
        assert_eq!(done.0, 201, "{done:?}");
        panel.token = done.json()["token"].as_str().unwrap().to_owned();
        panel
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Ends the panel as an administrator does.
    pub(crate) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// And begins again.
    pub(crate) fn again(&mut self) {
        self.child = start(self.dir.path(), self.address);
    }

    /// One call with headers; the status, headers and body.
    pub(crate) fn call_with(&self, headers: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: panel.test\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let body =
            if head.to_lowercase().contains("transfer-encoding: chunked") { dechunked(body) } else { body.to_owned() };
        Answer(status, head.to_owned(), body)
    }

    pub(crate) fn call(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let header = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        self.call_with(&header, method, path, body)
    }

    /// As root.
    pub(crate) fn root(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call(&self.token, method, path, body)
    }

    /// A reseller and its session cookie.
    pub(crate) fn reseller(&self, name: &str) -> String {
        let body = serde_json::json!({"username": name, "role": "reseller", "password": "a long password"});
        assert_eq!(self.root("POST", "/users", &body.to_string()).0, 201);
        self.log_in(name)
    }

    /// The cookie of a new session.
    pub(crate) fn log_in(&self, name: &str) -> String {
        let body = serde_json::json!({"username": name, "password": "a long password"});
        let answer = self.call("", "POST", "/session", &body.to_string());
        assert_eq!(answer.0, 200, "{answer:?}");
        let cookie = answer.1.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length.trim(), 16) else { break };
        if length == 0 || rest.len() < length {
            break;
        }
        whole += &rest[..length];
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// Status, head and body.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) u16, pub(crate) String, pub(crate) String);

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.2).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}
