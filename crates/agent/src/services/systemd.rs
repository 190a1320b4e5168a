//! systemd, over D-Bus.

use super::{Running, ServiceError, ServiceManager, UnitStatus};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wcp360_agent_render::SliceLimits;
use zbus::zvariant::{OwnedObjectPath, Value};

/// How long a job of systemd may take. Stopping PHP waits for requests under way, 15 s at most.
const JOB_TIMEOUT: Duration = Duration::from_secs(60);

type UnitEntry = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_blocking = false
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn try_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<UnitEntry>>;
    fn set_unit_properties(&self, name: &str, runtime: bool, properties: &[(&str, Value<'_>)]) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1",
    gen_blocking = false
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1",
    gen_blocking = false
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}

/// Jobs that somebody waits for, and the results of jobs that ended before anybody did.
#[derive(Default)]
struct Jobs {
    waiting: HashMap<OwnedObjectPath, oneshot::Sender<String>>,
    early: Vec<(OwnedObjectPath, String)>,
}

/// A connection to systemd.
pub struct Systemd {
    connection: zbus::Connection,
    manager: ManagerProxy<'static>,
    jobs: Arc<Mutex<Jobs>>,
    runtime: Handle,
}

fn locked(jobs: &Mutex<Jobs>) -> std::sync::MutexGuard<'_, Jobs> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Systemd {
    /// Connects to the system bus and listens for the ends of jobs.
    ///
    /// # Errors
    /// There is no bus, or no systemd on it.
    pub async fn connect() -> Result<Self, ServiceError> {
        let failed = |e: zbus::Error| {
            ServiceError::new("reach systemd over D-Bus", "dbus.service", format!("{e}; check: systemctl status dbus"))
        };
        let connection = zbus::Connection::system().await.map_err(failed)?;
        let manager = ManagerProxy::new(&connection).await.map_err(failed)?;
        let mut ended = manager.receive_job_removed().await.map_err(failed)?;
        manager.subscribe().await.map_err(failed)?;
        let jobs = Arc::new(Mutex::new(Jobs::default()));
        let shared = Arc::clone(&jobs);
        tokio::spawn(async move {
            use futures_util::StreamExt;
            while let Some(signal) = ended.next().await {
                let Ok(args) = signal.args() else { continue };
                let mut jobs = locked(&shared);
                match jobs.waiting.remove(&args.job) {
                    // Gone away meanwhile: nobody to tell.
                    Some(waiter) => drop(waiter.send(args.result.clone())),
                    None => {
                        // The signal may overtake the answer with the job's path. Jobs of others end here too.
                        if jobs.early.len() > 256 {
                            jobs.early.drain(..128);
                        }
                        jobs.early.push((args.job.clone(), args.result.clone()));
                    }
                }
            }
        });
        Ok(Self { connection, manager, jobs, runtime: Handle::current() })
    }

    /// Waits for the end of a job.
    async fn finish(&self, job: OwnedObjectPath) -> Result<(), String> {
        let waiter = {
            let mut jobs = locked(&self.jobs);
            if let Some(at) = jobs.early.iter().position(|(path, _)| *path == job) {
                let (_, result) = jobs.early.swap_remove(at);
                return outcome(&result);
            }
            let (sender, receiver) = oneshot::channel();
            jobs.waiting.insert(job.clone(), sender);
            receiver
        };
        match tokio::time::timeout(JOB_TIMEOUT, waiter).await {
            Ok(Ok(result)) => outcome(&result),
            Ok(Err(_)) => Err("the connection to systemd was lost".into()),
            Err(_) => {
                locked(&self.jobs).waiting.remove(&job);
                Err(format!("systemd did not finish within {} s", JOB_TIMEOUT.as_secs()))
            }
        }
    }

    /// Asks for a job and waits for its end.
    async fn job(
        &self,
        action: &'static str,
        unit: &str,
        call: impl Future<Output = zbus::Result<OwnedObjectPath>>,
    ) -> Result<(), ServiceError> {
        let job = call.await.map_err(|e| ServiceError::new(action, unit, describe(&e)))?;
        let see = |reason| format!("{reason}; see: journalctl -u {unit}");
        self.finish(job).await.map_err(|reason| ServiceError::new(action, unit, see(reason)))
    }
}

fn outcome(result: &str) -> Result<(), String> {
    match result {
        "done" | "skipped" => Ok(()),
        other => Err(format!("the job ended as \"{other}\"")),
    }
}

fn describe(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether systemd says that it knows no such unit, or that it is not loaded.
fn is_unknown(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, _, _) if name.as_str() == "org.freedesktop.systemd1.NoSuchUnit")
}

