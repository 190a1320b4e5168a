//! `wcp360-supervisor`, over its socket: one JSON object a line, one line back.

use super::{Running, ServiceError, ServiceManager, UnitStatus};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use wcp360_agent_render::SliceLimits;

/// The supervisor that listens on a socket.
#[derive(Debug)]
pub struct Supervisor {
    socket: PathBuf,
}

#[derive(Serialize)]
struct Ask<'a> {
    op: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    ok: bool,
    error: Option<Failure>,
    status: Option<Unit>,
    units: Vec<Unit>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Failure {
    code: String,
    message: String,
    log: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Unit {
    unit: String,
    state: String,
    main_pid: Option<u32>,
}

impl Supervisor {
    /// The one that listens on `socket`.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    fn ask(&self, op: &'static str, unit: &str) -> Result<Answer, ServiceError> {
        self.exchange(op, unit, &Ask { op, unit: Some(unit), pattern: None })
    }

    fn exchange(&self, action: &'static str, unit: &str, ask: &Ask<'_>) -> Result<Answer, ServiceError> {
        let answer = self.raw(ask).map_err(|reason| ServiceError::new(action, unit, reason))?;
        match answer.error {
            None if answer.ok => Ok(answer),
            // What nobody knows does not run.
            Some(error) if error.code == "not-found" && matches!(ask.op, "status" | "stop") => Ok(Answer::default()),
            error => {
                let error = error.unwrap_or_default();
                let log = if error.log.is_empty() { String::new() } else { format!("\n{}", error.log.join("\n")) };
                Err(ServiceError::new(action, unit, format!("{}{log}", error.message)))
            }
        }
    }

    fn raw(&self, ask: &Ask<'_>) -> Result<Answer, String> {
        let unreachable = |e: std::io::Error| {
            format!("wcp360-supervisor does not answer on {} ({e}); is it running?", self.socket.display())
        };
        let mut stream = UnixStream::connect(&self.socket).map_err(unreachable)?;
        stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(unreachable)?;
        let mut line = serde_json::to_vec(ask).map_err(|e| e.to_string())?;
        line.push(b'\n');
        stream.write_all(&line).map_err(unreachable)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).map_err(unreachable)?;
        serde_json::from_str(&answer).map_err(|e| format!("unexpected answer: {e}"))
    }
}

impl ServiceManager for Supervisor {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    fn start(&self, unit: &str) -> Result<(), ServiceError> {
        self.ask("start", unit).map(drop)
    }

    fn stop(&self, unit: &str) -> Result<(), ServiceError> {
        self.ask("stop", unit).map(drop)
    }

    fn restart_if_running(&self, unit: &str) -> Result<(), ServiceError> {
        if self.status(unit)?.active { self.ask("restart", unit).map(drop) } else { Ok(()) }
    }

    fn reload(&self, unit: &str) -> Result<(), ServiceError> {
        self.ask("reload", unit).map(drop)
    }

    fn status(&self, unit: &str) -> Result<UnitStatus, ServiceError> {
        let found = self.ask("status", unit)?.status.unwrap_or_default();
        let state = if found.state.is_empty() { "inactive".into() } else { found.state };
        Ok(UnitStatus { active: matches!(state.as_str(), "active" | "activating"), state })
    }

    fn running(&self, prefix: &str) -> Result<Vec<Running>, ServiceError> {
        let pattern = format!("{prefix}*.service");
        let units = self.exchange("list", prefix, &Ask { op: "list", unit: None, pattern: Some(pattern) })?.units;
        let active = units.into_iter().filter(|unit| unit.state == "active");
        Ok(active.filter_map(|unit| Some(Running { pid: unit.main_pid?, unit: unit.unit })).collect())
    }

    fn read_units_again(&self) -> Result<(), ServiceError> {
        let ask = Ask { op: "daemon-reload", unit: None, pattern: None };
        self.exchange("read unit files", "wcp360-supervisor", &ask).map(drop)
    }

    fn limit(&self, _: &str, _: &SliceLimits) -> Result<(), ServiceError> {
        // It has no cgroups to put bounds on.
        Ok(())
    }
    fn end_slice(&self, _: &str) -> Result<(), ServiceError> {
        // It has no slices: processes are found by their owner.
        Ok(())
    }
}
