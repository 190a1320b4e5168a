//! The meaning of unit files: which directives are carried out, and what they hold.
//!
//! A [`UnitFile`] is parsed once per template; its strings still hold specifiers. [`Service::instantiate`] and
//! [`Socket::instantiate`] replace them for one unit.

use std::path::PathBuf;
use std::time::Duration;

use crate::caps::{self, CapSet};
use crate::directives::{Class, class};
use crate::name::{SpecifierError, UnitName};
use crate::parse::Assignment;
use crate::value::{self, Limit, ValueError};

/// A directive that can't be read or obeyed, so that the unit must not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// The value is none.
    #[error("line {line}: {key}=: {source}")]
    Value {
        /// Where.
        line: usize,
        /// Which directive.
        key: String,
        /// What is wrong.
        source: ValueError,
    },
    /// The directive changes what would run, and is not supported.
    #[error(
        "line {line}: {key}= is not supported by wcp360-supervisor, and the unit would not be what it says without it; \
         remove it with a drop-in or run this unit under systemd"
    )]
    Refused {
        /// Where.
        line: usize,
        /// Which directive.
        key: String,
    },
}

/// A value that is wrong only for one instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// A specifier that is not supported.
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// A value that is none after the specifiers were replaced.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Something that the unit needs is not there.
    #[error("{0}")]
    Missing(&'static str),
}

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

/// `ProtectSystem=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtectSystem {
    /// Off.
    #[default]
    No,
    /// `/usr` and `/boot` are read-only.
    Yes,
    /// And `/etc`.
    Full,
    /// Everything but `/dev`, `/proc`, `/sys`.
    Strict,
}

/// `ProtectHome=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtectHome {
    /// Off.
    #[default]
    No,
    /// `/home`, `/root` and `/run/user` can't be entered.
    Yes,
    /// They are read-only.
    ReadOnly,
    /// They are empty.
    Tmpfs,
}

/// `StandardOutput=`, `StandardError=`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// The unit's log file, in the supervisor's log directory.
    #[default]
    Journal,
    /// `/dev/null`.
    Null,
    /// `append:FILE`.
    Append(String),
    /// For standard error: the same as standard output.
    Inherit,
}

/// A command line with its prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// `-`: a failure does not count.
    pub ignore_failure: bool,
    /// `+`: runs as root with all capabilities.
    pub full_privileges: bool,
    /// `:`: no `$VARIABLE` is replaced.
    pub literal: bool,
    /// The program.
    pub program: String,
    /// Its arguments, from `argv[0]` on.
    pub argv: Vec<String>,
}

/// A path that may be missing when `optional` (written with a leading `-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptPath {
    /// The path, absolute after instantiation.
    pub path: String,
    /// Skip it when it does not exist.
    pub optional: bool,
}

/// One entry of `BindPaths=` or `BindReadOnlyPaths=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// What is shown.
    pub source: String,
    /// Where.
    pub target: String,
    /// Not writable.
    pub read_only: bool,
    /// Skip it when the source does not exist.
    pub optional: bool,
    /// With the mounts beneath it (`rbind`, the default).
    pub recursive: bool,
}

/// One entry of `TemporaryFileSystem=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where.
    pub path: String,
    /// Read-only once everything is mounted in it.
    pub read_only: bool,
    /// `mode=`, `size=`, `nr_inodes=`, `uid=`, `gid=`.
    pub options: Vec<(String, String)>,
}

/// Which resource a `Limit…=` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// `LimitNOFILE=`: open files.
    OpenFiles,
    /// `LimitNPROC=`: processes of the user.
    Processes,
    /// `LimitCORE=`: size of core dumps, in bytes.
    Core,
}

