//! A test host (tests/host) that goes away with us.

use crate::{process, repo};
use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running test host.
pub(super) struct Host {
    name: String,
}

impl Host {
    /// Starts one. It is taken down when this is dropped, on Ctrl-C, and by `tests/host/down --all-stale` should we be
    /// killed.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn up(kind: &str, memory: bool) -> Result<Self> {
        let name = format!("bench-{}", std::process::id());
        let doomed = name.clone();
        ctrlc::set_handler(move || {
            eprintln!("\ninterrupted: taking the test host down");
            down(&doomed);
            std::process::exit(130);
        })?;
        // What an earlier run left that was killed.
        process::run(tool("down").arg("--all-stale"))?;
        let host = Self { name };
        let mut up = tool("up");
        up.args([&host.name, &format!("--{kind}"), "--owner", &std::process::id().to_string()]);
        if !memory {
            up.arg("--disk");
        }
        process::run(&mut up)?;
        Ok(host)
    }

    /// Runs a command in it.
    ///
    /// # Errors
    /// It fails.
    pub(super) fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<()> {
        process::run(&mut self.command(words))
    }

    /// Runs a command in it and returns what it prints.
    ///
    /// # Errors
    /// It fails.
    pub(super) fn output<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        process::output(&mut self.command(words))
    }

    /// Copies a file into it.
    ///
    /// # Errors
    /// It can't be copied.
    pub(super) fn push(&self, from: &Path, to: &str) -> Result<()> {
        if !from.exists() {
            bail!("{} is missing", from.display());
        }
        process::run(tool("push").arg(&self.name).arg(from).arg(to))
    }

    /// Prints the ends of the daemons' logs.
    pub(super) fn tell_why(&self) {
        let logs = "wcp360 health; wcp360 jobs list --state failed --limit 5 --all=false; \
                    tail -n 20 /var/log/wcp360/core.log /var/log/wcp360/agent.log /var/log/wcp360/nginx-error.log";
        let _ = self.run(["timeout", "30", "sh", "-c", logs]);
    }

    fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = tool("exec");
        command.arg(&self.name).arg("--").args(words);
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        down(&self.name);
    }
}

fn down(name: &str) {
    if let Err(error) = process::run(tool("down").arg(name)) {
        eprintln!("xtask: {error:#}; run: tests/host/down {name}");
    }
}

/// Where hosts live: on disk, which `/run` is not on most machines.
fn hosts() -> PathBuf {
    std::env::var_os("WCP360_HOSTS").map_or_else(|| "/var/tmp/wcp360-bench-hosts".into(), PathBuf::from)
}

/// The kind of file system that hosts on disk are on.
pub(super) fn file_system() -> Option<String> {
    let output = process::output(&mut process::command("df", ["--output=fstype", "/var/tmp"])).ok()?;
    Some(output.lines().nth(1)?.trim().to_owned())
}

/// One of the commands in tests/host.
fn tool(name: &str) -> Command {
    let path = repo::root().join("tests/host").join(name);
    let mut command = process::command(&path.to_string_lossy(), [] as [&str; 0]);
    command.env("WCP360_HOSTS", hosts());
    command
}
