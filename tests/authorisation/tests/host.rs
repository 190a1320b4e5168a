//! The test host: its network, and commands on it.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::cell::Cell;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn name() -> String {
    std::env::var("WCP360_E2E_HOST").expect("WCP360_E2E_HOST names the host; tests/e2e/run sets it")
}

/// The host's PID 1, as this machine numbers it.
fn leader() -> &'static str {
    static LEADER: OnceLock<String> = OnceLock::new();
    LEADER.get_or_init(|| {
        let hosts = std::env::var("WCP360_HOSTS").unwrap_or_else(|_| "/run/wcp360-test-hosts".into());
        let leader = std::fs::read_to_string(format!("{hosts}/{}/leader", name())).expect("the host runs");
        leader.split(' ').next().unwrap_or_default().to_owned()
    })
}

/// A path on the host, as this machine can open it.
pub(crate) fn path(path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{path}", leader()))
}

/// Moves this thread into the host's network; threads it starts afterwards are there too.
///
/// # Panics
/// Without a host or without root.
pub(crate) fn enter_network() {
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
    if INSIDE.replace(true) {
        return;
    }
    let network = std::fs::File::open(format!("/proc/{}/ns/net", leader())).expect("root, and a host that runs");
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
}

/// Runs a shell script on the host and gives what it printed.
///
/// # Panics
/// If it fails.
pub(crate) fn sh(script: &str) -> String {
    sh_with(script, b"")
}

/// Runs a shell script on the host with some input.
///
/// # Panics
/// If it fails.
pub(crate) fn sh_with(script: &str, input: &[u8]) -> String {
    let exec = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../host/exec");
    let mut child = Command::new(exec)
        .args([&name(), "--", "bash", "-euc", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/host/exec starts");
    // A command that does not read its input closes it; that is no failure.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let output = child.wait_with_output().expect("tests/host/exec ends");
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    assert!(output.status.success(), "{script}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Changes or reads the panel's database, for what has no operation: making time pass.
///
/// # Panics
/// If it fails.
pub(crate) fn sql(statement: &str) -> String {
    sh_with("sqlite3 -cmd '.timeout 20000' /var/lib/wcp360/state.db", statement.as_bytes())
}
