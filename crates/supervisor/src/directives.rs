//! What the supervisor knows of systemd's directives beyond those it carries out: see [`class`].
//!
//! | class | meaning | in `status` |
//! |---|---|---|
//! | supported | carried out; the list is the `match` in [`crate::unit`] | |
//! | not enforced | a limit or an isolation that needs PID 1, cgroup controllers or seccomp; the unit runs without it | `not_enforced` |
//! | ignored | has no effect on a machine without systemd, or none that matters here | |
//! | refused | running the unit without it would run something else than what was meant: the unit does not start | error |
//! | unknown | not in any list | `warnings` |

/// How a directive that is not carried out is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Known, has no effect here and none is missed.
    Ignored,
    /// Known, wanted, and not done here: reported by `status`.
    NotEnforced,
    /// The unit can't be run faithfully without it.
    Refused,
    /// Never heard of: a warning.
    Unknown,
}

const IGNORED_UNIT: &[&str] = &[
    "Documentation",
    "Before",
    "PartOf",
    "BindsTo",
    "Requisite",
    "Conflicts",
    "Upholds",
    "OnFailure",
    "OnSuccess",
    "DefaultDependencies",
    "StartLimitIntervalSec",
    "StartLimitInterval",
    "StartLimitBurst",
    "StartLimitAction",
    "RequiresMountsFor",
    "WantsMountsFor",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "CollectMode",
    "PropagatesReloadTo",
    "ReloadPropagatedFrom",
    "JoinsNamespaceOf",
    "AllowIsolate",
    "IgnoreOnIsolate",
    "SourcePath",
    "JobTimeoutSec",
    "JobRunningTimeoutSec",
    "FailureAction",
    "SuccessAction",
    "RebootArgument",
];

const IGNORED_SERVICE: &[&str] = &[
    "Slice",
    "SyslogIdentifier",
    "SyslogFacility",
    "SyslogLevel",
    "SyslogLevelPrefix",
    "LogLevelMax",
    "LogNamespace",
    "LogRateLimitIntervalSec",
    "LogRateLimitBurst",
    "LogExtraFields",
    "StartLimitInterval",
    "StartLimitBurst",
    "StandardInput",
    "TTYPath",
    "GuessMainPID",
    "FinalKillSignal",
    "SendSIGHUP",
    "SendSIGKILL",
    "Delegate",
    "BusName",
    "FileDescriptorStoreMax",
    "FileDescriptorStorePreserve",
    "Sockets",
    "CPUAccounting",
    "MemoryAccounting",
    "TasksAccounting",
    "IOAccounting",
    "IPAccounting",
    "OOMPolicy",
    "ManagedOOMSwap",
    "ManagedOOMMemoryPressure",
    "ManagedOOMMemoryPressureLimit",
    "ManagedOOMPreference",
    "MemoryPressureWatch",
    "NonBlocking",
    "ProcSubset",
    "RestartSteps",
    "RestartMaxDelaySec",
    "TimeoutAbortSec",
    "TimerSlackNSec",
    "UnsetEnvironment",
    "PassEnvironment",
    "Personality",
    "IgnoreSIGPIPE",
    "UtmpIdentifier",
    "UtmpMode",
    "MountFlags",
    "MountAPIVFS",
    "CoredumpFilter",
    "KeyringMode",
    "RestartPreventExitStatus",
    "RestartForceExitStatus",
    "TimeoutStartFailureMode",
    "TimeoutStopFailureMode",
    "RuntimeMaxSec",
    "RuntimeRandomizedExtraSec",
    "RootDirectoryStartOnly",
];

