//! The first administrator: root proves to be root, once (PLT-04).

mod pam;
mod reopen;

pub use reopen::{NEXT, ReopenError};

use crate::engine::guard;
use crate::fsx::{Access, Durability, Fs, FsError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wcp360_agent_proto::{AgentError, AgentErrorCode};
use wcp360_agent_render::paths::AGENT_STATE;

const ATTEMPTS: u32 = 5;
const LOCKED_FOR: Duration = Duration::from_secs(15 * 60);

/// Whether the system is initialised, and the way there.
#[derive(Debug)]
pub struct Bootstrap {
    fs: Arc<Fs>,
    attempts: Mutex<Attempts>,
}

#[derive(Debug, Default)]
struct Attempts {
    failed: u32,
    locked_since: Option<Instant>,
}

impl Attempts {
    /// Whether one more may be made; counts it.
    fn begin(&mut self, now: Instant) -> bool {
        match self.locked_since {
            Some(since) if now.duration_since(since) < LOCKED_FOR => return false,
            Some(_) => *self = Self::default(),
            None => {}
        }
        // Counted before the answer is known, so that several at once are no way around.
        self.failed += 1;
        if self.failed >= ATTEMPTS {
            self.locked_since = Some(now);
        }
        true
    }
}

fn flag() -> String {
    format!("{AGENT_STATE}/system_initialized")
}

impl Bootstrap {
    /// The one of this machine.
    pub fn new(fs: Arc<Fs>) -> Self {
        Self { fs, attempts: Mutex::default() }
    }

    /// Whether the first administrator was created.
    ///
    /// # Errors
    /// The flag can't be looked at.
    pub fn is_initialized(&self) -> Result<bool, FsError> {
        Ok(self.fs.meta(&flag())?.is_some())
    }

    /// Closes the bootstrap for good: only root on the machine opens it again.
    ///
    /// # Errors
    /// The flag can't be written.
    pub fn seal(&self) -> Result<(), FsError> {
        if self.is_initialized()? {
            return Ok(());
        }
        let content = format!("{}\n", jiff::Timestamp::now());
        self.fs.write(&flag(), content.as_bytes(), Access { uid: 0, gid: 0, mode: 0o600 }, Durability::Durable)
    }

    /// Whether `password` is root's. Blocks for as long as PAM takes.
    ///
    /// # Errors
    /// The system is initialised, there were too many attempts, or PAM can't be asked.
    pub fn verify_root(&self, password: &str) -> Result<bool, AgentError> {
        let failed = |message: String| AgentError::new(AgentErrorCode::Failed, message);
        if self.is_initialized().map_err(|e| failed(e.to_string()))? {
            let message =
                "the system is initialised: sign in as an administrator, or run \"wcp360 admin create\" as root";
            return Err(AgentError::new(AgentErrorCode::Invalid, message));
        }
        if !guard(&self.attempts).begin(Instant::now()) {
            let message =
                "too many wrong passwords; wait 15 minutes, or use the setup token that the installer printed";
            return Err(AgentError::new(AgentErrorCode::Invalid, message));
        }
        let ok = pam::authenticate("wcp360", "root", password).map_err(failed)?;
        if ok {
            *guard(&self.attempts) = Attempts::default();
        }
        tracing::warn!(ok, "root's password was asked for, to create the first administrator");
        Ok(ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plt_04_five_attempts_then_a_quarter_of_an_hour() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        assert!((0..5).all(|_| attempts.begin(start)));
        assert!(!attempts.begin(start));
        assert!(!attempts.begin(start + LOCKED_FOR - Duration::from_secs(1)));
        assert!(attempts.begin(start + LOCKED_FOR));
    }
}
