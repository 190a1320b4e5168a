//! Drives an installation on a test host from outside: commands, the CLI, the API, and requests through nginx.

use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The test host with the demo installation, named by `WCP360_E2E_HOST`.
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    scripts: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// An answer of the API or of a site.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status; 0 if there was none.
    pub status: u16,
    /// Headers, lower case names.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Answer {
    /// Reads what `curl -i` printed: the last head, and the body.
    pub fn parse(text: &str) -> Self {
        let mut rest = text;
        let (mut status, mut headers) = (0, Vec::new());
        // There may be a "100 Continue" before the real head.
        while rest.starts_with("HTTP/") {
            let Some((head, body)) = rest.split_once("\r\n\r\n") else { break };
            let mut lines = head.lines();
            status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
            headers = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(n, v)| (n.trim().to_lowercase(), v.trim().to_owned()))
                .collect();
            rest = body;
            if status >= 200 {
                break;
            }
        }
        Self { status, headers, body: rest.to_owned() }
    }

    /// The body as JSON; `null` if it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl Host {
    /// The host that the run script made.
    ///
    /// # Panics
    /// Without one.
    pub fn get() -> Self {
        let name = std::env::var("WCP360_E2E_HOST").expect("WCP360_E2E_HOST names the host; tests/e2e/run sets it");
        Self { name, scripts: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../host") }
    }

    /// Runs a command on the host with some input.
    pub fn exec_with(&self, command: &[&str], input: &[u8]) -> Ended {
        let mut child = Command::new(self.scripts.join("exec"))
            .arg(&self.name)
            .arg("--")
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tests/host/exec starts");
        // A command that does not read its input closes it; that is no failure.
        let _ = child.stdin.take().expect("piped").write_all(input);
        let output = child.wait_with_output().expect("tests/host/exec ends");
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command on the host.
    pub fn exec(&self, command: &[&str]) -> Ended {
        self.exec_with(command, b"")
    }

    /// Runs a shell script on the host and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn sh(&self, script: &str) -> String {
        let ended = self.exec(&["bash", "-euc", script]);
        assert_eq!(ended.code, 0, "{script}\n{}\n{}", ended.out, ended.err);
        ended.out.trim_end().to_owned()
    }

    /// Runs a shell script on the host; whether it succeeded.
    pub fn test(&self, script: &str) -> bool {
        self.exec(&["bash", "-uc", script]).code == 0
    }

    /// Runs the CLI as root.
    pub fn cli(&self, arguments: &[&str]) -> Ended {
        let mut command = vec!["wcp360"];
        command.extend(arguments);
        self.exec(&command)
    }

    /// Runs the CLI and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn cli_ok(&self, arguments: &[&str]) -> String {
        let ended = self.cli(arguments);
        assert_eq!(ended.code, 0, "wcp360 {arguments:?}\n{}\n{}", ended.out, ended.err);
        ended.out
    }

    /// The administrator's token.
    pub fn admin(&self) -> &'static str {
        static TOKEN: OnceLock<String> = OnceLock::new();
        TOKEN.get_or_init(|| self.sh("cat /etc/wcp360/api.key"))
    }

    /// Calls the API as the holder of `token` (empty: nobody), with more headers.
    pub fn api_with(&self, token: &str, method: &str, path: &str, body: Option<&Value>, headers: &[&str]) -> Answer {
        let url = format!("http://127.0.0.1:2098/api/v1{path}");
        let authorization = format!("Authorization: Bearer {token}");
        let mut command = vec!["curl", "-sS", "-i", "--max-time", "60", "-X", method, &url];
        if !token.is_empty() {
            command.extend(["-H", &authorization]);
        }
        for header in headers {
            command.extend(["-H", header]);
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            command.extend(["-H", "Content-Type: application/json", "-H", "Expect:", "--data-binary", "@-"]);
        }
        Answer::parse(&self.exec_with(&command, text.as_bytes()).out)
    }

    /// Calls the API as the holder of `token` (empty: nobody).
    pub fn api(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.api_with(token, method, path, body, &[])
    }

    /// Waits for a job and gives it.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn wait_job(&self, answer: &Answer) -> Value {
        let job = answer.json();
        let id = job["id"].as_str().unwrap_or_else(|| panic!("no job: {answer:?}")).to_owned();
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.api(self.admin(), "GET", &format!("/jobs/{id}"), None).json();
            if ["succeeded", "failed", "rolled_back", "cancelled"].contains(&job["state"].as_str().unwrap_or("")) {
                return job;
            }
            assert!(Instant::now() < until, "the job does not end: {job}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fetches a page through nginx on the host, `scheme` http or https, over IPv4 or IPv6.
    pub fn fetch_from(&self, address: &str, scheme: &str, host: &str, path: &str) -> Answer {
        let port = if scheme == "https" { 443 } else { 80 };
        let bracketed = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let resolve = format!("{host}:{port}:{bracketed}");
        let url = format!("{scheme}://{host}{path}");
        let command = ["curl", "-sS", "-k", "-i", "--max-time", "20", "--path-as-is", "--resolve", &resolve, &url];
        Answer::parse(&self.exec(&command).out)
    }

    /// Fetches a page over HTTPS and IPv4.
    pub fn fetch(&self, host: &str, path: &str) -> Answer {
        self.fetch_from("127.0.0.1", "https", host, path)
    }

    /// Writes a file as a tenant, below its home directory.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write_as(&self, account: &str, path: &str, content: &str) {
        let target = format!("/srv/www/{account}/{path}");
        let ended = self.exec_with(
            &["setpriv", "--reuid", account, "--regid", account, "--init-groups", "tee", &target],
            content.as_bytes(),
        );
        assert_eq!(ended.code, 0, "{target}: {}", ended.err);
    }

    /// Creates an account with the CLI.
    pub fn create(&self, account: &str) {
        let domain = format!("{account}.test");
        self.cli_ok(&["accounts", "create", account, "--primary-domain", &domain, "--package", "business"]);
    }

    /// A token for a reseller made for the occasion.
    pub fn reseller(&self, name: &str) -> String {
        let body =
            serde_json::json!({"username": name, "role": "reseller", "password": format!("{name} has a secret")});
        assert_eq!(self.api(self.admin(), "POST", "/users", Some(&body)).status, 201);
        self.token_by_login(name, &format!("{name} has a secret"))
    }

    /// Logs in with a password, through a session, and makes a token.
    ///
    /// # Panics
    /// If that fails.
    pub fn token_by_login(&self, name: &str, password: &str) -> String {
        let login = serde_json::json!({"username": name, "password": password});
        let answer = self.api("", "POST", "/session", Some(&login));
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().unwrap_or_default().to_owned();
        let body = serde_json::json!({"name": "test", "password": password});
        let made = self.api_with("", "POST", "/tokens", Some(&body), &[&format!("Cookie: {cookie}")]);
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["secret"].as_str().expect("a secret").to_owned()
    }

    /// Whether systemd is PID 1 there.
    pub fn has_systemd(&self) -> bool {
        self.test("test -d /run/systemd/system")
    }

    /// The process id of a daemon. One that was killed comes back in a moment.
    pub fn pid_of(&self, daemon: &str) -> String {
        self.sh(&format!("for n in {{1..100}}; do pgrep -o -x {daemon} && exit; sleep 0.1; done; exit 1"))
    }
}
