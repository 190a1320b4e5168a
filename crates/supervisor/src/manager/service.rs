//! A service on its way up, and events of its processes.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::requests::failure;
use super::spawn::Role;
use super::{Main, Manager, Phase};
use crate::exec::{Report, read_ends, reports};
use crate::log::Level;
use crate::name::UnitName;
use crate::poller::{Id, Source};
use crate::proc::{self, ProcId};
use crate::protocol::{ErrorCode, Failure};
use crate::sys::{self, ExitStatus};
use crate::unit::{Command, ServiceType};
use crate::value::signal_name;

fn describe(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(c) => match exit_code_name(c) {
            Some(n) => format!("exited with code {c} ({n})"),
            None => format!("exited with code {c}"),
        },
        ExitStatus::Signal(s) => format!("was killed by {}", signal_name(s)),
        ExitStatus::Unknown => "ended; how is not known, as the supervisor was restarted meanwhile".into(),
    }
}

fn exit_code_name(code: i32) -> Option<&'static str> {
    Some(match code {
        200 => "CHDIR",
        203 => "EXEC",
        217 => "USER",
        218 => "CAPABILITIES",
        219 => "CGROUP",
        226 => "NAMESPACE",
        _ => return None,
    })
}

/// What systemd.service(5) calls a clean exit.
fn is_clean(status: ExitStatus) -> bool {
    match status {
        ExitStatus::Code(c) => c == 0,
        ExitStatus::Signal(s) => matches!(s, libc::SIGHUP | libc::SIGINT | libc::SIGTERM | libc::SIGPIPE),
        ExitStatus::Unknown => false,
    }
}

/// The number in a PID file, which may be anything that the service put there.
fn read_pid(path: &str) -> Option<i32> {
    crate::files::read(path.as_ref(), 32).ok()?.trim().parse().ok()
}

/// How many notifications of one unit are taken at once: others want to be heard too.
const MAX_NOTIFICATIONS: usize = 64;

impl Manager {
    pub(super) fn begin_service(&mut self, id: Id) {
        let Some(name) = self.units.get(&id).map(|u| u.name.clone()) else { return };
        let running = match self.prepare(&name) {
            Ok(r) => r,
            Err(reason) => return self.fail_plainly(id, &reason),
        };
        if let Some(n) = &running.notify
            && let Err(e) = self.poller.add(n, Source::Notify(id))
        {
            return self.fail_plainly(id, &format!("epoll: {e}"));
        }
        let deadline = running.deadline;
        let mut running = Box::new(running);
        running.sockets = self.take_sockets(&name);
        if let Some(u) = self.units.get_mut(&id) {
            u.service = Some(running);
        }
        self.set_phase(id, Phase::StartPre(0));
        self.clear_timer(id);
        if let Some(at) = deadline {
            self.set_timer(id, at);
        }
        self.next_pre(id, 0);
    }

    fn command(&self, id: Id, pick: impl Fn(&crate::unit::Service) -> Option<&Command>) -> Option<Command> {
        pick(&self.units.get(&id)?.service.as_deref()?.unit).cloned()
    }

    fn next_pre(&mut self, id: Id, n: usize) {
        match self.command(id, |s| s.start_pre.get(n)) {
            Some(c) => {
                self.set_phase(id, Phase::StartPre(n));
                if let Err(e) = self.spawn(id, &c, Role::Control) {
                    self.fail_start(id, format!("ExecStartPre={}: {e}", c.program));
                }
            }
            None => self.next_start(id, 0),
        }
    }

    fn next_start(&mut self, id: Id, n: usize) {
        let Some(c) = self.command(id, |s| s.start.get(n)) else { return self.oneshot_done(id) };
        self.set_phase(id, Phase::Start(n));
        if let Err(e) = self.spawn(id, &c, Role::Main) {
            self.fail_start(id, format!("ExecStart={}: {e}", c.program));
        }
    }

    fn oneshot_done(&mut self, id: Id) {
        let remains = self.units.get(&id).and_then(|u| u.service.as_ref()).is_some_and(|r| r.unit.remain_after_exit);
        if remains {
            self.clear_timer(id);
            self.set_phase(id, Phase::Exited);
            self.record(id);
            self.settle(id);
        } else {
            self.wind_down(id);
        }
    }

