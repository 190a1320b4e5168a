//! The control protocol: newline-delimited JSON over a Unix socket, one response per request, in order. Only root may connect.
//!
//! `start`, `stop`, `restart` and `reload` are answered when the unit has reached the state, or failed to. Starting an active
//! unit and stopping an inactive one succeed.
//!
//! ```no_run
//! use std::path::Path;
//! use wcp360_supervisor::protocol::Client;
//!
//! let mut client = Client::connect(Path::new("/run/wcp360/supervisor.sock"))?;
//! let status = client.start("wcp360-php8.2@alice.socket")?;
//! println!("{} is {:?}", status.unit, status.state);
//! # Ok::<(), wcp360_supervisor::protocol::ClientError>(())
//! ```

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the supervisor listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/wcp360/supervisor.sock";

/// The longest request line, in bytes.
pub const MAX_REQUEST: usize = 16 * 1024;

/// A request. On the wire `{"op":"start","unit":"nginx.service"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// Start a unit, after what it requires and wants.
    Start {
        /// Its name.
        unit: String,
    },
    /// Stop a unit; no process of it remains.
    Stop {
        /// Its name.
        unit: String,
    },
    /// Stop it if it runs, and start it.
    Restart {
        /// Its name.
        unit: String,
    },
    /// Run its `ExecReload=`.
    Reload {
        /// Its name.
        unit: String,
    },
    /// Start it whenever the supervisor starts.
    Enable {
        /// Its name.
        unit: String,
    },
    /// Undo `enable`.
    Disable {
        /// Its name.
        unit: String,
    },
    /// Forget that it failed (`systemctl reset-failed`).
    ResetFailed {
        /// Its name.
        unit: String,
    },
    /// What it is doing.
    Status {
        /// Its name.
        unit: String,
    },
    /// All units that are not inactive, or are enabled.
    List {
        /// A shell pattern of `*` and `?`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern: Option<String>,
    },
    /// Forget the unit files that were read.
    DaemonReload,
    /// Is anybody there?
    Ping,
    /// Stop all units, in reverse order, and end the supervisor.
    Shutdown,
}

/// What a unit is doing, in the words of `systemctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// Not running.
    Inactive,
    /// Starting, or waiting to be restarted after a failure.
    Activating,
    /// Running, or listening.
    Active,
    /// Stopping.
    Deactivating,
    /// Ended in a way that it should not.
    Failed,
}

/// The answer to `status`, `start`, `stop`, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Its name.
    pub unit: String,
    /// `Description=`, without specifiers replaced where they can't be.
    #[serde(default)]
    pub description: String,
    /// What it is doing.
    pub state: UnitState,
    /// More precisely: `listening`, `running`, `start-pre`, `auto-restart`, …
    pub sub: String,
    /// The main process, if one runs.
    pub main_pid: Option<i32>,
    /// When it came into this state: milliseconds since 1970 (UTC). 0: never since the supervisor started.
    pub since: u64,
    /// How many processes it has.
    pub processes: usize,
    /// How often it was restarted after failures since it was last started on purpose.
    pub restarts: u32,
    /// Whether it starts with the supervisor.
    pub enabled: bool,
    /// Why it failed, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Directives in its file that have no effect on this machine.
    #[serde(default)]
    pub not_enforced: Vec<String>,
    /// What in its file was not understood, and what could not be done when it started.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One line of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSummary {
    /// Its name.
    pub unit: String,
    /// What it is doing.
    pub state: UnitState,
    /// More precisely.
    pub sub: String,
    /// The main process, if one runs.
    pub main_pid: Option<i32>,
    /// When it came into this state: milliseconds since 1970 (UTC).
    pub since: u64,
    /// Whether it starts with the supervisor.
    pub enabled: bool,
}

/// Kinds of failure, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request can't be read, or names no unit.
    BadRequest,
    /// There is no file for the unit.
    NotFound,
    /// The unit's file can't be obeyed.
    BadUnit,
    /// It was tried and failed.
    Failed,
    /// Another request undid it (a stop during a start).
    Cancelled,
    /// The unit is not in a state for this.
    Conflict,
    /// The supervisor is shutting down.
    ShuttingDown,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", if log.is_empty() { String::new() } else { format!("; last log lines:\n  {}", log.join("\n  ")) })]
pub struct Failure {
    /// The kind.
    pub code: ErrorCode,
    /// What happened, and what to do.
    pub message: String,
    /// The last lines that the unit wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// A response: `{"ok":true,…}` or `{"ok":false,"error":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Whether it succeeded.
    pub ok: bool,
    /// Of the unit, after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<UnitStatus>,
    /// For `list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<UnitSummary>>,
    /// If it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl Response {
    /// Success without more.
    #[must_use]
    pub fn done() -> Self {
        Self { ok: true, status: None, units: None, error: None }
    }

    /// Success, with the unit's state.
    #[must_use]
    pub fn status(status: UnitStatus) -> Self {
        Self { status: Some(status), ..Self::done() }
    }

    /// A failure.
    #[must_use]
    pub fn failed(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::failure(Failure { code, message: message.into(), log: Vec::new() })
    }

    /// A failure, with log lines.
    #[must_use]
    pub fn failure(error: Failure) -> Self {
        Self { ok: false, error: Some(error), ..Self::done() }
    }
}