const NOT_ENFORCED: &[&str] = &[
    // cgroup controllers: systemd.resource-control(5)
    "CPUWeight",
    "StartupCPUWeight",
    "CPUQuota",
    "CPUQuotaPeriodSec",
    "AllowedCPUs",
    "AllowedMemoryNodes",
    "CPUShares",
    "MemoryMin",
    "MemoryLow",
    "MemoryHigh",
    "MemoryMax",
    "MemorySwapMax",
    "MemoryZSwapMax",
    "MemoryLimit",
    "TasksMax",
    "IOWeight",
    "IODeviceWeight",
    "IOReadBandwidthMax",
    "IOWriteBandwidthMax",
    "IOReadIOPSMax",
    "IOWriteIOPSMax",
    "IODeviceLatencyTargetSec",
    "BlockIOWeight",
    "DevicePolicy",
    "DeviceAllow",
    "DisableControllers",
    // network filters, BPF
    "IPAddressAllow",
    "IPAddressDeny",
    "IPIngressFilterPath",
    "IPEgressFilterPath",
    "BPFProgram",
    "SocketBindAllow",
    "SocketBindDeny",
    "RestrictNetworkInterfaces",
    "PrivateNetwork",
    "NetworkNamespacePath",
    "NFTSet",
    // seccomp
    "SystemCallFilter",
    "SystemCallErrorNumber",
    "SystemCallArchitectures",
    "SystemCallLog",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RestrictFileSystems",
    "MemoryDenyWriteExecute",
    "LockPersonality",
    // namespaces and kernel knobs that are not set up here
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectControlGroups",
    "ProtectClock",
    "ProtectHostname",
    "PrivateUsers",
    "PrivateIPC",
    "PrivatePIDs",
    "PrivateMounts",
    "RemoveIPC",
    "NoExecPaths",
    "ExecPaths",
    "ExtensionImages",
    "ExtensionDirectories",
    "SELinuxContext",
    "AppArmorProfile",
    "SmackProcessLabel",
    "SecureBits",
    // scheduling and further limits
    "Nice",
    "CPUSchedulingPolicy",
    "CPUSchedulingPriority",
    "CPUSchedulingResetOnFork",
    "CPUAffinity",
    "NUMAPolicy",
    "NUMAMask",
    "IOSchedulingClass",
    "IOSchedulingPriority",
    "LimitCPU",
    "LimitFSIZE",
    "LimitDATA",
    "LimitSTACK",
    "LimitRSS",
    "LimitAS",
    "LimitMEMLOCK",
    "LimitLOCKS",
    "LimitSIGPENDING",
    "LimitMSGQUEUE",
    "LimitNICE",
    "LimitRTPRIO",
    "LimitRTTIME",
    "WatchdogSec",
    "WatchdogSignal",
    // directories
    "StateDirectory",
    "StateDirectoryMode",
    "CacheDirectory",
    "CacheDirectoryMode",
    "LogsDirectory",
    "LogsDirectoryMode",
    "ConfigurationDirectory",
    "ConfigurationDirectoryMode",
    "RuntimeDirectoryPreserve",
    // further commands
    "ExecStartPost",
    "ExecStopPost",
    "ExecCondition",
];

const REFUSED: &[&str] = &[
    "RootDirectory",
    "RootImage",
    "RootHash",
    "RootVerity",
    "MountImages",
    "DynamicUser",
    "PAMName",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "SetCredential",
    "SetCredentialEncrypted",
    "ImportCredential",
];

const REFUSED_SOCKET: &[&str] = &[
    "ListenDatagram",
    "ListenSequentialPacket",
    "ListenFIFO",
    "ListenSpecial",
    "ListenNetlink",
    "ListenMessageQueue",
    "ListenUSBFunction",
    "ExecStartPre",
    "ExecStartPost",
    "ExecStopPre",
    "ExecStopPost",
];

const NOT_ENFORCED_SOCKET: &[&str] =
    &["MaxConnections", "MaxConnectionsPerSource", "SELinuxContextFromNet", "Symlinks"];

const IGNORED_SOCKET: &[&str] = &[
    "FlushPending",
    "TriggerLimitIntervalSec",
    "TriggerLimitBurst",
    "PollLimitIntervalSec",
    "PollLimitBurst",
    "TimeoutSec",
    "ReceiveBuffer",
    "SendBuffer",
    "PassCredentials",
    "PassSecurity",
    "PassPacketInfo",
    "Timestamping",
    "Priority",
    "Mark",
    "NoDelay",
    "KeepAlive",
    "DeferAcceptSec",
    "ReusePort",
    "Transparent",
    "FreeBind",
    "Broadcast",
    "IPTOS",
    "IPTTL",
    "Slice",
    "BindIPv6Only",
    "BindToDevice",
    "Writable",
    "PipeSize",
];

/// How a directive of a section, not carried out by the supervisor, is treated.
#[must_use]
pub fn class(section: &str, key: &str) -> Class {
    let has = |list: &[&str]| list.contains(&key);
    if section.starts_with("X-") || key.starts_with("X-") {
        return Class::Ignored;
    }
    match section {
        "Unit" if has(IGNORED_UNIT) => Class::Ignored,
        "Unit" if key.starts_with("Condition") || key.starts_with("Assert") => Class::NotEnforced,
        "Install" if matches!(key, "RequiredBy" | "Also" | "Alias" | "DefaultInstance" | "UpheldBy") => Class::Ignored,
        "Service" if has(REFUSED) => Class::Refused,
        "Service" if has(NOT_ENFORCED) => Class::NotEnforced,
        "Service" if has(IGNORED_SERVICE) => Class::Ignored,
        "Socket" if has(REFUSED_SOCKET) => Class::Refused,
        "Socket" if has(NOT_ENFORCED_SOCKET) => Class::NotEnforced,
        "Socket" if has(IGNORED_SOCKET) => Class::Ignored,
        _ => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(class("Service", "MemoryMax"), Class::NotEnforced);
        assert_eq!(class("Service", "RootDirectory"), Class::Refused);
        assert_eq!(class("Service", "Slice"), Class::Ignored);
        assert_eq!(class("Service", "Slcie"), Class::Unknown);
        assert_eq!(class("X-WCP360", "Anything"), Class::Ignored);
        assert_eq!(class("Unit", "ConditionPathExists"), Class::NotEnforced);
    }
}
