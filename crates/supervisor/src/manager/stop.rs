//! A service on its way down: commands, signals, and what happens when no process is left.

use std::time::{Duration, Instant};

use super::spawn::Role;
use super::{Manager, Phase};
use crate::log::{Level, now_ms};
use crate::name::UnitKind;
use crate::poller::Id;
use crate::protocol::{ErrorCode, Failure};
use crate::unit::{KillMode, RestartPolicy};

/// The longest delay between automatic restarts, unless `RestartSec=` is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A service that was up for this long is not failing quickly. Short: the panel is to be back soon, however often it is killed,
/// and a service that dies every few seconds costs little, as `RestartSec=` is kept to.
const STEADY: Duration = Duration::from_secs(3);
/// How long SIGKILL may take before the unit is reported.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait before the next restart: `RestartSec=`, doubled with every quick failure before.
fn backoff(base: Duration, quick: u8) -> Duration {
    let cap = base.max(MAX_BACKOFF);
    base.checked_mul(1 << quick.min(16)).map_or(cap, |d| d.min(cap))
}

impl Manager {
    /// Stops a unit on purpose.
    pub(super) fn stop(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        u.again = false;
        u.wanted_down = true;
        // Who waits for it to come up waits in vain.
        let mut told = Vec::new();
        u.waiters.retain(|(to, want)| {
            if *want != super::Want::Stop {
                told.push(*to);
            }
            *want == super::Want::Stop
        });
        let message = format!("{} was stopped by another request meanwhile", u.name);
        for to in told {
            self.replies.push((to, crate::protocol::Response::failed(ErrorCode::Cancelled, message.clone())));
        }
        self.stop_any(id);
    }

    pub(super) fn stop_for_restart(&mut self, id: Id) {
        if let Some(u) = self.units.get_mut(&id) {
            u.wanted_down = true;
        }
        self.stop_any(id);
    }

    fn stop_any(&mut self, id: Id) {
        let Some(u) = self.units.get(&id) else { return };
        match (u.name.kind(), u.phase) {
            (_, Phase::Dead) => {
                // A failed unit that is stopped is no longer failed in anybody's eyes.
                if let Some(u) = self.units.get_mut(&id) {
                    u.wanted_down = false;
                    u.failure = None;
                }
            }
            (_, Phase::WaitDeps | Phase::AutoRestart) => {
                self.clear_timer(id);
                self.blocked.retain(|(i, _, _)| *i != id);
                if let Some(u) = self.units.get_mut(&id) {
                    u.failure = None;
                }
                self.went_down(id, None);
            }
            (UnitKind::Socket, _) => self.close_socket(id),
            (UnitKind::Target, _) => self.went_down(id, None),
            (UnitKind::Service, Phase::StopCommand(_) | Phase::StopSignal | Phase::StopKill) => {}
            (UnitKind::Service, Phase::StartPre(_) | Phase::Start(_)) => self.send_stop_signal(id),
            (UnitKind::Service, _) => self.next_stop_command(id, 0),
        }
    }

