//! The real nginx.

use crate::services::ServiceManager;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wcp360_agent_render::paths::NGINX_STATUS;

/// What the manager needs of nginx.
pub trait NginxControl: Send + Sync {
    /// Whether nginx accepts the configuration `conf`.
    ///
    /// # Errors
    /// nginx's own message.
    fn test(&self, conf: &Path) -> Result<(), String>;
    /// Whether it runs.
    fn is_running(&self) -> bool;
    /// Makes it load what is current.
    ///
    /// # Errors
    /// It can't be told.
    fn reload(&self) -> Result<(), String>;
    /// Which generation answers.
    fn running_generation(&self) -> Option<u64>;
    /// Starts it if it has failed; not if somebody has stopped it.
    ///
    /// # Errors
    /// It does not start.
    fn start_if_failed(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The nginx of this machine.
pub struct Real {
    /// Reloads it.
    pub services: Arc<dyn ServiceManager>,
}

const UNIT: &str = "nginx.service";

impl NginxControl for Real {
    #[allow(clippy::disallowed_methods)] // the one program the agent starts: its arguments are fixed but for our own path
    fn test(&self, conf: &Path) -> Result<(), String> {
        let output = std::process::Command::new("/usr/sbin/nginx")
            .env_clear()
            .args(["-t", "-q", "-c"])
            .arg(conf)
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|e| format!("/usr/sbin/nginx can't be started: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let telling: Vec<&str> = text.lines().filter(|l| l.contains("[emerg]") || l.contains("[alert]")).collect();
        Err(if telling.is_empty() { text.trim().to_owned() } else { telling.join("; ") })
    }

    fn is_running(&self) -> bool {
        self.services.status(UNIT).is_ok_and(|status| status.active)
    }

    fn reload(&self) -> Result<(), String> {
        self.services.reload(UNIT).map_err(|e| e.to_string())
    }

    fn start_if_failed(&self) -> Result<(), String> {
        match self.services.status(UNIT) {
            Ok(status) if status.state == "failed" => self.services.start(UNIT).map_err(|e| e.to_string()),
            _ => Ok(()),
        }
    }

    fn running_generation(&self) -> Option<u64> {
        let mut stream = UnixStream::connect(NGINX_STATUS).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(b"GET /generation HTTP/1.0\r\nHost: status\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer).ok()?;
        answer.rsplit("\r\n\r\n").next()?.trim().parse().ok()
    }
}
