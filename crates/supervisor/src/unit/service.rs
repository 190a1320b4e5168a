//! `[Service]`: what a service runs, and when it counts as started, stopped or failed.

use std::time::Duration;

use super::exec::{Exec, apply_exec};
use super::words::{Command, choice, extend_commands, opt_string};
use crate::value::{self, ValueError};

/// `Type=` of systemd.service(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceType {
    /// Active once the program was executed (here the same as `exec`).
    #[default]
    Simple,
    /// Active once the program was executed.
    Exec,
    /// Active when it sends `READY=1`, see sd_notify(3).
    Notify,
    /// Active when the first process exits; `PIDFile=` names the one that stays.
    Forking,
    /// Done when the process exits.
    Oneshot,
}

/// `Restart=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After a failure: an exit code other than 0, a signal other than TERM, INT, HUP, PIPE, or a time-out.
    OnFailure,
    /// Whenever it was not stopped on purpose.
    Always,
}

/// `KillMode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KillMode {
    /// The signal goes to all processes.
    #[default]
    ControlGroup,
    /// The signal goes to the main process, SIGKILL to what remains after it.
    Mixed,
}

/// `[Service]`: systemd.service(5), systemd.kill(5) and systemd.exec(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `Type=`.
    pub kind: ServiceType,
    /// `ExecStartPre=`.
    pub start_pre: Vec<Command>,
    /// `ExecStart=`: one, or several for oneshot.
    pub start: Vec<Command>,
    /// `ExecReload=`.
    pub reload: Vec<Command>,
    /// `ExecStop=`.
    pub stop: Vec<Command>,
    /// `KillSignal=`.
    pub kill_signal: i32,
    /// `KillMode=`.
    pub kill_mode: KillMode,
    /// `TimeoutStartSec=`; `None` is no limit.
    pub timeout_start: Option<Duration>,
    /// `TimeoutStopSec=`; `None` is no limit.
    pub timeout_stop: Option<Duration>,
    /// `Restart=`.
    pub restart: RestartPolicy,
    /// `RestartSec=`: the first delay; it doubles with every quick failure, up to 5 s.
    pub restart_delay: Duration,
    /// `PIDFile=`.
    pub pid_file: Option<String>,
    /// `RemainAfterExit=`.
    pub remain_after_exit: bool,
    /// `NotifyAccess=all`: any process of the unit may send notifications, not only the main one.
    pub notify_all: bool,
    /// How its processes run.
    pub exec: Exec,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            kind: ServiceType::Simple,
            start_pre: Vec::new(),
            start: Vec::new(),
            reload: Vec::new(),
            stop: Vec::new(),
            kill_signal: libc::SIGTERM,
            kill_mode: KillMode::ControlGroup,
            timeout_start: Some(Duration::from_secs(90)),
            timeout_stop: Some(Duration::from_secs(90)),
            restart: RestartPolicy::No,
            restart_delay: Duration::from_millis(100),
            pid_file: None,
            remain_after_exit: false,
            notify_all: false,
            exec: Exec::default(),
        }
    }
}

/// Applies an assignment of `[Service]`; `false`: the directive is not carried out here.
pub(super) fn apply_service(
    s: &mut Service,
    key: &str,
    v: &str,
    warnings: &mut Vec<String>,
) -> Result<bool, ValueError> {
    match key {
        "Type" => {
            s.kind = choice(
                v,
                &[
                    ("simple", ServiceType::Simple),
                    ("idle", ServiceType::Simple),
                    ("exec", ServiceType::Exec),
                    ("notify", ServiceType::Notify),
                    ("notify-reload", ServiceType::Notify),
                    ("forking", ServiceType::Forking),
                    ("oneshot", ServiceType::Oneshot),
                ],
                "simple, exec, notify, forking or oneshot",
            )?;
        }
        "ExecStartPre" => extend_commands(&mut s.start_pre, v)?,
        "ExecStart" => extend_commands(&mut s.start, v)?,
        "ExecReload" => extend_commands(&mut s.reload, v)?,
        "ExecStop" => extend_commands(&mut s.stop, v)?,
        "KillSignal" => s.kill_signal = value::signal(v)?,
        "KillMode" => {
            s.kill_mode = match v {
                "mixed" => KillMode::Mixed,
                "control-group" => KillMode::ControlGroup,
                "process" | "none" => {
                    warnings.push(format!("KillMode={v} would leave processes behind; control-group is used"));
                    KillMode::ControlGroup
                }
                _ => return Err(ValueError::Choice { value: v.to_owned(), allowed: "mixed or control-group" }),
            };
        }
        "TimeoutStartSec" => s.timeout_start = value::duration(v)?.filter(|d| !d.is_zero()),
        "TimeoutStopSec" => s.timeout_stop = value::duration(v)?.filter(|d| !d.is_zero()),
        "TimeoutSec" => {
            s.timeout_start = value::duration(v)?.filter(|d| !d.is_zero());
            s.timeout_stop = s.timeout_start;
        }
        "Restart" => {
            s.restart = choice(
                v,
                &[
                    ("no", RestartPolicy::No),
                    ("always", RestartPolicy::Always),
                    ("on-failure", RestartPolicy::OnFailure),
                    ("on-abnormal", RestartPolicy::OnFailure),
                    ("on-abort", RestartPolicy::OnFailure),
                    ("on-watchdog", RestartPolicy::OnFailure),
                ],
                "no, always or on-failure",
            )?;
        }
        "RestartSec" => s.restart_delay = value::duration(v)?.unwrap_or(Duration::MAX),
        "PIDFile" => s.pid_file = opt_string(v),
        "RemainAfterExit" => s.remain_after_exit = value::boolean(v)?,
        "NotifyAccess" => {
            s.notify_all = choice(v, &[("all", true), ("exec", true), ("main", false), ("none", false)], "main or all")?
        }
        _ => return apply_exec(&mut s.exec, key, v),
    }
    Ok(true)
}