impl ServiceManager for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn start(&self, unit: &str) -> Result<(), ServiceError> {
        self.runtime.block_on(self.job("start", unit, self.manager.start_unit(unit, "replace")))
    }

    fn start_all(&self, units: &[&str]) -> Vec<Result<(), ServiceError>> {
        let start = |unit: &&str| {
            let unit = (*unit).to_owned();
            async move { self.job("start", &unit, self.manager.start_unit(&unit, "replace")).await }
        };
        self.runtime.block_on(futures_util::future::join_all(units.iter().map(start)))
    }

    fn stop(&self, unit: &str) -> Result<(), ServiceError> {
        if self.status(unit)?.state == "inactive" {
            return Ok(());
        }
        self.runtime.block_on(self.job("stop", unit, self.manager.stop_unit(unit, "replace")))
    }

    fn restart_if_running(&self, unit: &str) -> Result<(), ServiceError> {
        if !self.status(unit)?.active {
            return Ok(());
        }
        self.runtime.block_on(self.job("restart", unit, self.manager.try_restart_unit(unit, "replace")))
    }

    fn reload(&self, unit: &str) -> Result<(), ServiceError> {
        self.runtime.block_on(self.job("reload", unit, self.manager.reload_unit(unit, "replace")))
    }

    fn status(&self, unit: &str) -> Result<UnitStatus, ServiceError> {
        let failed = |e: zbus::Error| ServiceError::new("look at", unit, describe(&e));
        self.runtime.block_on(async {
            let path = match self.manager.get_unit(unit).await {
                Ok(path) => path,
                // Not loaded: nothing of it runs.
                Err(error) if is_unknown(&error) => {
                    return Ok(UnitStatus { active: false, state: "inactive".into() });
                }
                Err(error) => return Err(failed(error)),
            };
            let unit = UnitProxy::builder(&self.connection)
                .path(path)
                .map_err(failed)?
                .cache_properties(zbus::proxy::CacheProperties::No)
                .build()
                .await
                .map_err(failed)?;
            let state = unit.active_state().await.map_err(failed)?;
            Ok(UnitStatus { active: matches!(state.as_str(), "active" | "reloading" | "activating"), state })
        })
    }

    fn running(&self, prefix: &str) -> Result<Vec<Running>, ServiceError> {
        let failed = |e: zbus::Error| ServiceError::new("list", prefix, describe(&e));
        self.runtime.block_on(async {
            let pattern = format!("{prefix}*.service");
            let units = self.manager.list_units_by_patterns(&["active"], &[pattern.as_str()]).await.map_err(failed)?;
            let mut running = Vec::new();
            for unit in units {
                let proxy = ServiceProxy::builder(&self.connection)
                    .path(unit.6)
                    .map_err(failed)?
                    .cache_properties(zbus::proxy::CacheProperties::No)
                    .build()
                    .await
                    .map_err(failed)?;
                // Stopped meanwhile: no main process.
                if let Ok(pid) = proxy.main_pid().await
                    && pid != 0
                {
                    running.push(Running { unit: unit.0, pid });
                }
            }
            Ok(running)
        })
    }

    fn active(&self, pattern: &str) -> Result<HashSet<String>, ServiceError> {
        self.runtime.block_on(async {
            let states = ["active", "reloading", "activating"];
            let units = self.manager.list_units_by_patterns(&states, &[pattern]).await;
            let units = units.map_err(|e| ServiceError::new("list", pattern, describe(&e)))?;
            Ok(units.into_iter().map(|unit| unit.0).collect())
        })
    }

    fn read_units_again(&self) -> Result<(), ServiceError> {
        let result = self.runtime.block_on(self.manager.reload());
        result.map_err(|e| ServiceError::new("reload unit files", "systemd", describe(&e)))
    }

    fn limit(&self, slice: &str, limits: &SliceLimits) -> Result<(), ServiceError> {
        if self.status(slice)?.state == "inactive" {
            return Ok(());
        }
        // Percent of a core → microseconds of CPU time per second; u64::MAX is "unlimited" for all of them.
        let cpu = limits.cpu_percent.map_or(u64::MAX, |percent| percent.saturating_mul(10_000));
        let properties = [
            ("CPUQuotaPerSecUSec", Value::U64(cpu)),
            ("MemoryMax", Value::U64(limits.memory_bytes.unwrap_or(u64::MAX))),
            ("TasksMax", Value::U64(limits.tasks.unwrap_or(u64::MAX))),
        ];
        let result = self.runtime.block_on(self.manager.set_unit_properties(slice, true, &properties));
        result.map_err(|e| ServiceError::new("set the limits of", slice, describe(&e)))
    }
    fn end_slice(&self, slice: &str) -> Result<(), ServiceError> {
        self.stop(slice)
    }
}
