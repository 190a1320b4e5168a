//! How much memory the daemons have.

use anyhow::Result;
use std::fs;

/// Resident memory in MiB.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) core: Option<f64>,
    pub(crate) agent: Option<f64>,
    /// None where PID 1 is systemd.
    pub(crate) supervisor: Option<f64>,
    pub(crate) nginx_master: Option<f64>,
    /// The largest of the workers.
    pub(crate) nginx_worker: Option<f64>,
}

impl Memory {
    /// Of the daemons that run now.
    pub(crate) fn now() -> Result<Self> {
        let mut memory = Self::default();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            let (command, status) = (read("cmdline").replace('\0', " "), read("status"));
            let Some(resident) = resident(&status) else { continue };
            let program = command.split(' ').next().and_then(|p| p.rsplit('/').next()).unwrap_or_default();
            let place = match program {
                "wcp360-core" => &mut memory.core,
                "wcp360-agent" => &mut memory.agent,
                "wcp360-supervisor" => &mut memory.supervisor,
                "nginx:" if command.contains("master") => &mut memory.nginx_master,
                "nginx:" if command.contains("worker") && !command.contains("shutting down") => {
                    &mut memory.nginx_worker
                }
                _ => continue,
            };
            *place = Some(place.unwrap_or(0.0).max(resident));
        }
        Ok(memory)
    }
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