    /// Notes why a start failed, and ends what was started.
    pub(super) fn fail_start(&mut self, id: Id, reason: String) {
        if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
            r.result.get_or_insert(reason);
        }
        self.wind_down(id);
    }

    fn become_active(&mut self, id: Id) {
        self.clear_timer(id);
        self.set_phase(id, Phase::Active);
        if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
            r.up_since = Some(Instant::now());
            r.deadline = None;
            let ms = r.begun.elapsed().as_millis();
            let pid = r.main.as_ref().map_or(0, |m| m.id.pid);
            self.say(Level::Info, id, &format!("active, main process {pid}, after {ms} ms"));
        }
        self.record(id);
        self.settle(id);
    }

    /// The child reported, or executed its program.
    pub(crate) fn on_report(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let Some(r) = u.service.as_deref_mut() else { return };
        let Some((fd, buf)) = &mut r.report else { return };
        let mut chunk = [0u8; 4096];
        loop {
            match rustix::io::read(&*fd, &mut chunk) {
                Ok(0) => break,
                Ok(n) => buf.extend_from_slice(&chunk[..n]),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
        let text = std::mem::take(buf);
        r.report = None;
        let mut failed = false;
        let mut fresh = Vec::new();
        for report in reports(&text) {
            match report {
                Report::Note(n) if r.notes.contains(&n) => {}
                Report::Note(n) => {
                    fresh.push(n.clone());
                    r.notes.push(n);
                }
                Report::Failed(why) => {
                    failed = true;
                    r.result.get_or_insert(why);
                }
            }
        }
        let simple = matches!(r.unit.kind, ServiceType::Simple | ServiceType::Exec);
        let executed = !failed && simple && matches!(u.phase, Phase::Start(_));
        for n in fresh {
            self.say(Level::Warn, id, &n);
        }
        if executed {
            self.become_active(id);
        }
    }

    /// Reaps what ended: called on SIGCHLD.
    pub(crate) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = sys::wait_any(false) {
            self.helpers.remove(&pid);
            if let Some(id) = self.children.remove(&pid) {
                self.on_exit(id, pid, ExitStatus::from_wait(status));
            }
        }
    }

    /// A reaper reported that processes ended, or ended itself.
    pub(crate) fn on_reaper(&mut self, id: Id) {
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else { return };
        let mut all = Vec::new();
        r.reaper_pipes.retain(|p| {
            let (ends, closed) = read_ends(p);
            all.extend(ends);
            !closed
        });
        for (pid, status) in all {
            // By now, the number may belong to a process of another unit.
            if self.children.get(&pid) == Some(&id) {
                self.children.remove(&pid);
            }
            if self.is_awaited(id, pid) {
                self.on_exit(id, pid, ExitStatus::from_wait(status));
            }
        }
        if self.phase(id).is_stopping() {
            self.check_empty(id);
        }
    }

    /// Whether a process is the main or the control process of a unit.
    fn is_awaited(&self, id: Id, pid: i32) -> bool {
        let r = self.units.get(&id).and_then(|u| u.service.as_deref());
        r.is_some_and(|r| r.control.is_some_and(|c| c.pid == pid) || r.main.as_ref().is_some_and(|m| m.id.pid == pid))
    }

    /// The main process, which is not our child, ended.
    pub(crate) fn on_main_gone(&mut self, id: Id) {
        // It may have become our child meanwhile.
        self.reap();
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else { return };
        let Some(m) = &r.main else { return };
        if m.id.is_alive() {
            return;
        }
        if let Some(fd) = &m.pidfd {
            self.poller.remove(fd);
        }
        let pid = m.id.pid;
        self.children.remove(&pid);
        self.on_exit(id, pid, ExitStatus::Unknown);
    }

    fn on_exit(&mut self, id: Id, pid: i32, status: ExitStatus) {
        // What the child said comes before its end.
        self.on_report(id);
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else { return };
        if r.control.is_some_and(|c| c.pid == pid) {
            r.control = None;
            self.on_control_exit(id, status);
        } else if r.main.as_ref().is_some_and(|m| m.id.pid == pid) {
            r.main = None;
            self.on_main_exit(id, status);
        }
        if self.phase(id).is_stopping() {
            self.check_empty(id);
        }
    }

    fn on_control_exit(&mut self, id: Id, status: ExitStatus) {
        let ok = status == ExitStatus::Code(0);
        match self.phase(id) {
            Phase::StartPre(n) => {
                let Some(c) = self.command(id, |s| s.start_pre.get(n)) else { return };
                if ok || c.ignore_failure {
                    if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
                        r.result = None;
                    }
                    self.next_pre(id, n + 1);
                } else {
                    self.fail_start(id, format!("ExecStartPre={} {}", c.argv.join(" "), describe(status)));
                }
            }
            Phase::Reload(n) => {
                let Some(c) = self.command(id, |s| s.reload.get(n)) else { return };
                if ok || c.ignore_failure {
                    self.next_reload(id, n + 1);
                } else {
                    self.fail_reload(id, &format!("ExecReload={} {}", c.argv.join(" "), describe(status)));
                }
            }
            Phase::StopCommand(n) => self.next_stop_command(id, n + 1),
            _ => {}
        }
    }

    fn on_main_exit(&mut self, id: Id, status: ExitStatus) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let phase = u.phase;
        let Some(r) = u.service.as_deref_mut() else { return };
        let kind = r.unit.kind;
        let ignore = r.unit.start.first().is_some_and(|c| c.ignore_failure);
        let clean = ignore || is_clean(status);
        match phase {
            Phase::Start(n) if kind == ServiceType::Oneshot => {
                if status == ExitStatus::Code(0) || r.unit.start.get(n).is_some_and(|c| c.ignore_failure) {
                    r.result = None;
                    self.next_start(id, n + 1);
                } else {
                    self.fail_start(id, format!("the process {}", describe(status)));
                }
            }
            Phase::Start(_) if kind == ServiceType::Forking && status == ExitStatus::Code(0) => {
                r.awaiting_pid_file = true;
                self.find_forked_main(id);
            }
            Phase::Start(_) => {
                self.fail_start(id, format!("the process {} before it was ready", describe(status)));
            }
            Phase::Active | Phase::Reload(_) => {
                if !clean {
                    r.result.get_or_insert(format!("the main process {}", describe(status)));
                }
                self.say(Level::Info, id, &format!("the main process {}", describe(status)));
                self.wind_down(id);
            }
            _ => {}
        }
    }

    /// Reads `PIDFile=`. It may take the service a moment to write it.
    pub(super) fn find_forked_main(&mut self, id: Id) {
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else { return };
        let Some(path) = r.unit.pid_file.clone() else {
            r.awaiting_pid_file = false;
            return self.become_active(id);
        };
        let pid = read_pid(&path);
        // The file may be writable by the service: only a process of the unit counts.
        let process = pid.filter(|p| r.tracker.contains(*p)).and_then(ProcId::of);
        let next = Instant::now() + Duration::from_millis(20);
        let at = r.deadline.map_or(next, |d| d.min(next));
        if process.is_some_and(|p| self.set_main(id, p)) {
            if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
                r.awaiting_pid_file = false;
            }
            self.become_active(id);
        } else {
            self.set_timer(id, at);
        }
    }

    /// Takes a process as the main one that was not started as such. `false`: it has ended meanwhile.
    #[must_use]
    pub(super) fn set_main(&mut self, id: Id, process: ProcId) -> bool {
        // Without a handle nobody would tell us of its end.
        let Some(pidfd) = process.open() else { return false };
        if let Err(e) = self.poller.add(&pidfd, Source::Main(id)) {
            self.say(Level::Error, id, &format!("epoll: {e}"));
        }
        // A process that was orphaned to us is also reported by SIGCHLD, with its status.
        if proc::stat(process.pid).is_some_and(|s| s.parent == std::process::id() as i32) {
            self.children.insert(process.pid, id);
        }
        if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
            r.main = Some(Main { id: process, pidfd: Some(pidfd) });
        }
        true
    }

    /// sd_notify(3): `READY=1`, `MAINPID=`.
    pub(crate) fn on_notify(&mut self, id: Id) {
        for _ in 0..MAX_NOTIFICATIONS {
            let Some(r) = self.units.get(&id).and_then(|u| u.service.as_deref()) else { return };
            let Some(fd) = &r.notify else { return };
            let mut text = [0u8; 4096];
            let Some((length, sender)) = sys::receive(fd.as_fd(), &mut text) else { return };
            let is_main = sender.is_some() && sender == r.main.as_ref().map(|m| m.id.pid);
            let allowed = is_main || (r.unit.notify_all && sender.is_some_and(|p| r.tracker.contains(p)));
            if !allowed {
                continue;
            }
            let message = String::from_utf8_lossy(&text[..length]).into_owned();
            self.notified(id, &message);
        }
    }

    fn notified(&mut self, id: Id, message: &str) {
        for line in message.lines() {
            match line.split_once('=') {
                Some(("MAINPID", pid)) => {
                    let Some(r) = self.units.get(&id).and_then(|u| u.service.as_deref()) else { return };
                    let pid = pid.parse().ok().filter(|p| r.tracker.contains(*p));
                    let known = r.main.as_ref().map(|m| m.id.pid);
                    if let Some(p) = pid.filter(|p| Some(*p) != known).and_then(ProcId::of)
                        && self.set_main(id, p)
                    {
                        self.record(id);
                    }
                }
                Some(("READY", "1")) if matches!(self.phase(id), Phase::Start(_)) => self.become_active(id),
                _ => {}
            }
        }
    }

    /// `reload`: runs `ExecReload=`.
    pub(super) fn reload(&mut self, name: &UnitName) -> Result<Id, Failure> {
        let conflict = |why: &str| Err(failure(ErrorCode::Conflict, format!("{name} can't be reloaded: {why}")));
        let Some(id) = self.names.get(name.as_str()).copied() else { return conflict("it is not active; start it") };
        let commands = self.units.get(&id).and_then(|u| u.service.as_ref()).map_or(0, |r| r.unit.reload.len());
        match self.phase(id) {
            // A reload under way may have read the old configuration: run it again afterwards would be better, but a caller
            // that coalesces reloads never gets here.
            Phase::Reload(_) => conflict("a reload is under way; try again when it is done"),
            Phase::Active if commands == 0 => conflict("its unit file has no ExecReload=; restart it"),
            Phase::Active => {
                self.next_reload(id, 0);
                Ok(id)
            }
            _ => conflict("it is not active; start it"),
        }
    }

    fn next_reload(&mut self, id: Id, n: usize) {
        let Some(c) = self.command(id, |s| s.reload.get(n)) else {
            self.clear_timer(id);
            self.set_phase(id, Phase::Active);
            self.record(id);
            return self.settle(id);
        };
        let since = self.units.get(&id).map(|u| u.since);
        self.set_phase(id, Phase::Reload(n));
        // A reload is no new start.
        if let (Some(u), Some(since)) = (self.units.get_mut(&id), since) {
            u.since = since;
        }
        if n == 0 {
            let limit = self.units.get(&id).and_then(|u| u.service.as_ref()?.unit.timeout_start);
            if let Some(at) = limit.and_then(|t| Instant::now().checked_add(t)) {
                self.set_timer(id, at);
            }
        }
        if let Err(e) = self.spawn(id, &c, Role::Control) {
            self.fail_reload(id, &format!("ExecReload={}: {e}", c.program));
        }
    }

    /// The service goes on; those who asked are told.
    pub(super) fn fail_reload(&mut self, id: Id, reason: &str) {
        self.say(Level::Error, id, reason);
        self.clear_timer(id);
        self.set_phase(id, Phase::Active);
        self.record(id);
        let log = self.last_lines(id);
        let Some(u) = self.units.get_mut(&id) else { return };
        let detail = u.service.as_deref_mut().and_then(|r| r.result.take()).map_or(String::new(), |d| format!(": {d}"));
        let message = format!("{}: {reason}{detail}; it goes on as it was", u.name);
        let mut told = Vec::new();
        u.waiters.retain(|(to, want)| {
            if *want == super::Want::Reload {
                told.push(*to);
            }
            *want != super::Want::Reload
        });
        for to in told {
            let f = Failure { code: ErrorCode::Failed, message: message.clone(), log: log.clone() };
            self.replies.push((to, crate::protocol::Response::failure(f)));
        }
        self.settle(id);
    }

    /// The last lines that a unit wrote since it was started.
    pub(super) fn last_lines(&self, id: Id) -> Vec<String> {
        let log = self.units.get(&id).and_then(|u| u.service.as_ref()?.log.clone());
        log.map_or_else(Vec::new, |(path, from)| crate::log::tail(&path, from, 10))
    }
}