/// The environment in which a unit's processes run: systemd.exec(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// `User=`.
    pub user: Option<String>,
    /// `Group=`.
    pub group: Option<String>,
    /// `SupplementaryGroups=`.
    pub supplementary_groups: Vec<String>,
    /// `Environment=`, as `NAME=value`.
    pub environment: Vec<String>,
    /// `EnvironmentFile=`.
    pub environment_files: Vec<OptPath>,
    /// `WorkingDirectory=`.
    pub working_directory: Option<OptPath>,
    /// `UMask=`.
    pub umask: u32,
    /// `LimitNOFILE=`, `LimitNPROC=`, `LimitCORE=`.
    pub limits: Vec<(LimitKind, Limit)>,
    /// `NoNewPrivileges=`.
    pub no_new_privileges: bool,
    /// `PrivateTmp=`.
    pub private_tmp: bool,
    /// `TemporaryFileSystem=`.
    pub tmpfs: Vec<Tmpfs>,
    /// `BindPaths=`, `BindReadOnlyPaths=`.
    pub binds: Vec<Bind>,
    /// `ReadOnlyPaths=`.
    pub read_only: Vec<OptPath>,
    /// `ReadWritePaths=`.
    pub read_write: Vec<OptPath>,
    /// `InaccessiblePaths=`.
    pub inaccessible: Vec<OptPath>,
    /// `ProtectSystem=`.
    pub protect_system: ProtectSystem,
    /// `ProtectHome=`.
    pub protect_home: ProtectHome,
    /// `PrivateDevices=`.
    pub private_devices: bool,
    /// `ProtectProc=`: the value for proc's `hidepid` option.
    pub hide_pid: Option<&'static str>,
    /// `ProcSubset=pid`.
    pub proc_subset_pid: bool,
    /// `RuntimeDirectory=`, beneath `/run`.
    pub runtime_directories: Vec<String>,
    /// `RuntimeDirectoryMode=`.
    pub runtime_directory_mode: u32,
    /// `CapabilityBoundingSet=`.
    pub bounding: Option<CapSet>,
    /// `AmbientCapabilities=`.
    pub ambient: Option<CapSet>,
    /// `OOMScoreAdjust=`.
    pub oom_score_adjust: Option<i32>,
    /// `StandardOutput=`.
    pub stdout: Output,
    /// `StandardError=`.
    pub stderr: Output,
}

impl Default for Exec {
    fn default() -> Self {
        Self {
            user: None,
            group: None,
            supplementary_groups: Vec::new(),
            environment: Vec::new(),
            environment_files: Vec::new(),
            working_directory: None,
            umask: 0o022,
            limits: Vec::new(),
            no_new_privileges: false,
            private_tmp: false,
            tmpfs: Vec::new(),
            binds: Vec::new(),
            read_only: Vec::new(),
            read_write: Vec::new(),
            inaccessible: Vec::new(),
            protect_system: ProtectSystem::No,
            protect_home: ProtectHome::No,
            private_devices: false,
            hide_pid: None,
            proc_subset_pid: false,
            runtime_directories: Vec::new(),
            runtime_directory_mode: 0o755,
            bounding: None,
            ambient: None,
            oom_score_adjust: None,
            stdout: Output::Journal,
            stderr: Output::Inherit,
        }
    }
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
    /// `RestartSec=`: the first delay; it doubles with every quick failure, up to 30 s.
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

/// `[Socket]`: systemd.socket(5), stream sockets in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// `ListenStream=`: a path.
    pub listen: String,
    /// `SocketUser=`.
    pub user: Option<String>,
    /// `SocketGroup=`.
    pub group: Option<String>,
    /// `SocketMode=`.
    pub mode: u32,
    /// `DirectoryMode=`: of missing parent directories.
    pub directory_mode: u32,
    /// `Backlog=`: connections that wait.
    pub backlog: i32,
    /// `RemoveOnStop=`.
    pub remove_on_stop: bool,
    /// `Service=`.
    pub service: Option<String>,
    /// `FileDescriptorName=`.
    pub fd_name: Option<String>,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            listen: String::new(),
            user: None,
            group: None,
            mode: 0o666,
            directory_mode: 0o755,
            backlog: 4096,
            remove_on_stop: false,
            service: None,
            fd_name: None,
        }
    }
}

