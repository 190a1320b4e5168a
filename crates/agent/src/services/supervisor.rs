//! `wcp360-supervisor`, over its socket.

use super::{Running, ServiceError, ServiceManager, UnitStatus};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;
use wcp360_agent_render::SliceLimits;
use wcp360_supervisor::protocol::{Client, ClientError, ErrorCode, UnitState};

/// Longer than any unit may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// The supervisor that listens on a socket.
#[derive(Debug)]
pub struct Supervisor {
    socket: PathBuf,
}

impl Supervisor {
    /// The one that listens on `socket`.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// One request on a connection of its own: a restarted supervisor costs one failed request.
    fn ask<T>(&self, request: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let mut client = Client::connect(&self.socket)?;
        client.set_timeout(Some(PATIENCE))?;
        request(&mut client)
    }
}

/// Whether there is no file for the unit, so that nothing of it runs.
fn is_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::Failed(failure) if failure.code == ErrorCode::NotFound)
}

fn word(state: UnitState) -> &'static str {
    match state {
        UnitState::Inactive => "inactive",
        UnitState::Activating => "activating",
        UnitState::Active => "active",
        UnitState::Deactivating => "deactivating",
        UnitState::Failed => "failed",
    }
}

impl ServiceManager for Supervisor {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    fn start(&self, unit: &str) -> Result<(), ServiceError> {
        self.ask(|client| client.start(unit)).map(drop).map_err(|e| ServiceError::new("start", unit, e))
    }

    fn stop(&self, unit: &str) -> Result<(), ServiceError> {
        match self.ask(|client| client.stop(unit)) {
            Err(error) if !is_unknown(&error) => Err(ServiceError::new("stop", unit, error)),
            _ => Ok(()),
        }
    }

    fn restart_if_running(&self, unit: &str) -> Result<(), ServiceError> {
        if !self.status(unit)?.active {
            return Ok(());
        }
        self.ask(|client| client.restart(unit)).map(drop).map_err(|e| ServiceError::new("restart", unit, e))
    }

    fn reload(&self, unit: &str) -> Result<(), ServiceError> {
        self.ask(|client| client.reload(unit)).map(drop).map_err(|e| ServiceError::new("reload", unit, e))
    }

    fn status(&self, unit: &str) -> Result<UnitStatus, ServiceError> {
        let state = match self.ask(|client| client.status(unit)) {
            Ok(status) => status.state,
            Err(error) if is_unknown(&error) => UnitState::Inactive,
            Err(error) => return Err(ServiceError::new("look at", unit, error)),
        };
        let active = matches!(state, UnitState::Active | UnitState::Activating);
        Ok(UnitStatus { active, state: word(state).into() })
    }

    fn running(&self, prefix: &str) -> Result<Vec<Running>, ServiceError> {
        let pattern = format!("{prefix}*.service");
        let units =
            self.ask(|client| client.list(Some(&pattern))).map_err(|e| ServiceError::new("list", &pattern, e))?;
        let active = units.into_iter().filter(|unit| unit.state == UnitState::Active);
        Ok(active.filter_map(|u| Some(Running { pid: u.main_pid?.try_into().ok()?, unit: u.unit })).collect())
    }

    fn active(&self, pattern: &str) -> Result<HashSet<String>, ServiceError> {
        let units = self.ask(|client| client.list(Some(pattern))).map_err(|e| ServiceError::new("list", pattern, e))?;
        let active = |state| matches!(state, UnitState::Active | UnitState::Activating);
        Ok(units.into_iter().filter(|unit| active(unit.state)).map(|unit| unit.unit).collect())
    }

    fn read_units_again(&self) -> Result<(), ServiceError> {
        self.ask(Client::daemon_reload).map_err(|e| ServiceError::new("reload unit files", "wcp360-supervisor", e))
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
