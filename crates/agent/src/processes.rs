//! Ending what an account still runs.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How long a process may take to end when it is killed: it may be stuck in the kernel.
const KILL: Duration = Duration::from_secs(5);

/// Processes whose real owner, as /proc shows it, is `uid`.
fn of(uid: u32) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            belongs(pid, uid).then_some(pid)
        })
        .collect()
}

/// A zombie belongs to nobody: nothing of it runs.
fn belongs(pid: Pid, uid: u32) -> bool {
    let dir = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(meta) = std::fs::metadata(&dir) else { return false };
    // The directory of a process that can't be dumped belongs to root: the status has the truth.
    let owner = if meta.uid() == uid {
        true
    } else {
        let status = std::fs::read_to_string(format!("{dir}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or("");
        line.split_whitespace().any(|field| field.parse() == Ok(uid))
    };
    owner
        && !std::fs::read_to_string(format!("{dir}/stat"))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// Ends every process of `uid`: asks first, then kills. Returns how many are left, which is none unless the kernel holds
/// one.
///
/// Signals go to descriptors of processes whose owner was looked at after they were opened, so that a process id that
/// was given again meanwhile can't be hit.
pub(crate) fn end_all_of(uid: u32) -> usize {
    if uid == 0 {
        return 0;
    }
    for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, KILL)] {
        let started = Instant::now();
        loop {
            let pids = of(uid);
            if pids.is_empty() {
                return 0;
            }
            // Asking once is enough; killing is repeated, because a process may have forked meanwhile.
            let first = started.elapsed() < Duration::from_millis(5);
            for pid in pids {
                if (first || signal == Signal::KILL)
                    && let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
                    && belongs(pid, uid)
                {
                    let _ = pidfd_send_signal(fd, signal);
                }
            }
            if started.elapsed() > patience {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    of(uid).len()
}