/// A parsed unit file with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    /// `Description=`.
    pub description: String,
    /// `After=`.
    pub after: Vec<String>,
    /// `Requires=`.
    pub requires: Vec<String>,
    /// `Wants=`.
    pub wants: Vec<String>,
    /// `WantedBy=`.
    pub wanted_by: Vec<String>,
    /// `[Service]`, if there is one.
    pub service: Option<Service>,
    /// `[Socket]`, if there is one.
    pub socket: Option<Socket>,
    /// Directives that are known and not enforced here.
    pub not_enforced: Vec<String>,
    /// Directives and lines that were not understood.
    pub warnings: Vec<String>,
}

/// An empty value resets a list; another adds to it.
fn extend(list: &mut Vec<String>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
    } else {
        list.extend(value::words(v)?);
    }
    Ok(())
}

fn opt_string(v: &str) -> Option<String> {
    (!v.is_empty()).then(|| v.to_owned())
}

fn opt_path(word: &str) -> OptPath {
    let (optional, rest) = match word.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, word),
    };
    OptPath { path: rest.strip_prefix('+').unwrap_or(rest).to_owned(), optional }
}

fn extend_paths(list: &mut Vec<OptPath>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
    }
    list.extend(value::words(v)?.iter().map(|w| opt_path(w)));
    Ok(())
}

fn extend_commands(list: &mut Vec<Command>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
        return Ok(());
    }
    let mut words = value::words(v)?;
    if words.iter().any(|w| w == ";") {
        return Err(ValueError::Choice { value: ";".into(), allowed: "one command per line" });
    }
    let mut cmd = Command::default();
    let mut first = words.remove(0);
    let mut own_name = false;
    loop {
        match first.chars().next() {
            Some('-') => cmd.ignore_failure = true,
            Some('+') => cmd.full_privileges = true,
            Some(':') => cmd.literal = true,
            Some('@') => own_name = true,
            Some('!' | '|') => {
                return Err(ValueError::Choice { value: first, allowed: "the prefixes - + : @" });
            }
            _ => break,
        }
        first.remove(0);
    }
    if first.is_empty() {
        return Err(ValueError::Path(String::new()));
    }
    if !own_name {
        words.insert(0, first.clone());
    } else if words.is_empty() {
        return Err(ValueError::Choice { value: "@".into(), allowed: "@program name arguments…" });
    }
    cmd.program = first;
    cmd.argv = words;
    list.push(cmd);
    Ok(())
}

fn extend_binds(list: &mut Vec<Bind>, v: &str, read_only: bool) -> Result<(), ValueError> {
    if v.is_empty() {
        // systemd keeps one list for both directives.
        list.clear();
    }
    for word in value::words(v)? {
        let OptPath { path, optional } = opt_path(&word);
        let mut parts = path.splitn(3, ':');
        let source = parts.next().unwrap_or("").to_owned();
        let target = parts.next().filter(|t| !t.is_empty()).unwrap_or(&source).to_owned();
        let recursive = match parts.next() {
            None | Some("rbind") => true,
            Some("norbind") => false,
            Some(o) => return Err(ValueError::Choice { value: o.to_owned(), allowed: "rbind or norbind" }),
        };
        list.push(Bind { source, target, read_only, optional, recursive });
    }
    Ok(())
}

fn extend_tmpfs(list: &mut Vec<Tmpfs>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
    }
    for word in value::words(v)? {
        let (path, opts) = word.split_once(':').unwrap_or((&word, ""));
        let mut t = Tmpfs { path: path.to_owned(), read_only: false, options: Vec::new() };
        for o in opts.split(',').filter(|o| !o.is_empty()) {
            match o.split_once('=') {
                Some((k @ ("mode" | "size" | "nr_inodes" | "uid" | "gid"), val)) => {
                    t.options.push((k.to_owned(), val.to_owned()));
                }
                None if o == "ro" => t.read_only = true,
                None if matches!(o, "rw" | "nodev" | "nosuid" | "strictatime" | "noexec") => {}
                _ => {
                    return Err(ValueError::Choice {
                        value: o.to_owned(),
                        allowed: "ro, mode=, size=, nr_inodes=, uid=, gid=",
                    });
                }
            }
        }
        list.push(t);
    }
    Ok(())
}