    fn set_stop_deadline(&mut self, id: Id) {
        if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
            r.deadline = r.unit.timeout_stop.and_then(|t| Instant::now().checked_add(t));
            r.poll = Duration::from_millis(2);
        }
    }

    pub(super) fn next_stop_command(&mut self, id: Id, n: usize) {
        let Some(r) = self.units.get(&id).and_then(|u| u.service.as_deref()) else { return };
        let Some(c) = r.unit.stop.get(n).cloned() else { return self.send_stop_signal(id) };
        self.set_phase(id, Phase::StopCommand(n));
        if n == 0 {
            self.set_stop_deadline(id);
        }
        let deadline = self.units.get(&id).and_then(|u| u.service.as_ref()?.deadline);
        self.clear_timer(id);
        if let Some(at) = deadline {
            self.set_timer(id, at);
        }
        if let Err(e) = self.spawn(id, &c, Role::Control) {
            self.say(Level::Warn, id, &format!("ExecStop={}: {e}", c.program));
            self.send_stop_signal(id);
        }
    }

    /// Sends the kill signal: to all (`control-group`) or the main process (`mixed`).
    fn send_stop_signal(&mut self, id: Id) {
        self.set_phase(id, Phase::StopSignal);
        self.set_stop_deadline(id);
        self.record(id);
        let Some(r) = self.units.get(&id).and_then(|u| u.service.as_deref()) else { return };
        let signal = r.unit.kill_signal;
        match (&r.main, r.unit.kill_mode) {
            (Some(m), KillMode::Mixed) => {
                m.id.signal(signal);
                m.id.signal(libc::SIGCONT);
                // A control process (ExecStartPre=) is no part of the service proper.
                if let Some(c) = r.control {
                    c.signal(libc::SIGKILL);
                }
            }
            (None, KillMode::Mixed) if r.control.is_none() => r.tracker.kill_all(),
            _ => {
                r.tracker.signal_all(signal);
                r.tracker.signal_all(libc::SIGCONT);
            }
        }
        self.check_empty(id);
    }

    /// The main process ended by itself, or the start failed: ends the rest.
    pub(super) fn wind_down(&mut self, id: Id) {
        let Some(r) = self.units.get(&id).and_then(|u| u.service.as_deref()) else { return };
        if r.tracker.is_empty() {
            self.set_phase(id, Phase::StopKill);
            return self.finish(id);
        }
        self.send_stop_signal(id);
    }

    /// Finishes when no process is left; otherwise looks again soon.
    pub(super) fn check_empty(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        if !matches!(u.phase, Phase::StopSignal | Phase::StopKill) {
            return;
        }
        let phase = u.phase;
        let Some(r) = u.service.as_deref_mut() else { return };
        if r.tracker.is_empty() {
            return self.finish(id);
        }
        let now = Instant::now();
        let late = r.deadline.is_some_and(|d| now >= d);
        let main_gone = r.main.is_none() && r.control.is_none();
        if phase == Phase::StopSignal && (late || (main_gone && r.unit.kill_mode == KillMode::Mixed)) {
            if late {
                let limit = r.unit.timeout_stop.unwrap_or_default();
                let note = format!("did not stop within {limit:?}, killed");
                self.say(Level::Warn, id, &note);
            }
            return self.kill(id);
        }
        if phase == Phase::StopKill && late {
            r.deadline = None;
            let left = r.tracker.pids();
            self.report_unkillable(id, &left);
        }
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else { return };
        if phase == Phase::StopKill {
            // Something may have been forked between listing and killing.
            r.tracker.kill_all();
        }
        let wait = r.poll;
        r.poll = (wait * 2).min(Duration::from_millis(200));
        let next = now + wait;
        let at = r.deadline.map_or(next, |d| d.min(next));
        self.set_timer(id, at);
    }

    fn kill(&mut self, id: Id) {
        self.set_phase(id, Phase::StopKill);
        let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) else { return };
        r.deadline = Some(Instant::now() + KILL_LIMIT);
        r.poll = Duration::from_millis(1);
        r.tracker.kill_all();
        self.record(id);
        self.check_empty(id);
    }

    fn report_unkillable(&mut self, id: Id, left: &[i32]) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let message = format!(
            "{}: processes {left:?} do not end after SIGKILL: they wait for a device or file system; the unit stays \
             “deactivating” until they do",
            u.name
        );
        let waiters = std::mem::take(&mut u.waiters);
        self.say(Level::Error, id, &message);
        for (to, _) in waiters {
            let f = crate::protocol::Response::failed(ErrorCode::Failed, message.clone());
            self.replies.push((to, f));
        }
    }

    /// No process is left: cleans up, and decides what comes next.
    fn finish(&mut self, id: Id) {
        let log = self.last_lines(id);
        let Some(u) = self.units.get_mut(&id) else { return };
        let Some(r) = u.service.take() else { return };
        if let Some(m) = &r.main {
            self.children.remove(&m.id.pid);
        }
        if let Some(c) = r.control {
            self.children.remove(&c.pid);
        }
        // Closed descriptors leave epoll by themselves, but a fork may hold them for a moment.
        for fd in r.notify.iter().chain(&r.reaper_pipes).chain(r.report.as_ref().map(|(f, _)| f)) {
            self.poller.remove(fd);
        }
        if let Some(fd) = r.main.as_ref().and_then(|m| m.pidfd.as_ref()) {
            self.poller.remove(fd);
        }
        r.tracker.remove();
        self.clean_up(id, &r.private_tmp_bases, &r.runtime);
        self.clear_timer(id);

        let up = r.up_since.map(|t| t.elapsed());
        let Some(u) = self.units.get_mut(&id) else { return };
        let name = u.name.clone();
        let on_purpose = u.wanted_down;
        let failed = r.result.is_some() && !on_purpose;
        u.failure = r
            .result
            .filter(|_| failed)
            .map(|reason| Box::new(Failure { code: ErrorCode::Failed, message: format!("{name}: {reason}"), log }));
        if let Some(f) = u.failure.as_ref().map(|f| f.message.clone()) {
            self.say(Level::Error, id, &f);
        }
        let Some(u) = self.units.get_mut(&id) else { return };
        if up.is_some_and(|t| t >= STEADY) {
            u.quick = 0;
        }
        let ended_well = up.is_none() && !failed;
        let restart = match r.unit.restart {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => failed,
            RestartPolicy::Always => !ended_well,
        };
        // `RestartSec=infinity` is a time that never comes.
        let delay = backoff(r.unit.restart_delay, u.quick);
        let at = Instant::now().checked_add(delay).filter(|_| restart && !on_purpose && self.shutdown.is_none());
        if let Some(at) = at {
            u.quick = u.quick.saturating_add(1);
            u.phase = Phase::AutoRestart;
            u.since = now_ms();
            self.say(Level::Info, id, &format!("will be restarted in {} ms", delay.as_millis()));
            self.set_timer(id, at);
            self.record(id);
            return self.settle(id);
        }
        self.went_down(id, Some(up.is_some_and(|t| t < Duration::from_secs(1)) && !on_purpose));
    }

    /// The unit is inactive or failed. `at_once`: a service died right after it became active, or before.
    pub(super) fn went_down(&mut self, id: Id, at_once: Option<bool>) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let name = u.name.clone();
        u.phase = Phase::Dead;
        u.since = now_ms();
        let again = u.again && self.shutdown.is_none();
        u.again = false;
        u.wanted_down = false;
        let failed = u.failure.is_some();
        self.unrecord(id);
        self.say(Level::Info, id, if failed { "failed" } else { "inactive" });
        if again {
            // Those who wait for the start go on waiting; those who wanted it down saw it down.
            self.answer_stops(id);
            if let Err(f) = self.start(&name, &mut Vec::new()) {
                self.fail_plainly(id, &f.message);
            } else {
                self.settle_if_settled(id);
            }
            return;
        }
        if name.kind() == UnitKind::Service {
            self.rearm_sockets_of(&name, at_once.unwrap_or(false) || (failed && at_once.is_some()));
        }
        self.settle(id);
    }

    fn settle_if_settled(&mut self, id: Id) {
        if self.phase(id).is_settled() {
            self.settle(id);
        }
    }

    fn answer_stops(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let name = u.name.clone();
        let mut told = Vec::new();
        u.waiters.retain(|(to, want)| {
            if *want == super::Want::Stop {
                told.push(*to);
            }
            *want != super::Want::Stop
        });
        for to in told {
            let s = self.status_by_name(&name);
            self.replies.push((to, crate::protocol::Response::status(s)));
        }
    }

    /// A service's timer ran out.
    pub(super) fn on_service_timer(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let phase = u.phase;
        if phase == Phase::AutoRestart {
            u.restarts += 1;
            return self.begin(id);
        }
        let Some(r) = u.service.as_deref_mut() else { return };
        let late = r.deadline.is_some_and(|d| Instant::now() >= d);
        match phase {
            Phase::Start(_) if r.awaiting_pid_file && !late => self.find_forked_main(id),
            Phase::StartPre(_) | Phase::Start(_) => {
                let limit = r.unit.timeout_start.unwrap_or_default();
                let reason = format!("was not ready within {limit:?} (TimeoutStartSec=)");
                self.fail_start(id, reason);
            }
            Phase::Reload(_) => {
                if let Some(c) = r.control.take() {
                    self.children.remove(&c.pid);
                    c.signal(libc::SIGKILL);
                }
                self.fail_reload(id, "ExecReload= took longer than TimeoutStartSec=");
            }
            Phase::StopCommand(_) => {
                if let Some(c) = r.control.take() {
                    c.signal(libc::SIGKILL);
                }
                self.send_stop_signal(id);
            }
            Phase::StopSignal | Phase::StopKill => self.check_empty(id),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_slow_down() {
        let ms = Duration::from_millis;
        let delays: Vec<_> = (0..9).map(|n| backoff(ms(100), n)).collect();
        assert_eq!(delays[..4], [100, 200, 400, 800].map(ms));
        assert_eq!(delays[6..], [MAX_BACKOFF; 3]);
        assert_eq!(backoff(ms(100), u8::MAX), MAX_BACKOFF);
        assert_eq!(backoff(Duration::from_secs(60), 3), Duration::from_secs(60), "a longer RestartSec= is kept to");
        assert_eq!(backoff(Duration::MAX, 1), Duration::MAX);
    }
}
