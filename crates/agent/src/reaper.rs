//! Stops PHP services that nobody uses: ten thousand idle accounts cost no process.
//!
//! The socket stays where it is, so a visitor who comes while a service stops waits for the next one to start.

use crate::services::ServiceManager;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often they are looked at.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// How long a service may be without workers.
const IDLE: Duration = Duration::from_secs(60);
const PREFIX: &str = "wcp360-php";

/// Remembers since when each service has had no worker.
#[derive(Default)]
pub struct Reaper {
    idle_since: HashMap<String, Instant>,
}

impl Reaper {
    /// Looks once, and stops what has been idle for long enough.
    pub fn look(&mut self, services: &Arc<dyn ServiceManager>) {
        let running = match services.running(PREFIX) {
            Ok(running) => running,
            Err(error) => {
                tracing::debug!(%error, "idle PHP services can't be looked for");
                return;
            }
        };
        let now = Instant::now();
        let idle: Vec<String> =
            running.into_iter().filter(|service| !has_children(service.pid)).map(|service| service.unit).collect();
        for unit in self.due(&idle, now) {
            match services.stop(&unit) {
                Ok(()) => tracing::debug!(unit, "stopped, idle"),
                Err(error) => tracing::warn!(%error, "an idle PHP service can't be stopped"),
            }
        }
    }

    /// Takes in which services are idle now; those that have been for long enough.
    fn due(&mut self, idle: &[String], now: Instant) -> Vec<String> {
        self.idle_since.retain(|unit, _| idle.contains(unit));
        let mut due = Vec::new();
        for unit in idle {
            let since = *self.idle_since.entry(unit.clone()).or_insert(now);
            if now.duration_since(since) >= IDLE {
                self.idle_since.remove(unit);
                due.push(unit.clone());
            }
        }
        due
    }
}

/// php-fpm's workers are children of its master, which has one thread.
fn has_children(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(children) => !children.trim().is_empty(),
        // Gone, or the kernel does not say: not to be stopped.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_idle_is_stopped() {
        let mut reaper = Reaper::default();
        let start = Instant::now();
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert!(reaper.due(&[a.clone(), b.clone()], start).is_empty());
        // b had a visitor in between.
        assert!(reaper.due(std::slice::from_ref(&a), start + IDLE / 2).is_empty());
        assert_eq!(reaper.due(&[a.clone(), b.clone()], start + IDLE), [a]);
        assert_eq!(reaper.due(std::slice::from_ref(&b), start + IDLE * 2), [b]);
    }
}