fn output(v: &str) -> Result<Output, ValueError> {
    Ok(match v {
        "journal" | "journal+console" | "kmsg" | "syslog" => Output::Journal,
        "null" => Output::Null,
        "inherit" => Output::Inherit,
        _ => match v.strip_prefix("append:") {
            Some(f) => Output::Append(f.to_owned()),
            None => {
                return Err(ValueError::Choice {
                    value: v.to_owned(),
                    allowed: "journal, null, inherit or append:FILE",
                });
            }
        },
    })
}

fn choice<T: Copy>(v: &str, table: &[(&str, T)], allowed: &'static str) -> Result<T, ValueError> {
    table
        .iter()
        .find(|(n, _)| *n == v)
        .map(|(_, t)| *t)
        .ok_or_else(|| ValueError::Choice { value: v.chars().take(40).collect(), allowed })
}

impl UnitFile {
    /// Applies one assignment.
    ///
    /// # Errors
    /// When the value is wrong, or the directive changes what would run and is not supported.
    pub fn apply(&mut self, item: &Assignment) -> Result<(), DirectiveError> {
        let known = match item.section.as_str() {
            "Unit" => self.apply_unit(&item.key, &item.value),
            "Install" => self.apply_install(&item.key, &item.value),
            "Service" => {
                apply_service(self.service.get_or_insert_default(), &item.key, &item.value, &mut self.warnings)
            }
            "Socket" => apply_socket(self.socket.get_or_insert_default(), &item.key, &item.value),
            _ => Ok(false),
        }
        .map_err(|source| DirectiveError::Value { line: item.line, key: item.key.clone(), source })?;
        if known {
            return Ok(());
        }
        match class(&item.section, &item.key) {
            Class::Ignored => {}
            Class::NotEnforced if item.value.is_empty() => self.not_enforced.retain(|k| *k != item.key),
            Class::NotEnforced => {
                if !self.not_enforced.contains(&item.key) {
                    self.not_enforced.push(item.key.clone());
                }
            }
            Class::Refused if item.value.is_empty() || item.value == "no" => {}
            Class::Refused => return Err(DirectiveError::Refused { line: item.line, key: item.key.clone() }),
            Class::Unknown => {
                self.warnings
                    .push(format!("line {}: [{}] {}= is not known, ignored", item.line, item.section, item.key));
            }
        }
        Ok(())
    }

