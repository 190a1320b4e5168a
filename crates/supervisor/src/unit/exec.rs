//! The environment in which a unit's processes run: systemd.exec(5).

use super::words::{
    Bind, OptPath, Tmpfs, choice, extend, extend_binds, extend_paths, extend_tmpfs, opt_path, opt_string,
};
use crate::caps::{self, CapSet};
use crate::value::{self, Limit, ValueError};

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

/// Applies an assignment that systemd.exec(5) describes; `false`: the directive is not carried out here.
pub(super) fn apply_exec(e: &mut Exec, key: &str, v: &str) -> Result<bool, ValueError> {
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
