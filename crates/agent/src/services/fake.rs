//! A backend for tests: a directory with a file for each running unit, so that its state outlives the process, as that of
//! a real one does.

#![allow(clippy::disallowed_methods)] // only in tests

use super::{Running, ServiceError, ServiceManager, UnitStatus};
use std::collections::HashSet;
use std::path::PathBuf;
use wcp360_agent_render::SliceLimits;

/// Pretends to start and stop.
#[derive(Debug)]
pub struct Fake {
    dir: PathBuf,
}

impl Fake {
    /// Keeps its state in `dir`.
    pub fn new(dir: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).expect("a directory for the pretended services");
        Self { dir }
    }
}

impl ServiceManager for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn start(&self, unit: &str) -> Result<(), ServiceError> {
        crate::crash::point("start");
        if unit.contains("broken") {
            return Err(ServiceError::new("start", unit, "it is said to be broken"));
        }
        std::fs::write(self.dir.join(unit), "").map_err(|e| ServiceError::new("start", unit, e))?;
        crate::crash::point("start done");
        Ok(())
    }
    fn stop(&self, unit: &str) -> Result<(), ServiceError> {
        crate::crash::point("stop");
        let _ = std::fs::remove_file(self.dir.join(unit));
        crate::crash::point("stop done");
        Ok(())
    }
    fn restart_if_running(&self, _: &str) -> Result<(), ServiceError> {
        Ok(())
    }
    fn reload(&self, _: &str) -> Result<(), ServiceError> {
        Ok(())
    }
    fn status(&self, unit: &str) -> Result<UnitStatus, ServiceError> {
        let active = self.dir.join(unit).exists();
        Ok(UnitStatus { active, state: if active { "active" } else { "inactive" }.into() })
    }
    fn running(&self, _: &str) -> Result<Vec<Running>, ServiceError> {
        Ok(Vec::new())
    }
    fn active(&self, pattern: &str) -> Result<HashSet<String>, ServiceError> {
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let names = std::fs::read_dir(&self.dir).map_err(|e| ServiceError::new("list", pattern, e))?;
        let names = names.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| name.starts_with(before) && name.ends_with(after)).collect())
    }
    fn read_units_again(&self) -> Result<(), ServiceError> {
        crate::crash::point("read units");
        // What it has read, beside what runs.
        let units = self.dir.with_file_name("etc/systemd/system/nginx.service");
        let content = std::fs::read(units).unwrap_or_default();
        std::fs::write(self.dir.with_file_name("units-read"), content)
            .map_err(|e| ServiceError::new("read", "units", e))?;
        crate::crash::point("read units done");
        Ok(())
    }
    fn limit(&self, _: &str, _: &SliceLimits) -> Result<(), ServiceError> {
        Ok(())
    }
    fn end_slice(&self, _: &str) -> Result<(), ServiceError> {
        Ok(())
    }
}
