//! Starting and stopping services: one interface, two backends.
//!
//! Where PID 1 is systemd, it is asked over D-Bus. Elsewhere `wcp360-supervisor` reads the same unit files and is asked over
//! its socket.

#[doc(hidden)]
pub mod fake;
pub(crate) mod starter;
mod supervisor;
mod systemd;

pub use supervisor::Supervisor;
pub use systemd::Systemd;

use std::collections::HashSet;
use std::sync::Arc;
use wcp360_agent_render::SliceLimits;

/// Why a service could not be dealt with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{unit}: can't {action}: {reason}")]
pub struct ServiceError {
    /// The unit.
    pub unit: String,
    /// What was tried.
    pub action: &'static str,
    /// Why not, and where to look.
    pub reason: String,
}

impl ServiceError {
    pub(crate) fn new(action: &'static str, unit: &str, reason: impl std::fmt::Display) -> Self {
        Self { unit: unit.into(), action, reason: reason.to_string() }
    }
}

/// What a unit is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitStatus {
    /// Whether it runs (a socket: listens).
    pub active: bool,
    /// In the backend's own word.
    pub state: String,
}

/// A running service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its unit.
    pub unit: String,
    /// Its main process.
    pub pid: u32,
}

/// Starts and stops units. Every call waits until it is done; none may be made from an async context.
pub trait ServiceManager: Send + Sync {
    /// `systemd` or `supervisor`.
    fn name(&self) -> &'static str;
    /// Starts a unit; running already is fine.
    ///
    /// # Errors
    /// It does not start; so for all.
    fn start(&self, unit: &str) -> Result<(), ServiceError>;
    /// Starts several units; one result for each.
    fn start_all(&self, units: &[&str]) -> Vec<Result<(), ServiceError>> {
        units.iter().map(|unit| self.start(unit)).collect()
    }
    /// Stops a unit; not running is fine.
    fn stop(&self, unit: &str) -> Result<(), ServiceError>;
    /// Stops and starts a unit if it runs.
    fn restart_if_running(&self, unit: &str) -> Result<(), ServiceError>;
    /// Tells a unit to read its configuration again.
    fn reload(&self, unit: &str) -> Result<(), ServiceError>;
    /// What a unit is doing; one that nobody knows is not running.
    fn status(&self, unit: &str) -> Result<UnitStatus, ServiceError>;
    /// Running services whose name begins with `prefix`.
    fn running(&self, prefix: &str) -> Result<Vec<Running>, ServiceError>;
    /// Units that are active and whose name fits `pattern` (`*` stands for anything), in one question.
    fn active(&self, pattern: &str) -> Result<HashSet<String>, ServiceError>;
    /// Makes the backend read changed unit files.
    fn read_units_again(&self) -> Result<(), ServiceError>;
    /// Applies bounds to a slice that is in use; the unit file has them for later.
    fn limit(&self, slice: &str, limits: &SliceLimits) -> Result<(), ServiceError>;
    /// Ends everything in a slice.
    fn end_slice(&self, slice: &str) -> Result<(), ServiceError>;
}

/// The backend for this machine.
///
/// # Errors
/// systemd is PID 1 and its bus can't be reached.
pub async fn for_this_machine() -> Result<Arc<dyn ServiceManager>, ServiceError> {
    if std::path::Path::new("/run/systemd/system").is_dir() {
        Ok(Arc::new(Systemd::connect().await?))
    } else {
        Ok(Arc::new(Supervisor::at("/run/wcp360/supervisor.sock")))
    }
}
