//! Capabilities by name: capabilities(7), `CapabilityBoundingSet=` and `AmbientCapabilities=` of systemd.exec(5).

use crate::value::ValueError;

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
pub type CapSet = u64;

/// Every capability, also those younger than this program.
pub const ALL: CapSet = u64::MAX;

/// `CAP_MKNOD` and `CAP_SYS_RAWIO`, which `PrivateDevices=` takes away.
pub const DEVICES: CapSet = (1 << 27) | (1 << 17);

fn list(v: &str) -> Result<CapSet, ValueError> {
    let mut set = 0;
    for word in v.split_whitespace() {
        let name = word.strip_prefix("CAP_").unwrap_or("");
        let bit = NAMES.iter().position(|n| *n == name).ok_or_else(|| ValueError::Choice {
            value: word.chars().take(40).collect(),
            allowed: "names such as CAP_NET_BIND_SERVICE",
        })?;
        set |= 1 << bit;
    }
    Ok(set)
}

/// Applies one assignment to a set: a list is added, `~list` is taken away, empty resets to nothing. `None` stands for “never
/// assigned”; a first `~list` then takes from everything, as systemd does.
///
/// # Errors
/// On an unknown name.
pub fn assign(current: Option<CapSet>, v: &str, unset: CapSet) -> Result<CapSet, ValueError> {
    if v.is_empty() {
        return Ok(0);
    }
    match v.strip_prefix('~') {
        Some("") => Ok(ALL),
        Some(rest) => Ok(current.unwrap_or(unset) & !list(rest)?),
        None => Ok(current.unwrap_or(0) | list(v)?),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        assert_eq!(assign(None, "CAP_CHOWN CAP_KILL", ALL).unwrap(), 0b10_0001);
        assert_eq!(assign(None, "~CAP_CHOWN", ALL).unwrap(), ALL & !1);
        assert_eq!(assign(Some(3), "", ALL).unwrap(), 0);
        assert_eq!(assign(Some(1), "CAP_DAC_OVERRIDE", ALL).unwrap(), 3);
        assert!(assign(None, "CAP_NOPE", ALL).is_err());
        assert!(assign(None, "CHOWN", ALL).is_err());
        assert_eq!(NAMES[27], "MKNOD");
        assert_eq!(NAMES[17], "SYS_RAWIO");
        assert_eq!(NAMES[40], "CHECKPOINT_RESTORE");
    }
}