    fn apply_unit(&mut self, key: &str, v: &str) -> Result<bool, ValueError> {
        match key {
            "Description" => self.description = v.to_owned(),
            "After" => extend(&mut self.after, v)?,
            "Requires" => extend(&mut self.requires, v)?,
            "Wants" => extend(&mut self.wants, v)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn apply_install(&mut self, key: &str, v: &str) -> Result<bool, ValueError> {
        if key == "WantedBy" {
            extend(&mut self.wanted_by, v)?;
            return Ok(true);
        }
        Ok(false)
    }
}

fn apply_service(s: &mut Service, key: &str, v: &str, warnings: &mut Vec<String>) -> Result<bool, ValueError> {
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

fn apply_exec(e: &mut Exec, key: &str, v: &str) -> Result<bool, ValueError> {
    match key {
        "User" => e.user = opt_string(v),
        "Group" => e.group = opt_string(v),
        "SupplementaryGroups" => extend(&mut e.supplementary_groups, v)?,
        "Environment" => {
            extend(&mut e.environment, v)?;
            for a in &e.environment {
                value::env_assignment(a)?;
            }
        }
        "EnvironmentFile" if v.is_empty() => e.environment_files.clear(),
        "EnvironmentFile" => e.environment_files.push(opt_path(v)),
        "WorkingDirectory" => e.working_directory = (!v.is_empty()).then(|| opt_path(v)),
        "UMask" => e.umask = value::mode(v)?,
        "LimitNOFILE" => e.limits.push((LimitKind::OpenFiles, value::limit(v)?)),
        "LimitNPROC" => e.limits.push((LimitKind::Processes, value::limit(v)?)),
        "LimitCORE" => e.limits.push((LimitKind::Core, value::limit(v)?)),
        "NoNewPrivileges" => e.no_new_privileges = value::boolean(v)?,
        "PrivateTmp" => e.private_tmp = v == "disconnected" || value::boolean(v)?,
        "TemporaryFileSystem" => extend_tmpfs(&mut e.tmpfs, v)?,
        "BindPaths" => extend_binds(&mut e.binds, v, false)?,
        "BindReadOnlyPaths" => extend_binds(&mut e.binds, v, true)?,
        "ReadOnlyPaths" | "ReadOnlyDirectories" => extend_paths(&mut e.read_only, v)?,
        "ReadWritePaths" | "ReadWriteDirectories" => extend_paths(&mut e.read_write, v)?,
        "InaccessiblePaths" | "InaccessibleDirectories" => extend_paths(&mut e.inaccessible, v)?,
        "ProtectSystem" => {
            e.protect_system = match v {
                "full" => ProtectSystem::Full,
                "strict" => ProtectSystem::Strict,
                _ if value::boolean(v)? => ProtectSystem::Yes,
                _ => ProtectSystem::No,
            };
        }
        "ProtectHome" => {
            e.protect_home = match v {
                "read-only" => ProtectHome::ReadOnly,
                "tmpfs" => ProtectHome::Tmpfs,
                _ if value::boolean(v)? => ProtectHome::Yes,
                _ => ProtectHome::No,
            };
        }
        "PrivateDevices" => e.private_devices = value::boolean(v)?,
        "ProtectProc" => {
            e.hide_pid = choice(
                v,
                &[
                    ("default", None),
                    ("noaccess", Some("noaccess")),
                    ("invisible", Some("invisible")),
                    ("ptraceable", Some("ptraceable")),
                ],
                "invisible, noaccess, ptraceable or default",
            )?;
        }
        "ProcSubset" => e.proc_subset_pid = choice(v, &[("all", false), ("pid", true)], "all or pid")?,
        "RuntimeDirectory" => extend(&mut e.runtime_directories, v)?,
        "RuntimeDirectoryMode" => e.runtime_directory_mode = value::mode(v)?,
        "CapabilityBoundingSet" => e.bounding = Some(caps::assign(e.bounding, v, caps::ALL)?),
        "AmbientCapabilities" => e.ambient = Some(caps::assign(e.ambient, v, 0)?),
        "OOMScoreAdjust" => {
            let n: i32 = v.parse().map_err(|_| ValueError::Number(v.to_owned()))?;
            if !(-1000..=1000).contains(&n) {
                return Err(ValueError::Number(v.to_owned()));
            }
            e.oom_score_adjust = Some(n);
        }
        "StandardOutput" => e.stdout = output(v)?,
        "StandardError" => e.stderr = output(v)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn apply_socket(s: &mut Socket, key: &str, v: &str) -> Result<bool, ValueError> {
    match key {
        "ListenStream" => {
            if !v.is_empty() && !v.starts_with('/') {
                return Err(ValueError::Choice { value: v.to_owned(), allowed: "the path of a Unix socket" });
            }
            if !v.is_empty() && !s.listen.is_empty() {
                return Err(ValueError::Choice { value: v.to_owned(), allowed: "one ListenStream= per unit" });
            }
            s.listen = v.to_owned();
        }
        "SocketUser" => s.user = opt_string(v),
        "SocketGroup" => s.group = opt_string(v),
        "SocketMode" => s.mode = value::mode(v)?,
        "DirectoryMode" => s.directory_mode = value::mode(v)?,
        "Backlog" => {
            let n: u32 = v.parse().map_err(|_| ValueError::Number(v.to_owned()))?;
            s.backlog = i32::try_from(n).unwrap_or(i32::MAX);
        }
        "RemoveOnStop" => s.remove_on_stop = value::boolean(v)?,
        "Service" => s.service = opt_string(v),
        "FileDescriptorName" => s.fd_name = opt_string(v),
        "Accept" => {
            if value::boolean(v)? {
                return Err(ValueError::Choice { value: v.to_owned(), allowed: "Accept=no" });
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn abs(name: &UnitName, v: &mut String) -> Result<(), InstanceError> {
    let expanded = name.expand(v)?;
    *v = value::path(&expanded)?.to_string_lossy().into_owned();
    Ok(())
}

fn expand_all(name: &UnitName, list: &mut [String]) -> Result<(), InstanceError> {
    for v in list {
        *v = name.expand(v)?;
    }
    Ok(())
}

impl Service {
    /// The service of one unit: specifiers replaced, paths checked.
    ///
    /// # Errors
    /// On an unknown specifier, a relative path, or when there is nothing to run.
    pub fn instantiate(&self, name: &UnitName) -> Result<Self, InstanceError> {
        let mut s = self.clone();
        if s.start.is_empty() {
            return Err(InstanceError::Missing("the unit has no ExecStart="));
        }
        if s.start.len() > 1 && s.kind != ServiceType::Oneshot {
            return Err(InstanceError::Missing("more than one ExecStart= needs Type=oneshot"));
        }
        for c in s.start_pre.iter_mut().chain(&mut s.start).chain(&mut s.reload).chain(&mut s.stop) {
            c.program = name.expand(&c.program)?;
            if c.program.contains('/') {
                c.program = value::path(&c.program)?.to_string_lossy().into_owned();
            }
            expand_all(name, &mut c.argv)?;
        }
        if let Some(p) = &mut s.pid_file {
            *p = name.expand(p)?;
            if !p.starts_with('/') {
                *p = format!("/run/{p}");
            }
            abs(name, p)?;
        }
        let e = &mut s.exec;
        for v in [&mut e.user, &mut e.group].into_iter().flatten() {
            *v = name.expand(v)?;
        }
        expand_all(name, &mut e.supplementary_groups)?;
        expand_all(name, &mut e.environment)?;
        for p in
            e.environment_files.iter_mut().chain(&mut e.read_only).chain(&mut e.read_write).chain(&mut e.inaccessible)
        {
            abs(name, &mut p.path)?;
        }
        if let Some(w) = &mut e.working_directory
            && w.path != "~"
        {
            abs(name, &mut w.path)?;
        }
        for b in &mut e.binds {
            abs(name, &mut b.source)?;
            abs(name, &mut b.target)?;
        }
        for t in &mut e.tmpfs {
            abs(name, &mut t.path)?;
            for (_, v) in &mut t.options {
                *v = name.expand(v)?;
            }
        }
        for d in &mut e.runtime_directories {
            *d = name.expand(d)?;
            let whole = value::path(&format!("/{d}"))?;
            if d.starts_with('/') || whole.parent().is_none() {
                return Err(ValueError::Path(d.clone()).into());
            }
        }
        for o in [&mut e.stdout, &mut e.stderr] {
            if let Output::Append(f) = o {
                abs(name, f)?;
            }
        }
        Ok(s)
    }
}

impl Socket {
    /// The socket of one unit: specifiers replaced, the path checked.
    ///
    /// # Errors
    /// On an unknown specifier, or no path that a socket can be bound to (107 bytes at most).
    pub fn instantiate(&self, name: &UnitName) -> Result<Self, InstanceError> {
        let mut s = self.clone();
        if s.listen.is_empty() {
            return Err(InstanceError::Missing("the unit has no ListenStream="));
        }
        abs(name, &mut s.listen)?;
        if s.listen.len() > 107 {
            return Err(InstanceError::Missing("the path of ListenStream= is longer than 107 bytes"));
        }
        for v in [&mut s.user, &mut s.group, &mut s.service, &mut s.fd_name].into_iter().flatten() {
            *v = name.expand(v)?;
        }
        Ok(s)
    }
}

impl Socket {
    /// The path as a `PathBuf`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(&self.listen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::parse::parse;
    use proptest::prelude::*;

    fn load(text: &str) -> Result<UnitFile, DirectiveError> {
        let mut f = UnitFile::default();
        for i in parse(text).items {
            f.apply(&i)?;
        }
        Ok(f)
    }

    #[test]
    fn a_php_service() {
        let f = load(
            "[Unit]\nDescription=PHP\nRequires=%p@%i.socket\n[Service]\nType=notify\nUser=%i\nGroup=%i\n\
             Environment=FPM_SOCKETS=/run/x/%i.sock=3 \"A=b c\"\nExecStart=/usr/sbin/php-fpm8.2 -F -y /etc/x/%i.conf\n\
             KillMode=mixed\nKillSignal=SIGQUIT\nTemporaryFileSystem=/srv/www:ro\nBindPaths=/srv/www/%i\nPrivateTmp=yes\n\
             MemoryMax=256M\nCPUQuota=50%\nCPUQuota=\nSlcie=x\nCapabilityBoundingSet=\nProtectProc=invisible\n",
        )
        .unwrap();
        assert_eq!(f.not_enforced, ["MemoryMax"]);
        assert_eq!(f.warnings.len(), 1);
        let s = f.service.unwrap().instantiate(&UnitName::parse("php@alice.service").unwrap()).unwrap();
        assert_eq!(s.exec.user.as_deref(), Some("alice"));
        assert_eq!(s.exec.environment, ["FPM_SOCKETS=/run/x/alice.sock=3", "A=b c"]);
        assert_eq!(s.exec.binds[0].target, "/srv/www/alice");
        assert!(s.exec.tmpfs[0].read_only);
        assert_eq!(s.exec.bounding, Some(0));
        assert_eq!(s.kill_signal, libc::SIGQUIT);
        assert_eq!(s.start[0].argv[3], "/etc/x/alice.conf");
    }

    #[test]
    fn refused_and_wrong() {
        assert!(matches!(load("[Service]\nRootDirectory=/x\n"), Err(DirectiveError::Refused { line: 2, .. })));
        assert!(load("[Service]\nRootDirectory=\n").is_ok());
        for bad in [
            "[Service]\nUMask=9",
            "[Service]\nPrivateTmp=maybe",
            "[Service]\nType=dbus",
            "[Socket]\nListenStream=80",
            "[Socket]\nAccept=yes",
            "[Service]\nExecStart=!/bin/x",
            "[Service]\nStandardOutput=tty",
            "[Service]\nTemporaryFileSystem=/x:bogus",
            "[Service]\nOOMScoreAdjust=2000",
            "[Service]\nExecStart=/a ; /b",
        ] {
            assert!(load(bad).is_err(), "{bad}");
        }
        let n = UnitName::parse("a.service").unwrap();
        for bad in
            ["[Service]\nUser=x", "[Service]\nExecStart=/bin/%h", "[Service]\nExecStart=/a\nBindPaths=/srv/../etc"]
        {
            assert!(load(bad).unwrap().service.unwrap().instantiate(&n).is_err(), "{bad}");
        }
    }

    #[test]
    fn command_prefixes_and_reset() {
        let f = load("[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=-@:/bin/b bee -x\n").unwrap();
        let c = &f.service.unwrap().start[..];
        assert_eq!(c.len(), 1);
        assert!(c[0].ignore_failure && c[0].literal);
        assert_eq!((c[0].program.as_str(), c[0].argv.join(" ").as_str()), ("/bin/b", "bee -x"));
    }

    proptest! {
        #[test]
        fn no_input_panics(key in "(ExecStart|BindPaths|TemporaryFileSystem|Environment|CapabilityBoundingSet|ListenStream|Restart|UMask)",
                           v in "[-+:@!%a-z0-9/=,. \"'\\\\]{0,60}", section in "(Service|Socket|Unit|Install)") {
            if let Ok(f) = load(&format!("[{section}]\n{key}={v}\n")) {
                let n = UnitName::parse("a@b.service").unwrap();
                if let Some(s) = f.service { let _ = s.instantiate(&n); }
                if let Some(s) = f.socket { let _ = s.instantiate(&n); }
            }
        }

        #[test]
        fn instances_stay_beneath(i in "[a-z0-9_-]{1,12}") {
            let f = load("[Service]\nExecStart=/bin/a\nBindPaths=/srv/www/%i\n").unwrap();
            let s = f.service.unwrap().instantiate(&UnitName::parse(&format!("p@{i}.service")).unwrap()).unwrap();
            prop_assert_eq!(s.exec.binds[0].source.clone(), format!("/srv/www/{i}"));
        }
    }
}