/// Why a call of [`Client`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("can't reach the supervisor at {path}: {source}. Is wcp360-supervisor running, and are you root?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke or timed out.
    #[error("the connection to the supervisor broke: {0}; the request may have been carried out")]
    Io(#[from] io::Error),
    /// The answer makes no sense.
    #[error(
        "the supervisor answered something else than expected: {0}; do client and supervisor have the same version?"
    )]
    Protocol(String),
    /// The supervisor refused, or the unit failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A blocking connection to the supervisor. One request at a time; open several for several.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects. Calls wait without limit: see [`Client::set_timeout`].
    ///
    /// # Errors
    /// When nobody listens there, or this process is not root.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream =
            UnixStream::connect(path).map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// How long a call may take. A unit's `TimeoutStartSec=` and `TimeoutStopSec=` (90 s each by default) should fit. After a
    /// time-out, the connection must not be used again.
    ///
    /// # Errors
    /// When the duration is zero.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        let s = self.stream.get_ref();
        s.set_read_timeout(timeout)?;
        s.set_write_timeout(timeout)?;
        Ok(())
    }

    /// Sends a request and waits for its response, whether it is a success or not.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|e| ClientError::Protocol(e.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_str(&answer).map_err(|e| ClientError::Protocol(e.to_string()))
    }

    fn expect(&mut self, request: &Request) -> Result<Response, ClientError> {
        let response = self.call(request)?;
        match response.error {
            Some(e) => Err(e.into()),
            None if response.ok => Ok(response),
            None => Err(ClientError::Protocol("neither success nor error".into())),
        }
    }

    fn unit(&mut self, request: &Request) -> Result<UnitStatus, ClientError> {
        self.expect(request)?.status.ok_or_else(|| ClientError::Protocol("no status".into()))
    }

    /// Starts a unit and waits until it is active.
    ///
    /// # Errors
    /// When it fails, with the reason and its last log lines.
    pub fn start(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Start { unit: unit.into() })
    }

    /// Stops a unit and waits until no process of it is left.
    ///
    /// # Errors
    /// When processes can't be killed.
    pub fn stop(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Stop { unit: unit.into() })
    }

    /// Stops it if it runs, starts it, and waits until it is active.
    ///
    /// # Errors
    /// When it fails to start.
    pub fn restart(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Restart { unit: unit.into() })
    }

    /// Runs its `ExecReload=` and waits for it.
    ///
    /// # Errors
    /// When it is not active, has no `ExecReload=`, or the command fails.
    pub fn reload(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Reload { unit: unit.into() })
    }

    /// Makes it start with the supervisor. Does not start it now.
    ///
    /// # Errors
    /// When there is no file for it.
    pub fn enable(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Enable { unit: unit.into() })
    }

    /// Undoes `enable`. Does not stop it now.
    ///
    /// # Errors
    /// When the link can't be removed.
    pub fn disable(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Disable { unit: unit.into() })
    }

    /// Forgets that it failed.
    ///
    /// # Errors
    /// When the name is none.
    pub fn reset_failed(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::ResetFailed { unit: unit.into() })
    }

    /// What it is doing.
    ///
    /// # Errors
    /// When there is no file for it and it does not run.
    pub fn status(&mut self, unit: &str) -> Result<UnitStatus, ClientError> {
        self.unit(&Request::Status { unit: unit.into() })
    }

    /// The units that are not inactive or are enabled, by name; of these, the ones that match a pattern of `*` and `?`.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn list(&mut self, pattern: Option<&str>) -> Result<Vec<UnitSummary>, ClientError> {
        let request = Request::List { pattern: pattern.map(str::to_owned) };
        self.expect(&request)?.units.ok_or_else(|| ClientError::Protocol("no units".into()))
    }

    /// Makes the supervisor read all unit files anew when it needs them.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn daemon_reload(&mut self) -> Result<(), ClientError> {
        self.expect(&Request::DaemonReload).map(drop)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// When there is none.
    pub fn ping(&mut self) -> Result<(), ClientError> {
        self.expect(&Request::Ping).map(drop)
    }

    /// Stops all units and the supervisor, and waits until its process is gone.
    ///
    /// # Errors
    /// When the connection breaks before it is done.
    pub fn shutdown(&mut self) -> Result<(), ClientError> {
        self.expect(&Request::Shutdown)?;
        // The connection ends with the process: another supervisor may be started after this.
        let mut rest = String::new();
        while self.stream.read_line(&mut rest)? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn on_the_wire() {
        let j = |r: &Request| serde_json::to_string(r).unwrap();
        assert_eq!(j(&Request::Start { unit: "a.service".into() }), r#"{"op":"start","unit":"a.service"}"#);
        assert_eq!(j(&Request::DaemonReload), r#"{"op":"daemon-reload"}"#);
        assert_eq!(j(&Request::List { pattern: None }), r#"{"op":"list"}"#);
        assert_eq!(serde_json::from_str::<Request>(r#"{"op":"list"}"#).unwrap(), Request::List { pattern: None });
        assert!(serde_json::from_str::<Request>(r#"{"op":"exec","cmd":"x"}"#).is_err());
        assert_eq!(serde_json::to_string(&Response::done()).unwrap(), r#"{"ok":true}"#);
    }

    proptest! {
        #[test]
        fn requests_round_trip(unit in "\\PC{0,30}") {
            for r in [Request::Stop { unit: unit.clone() }, Request::List { pattern: Some(unit.clone()) }] {
                let text = serde_json::to_string(&r).unwrap();
                prop_assert!(!text.contains('\n'));
                prop_assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), r);
            }
        }
    }
}
