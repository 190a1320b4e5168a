//! Requests of the control protocol, and how a start reaches a unit and what it needs.

use super::{Manager, Phase, ReplyTo, Want};
use crate::loader::LoadError;
use crate::log::Level;
use crate::name::{UnitKind, UnitName};
use crate::poller::Id;
use crate::protocol::{ErrorCode, Failure, Request, Response};

pub(super) fn failure(code: ErrorCode, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into(), log: Vec::new() }
}

pub(super) fn load_failure(e: &LoadError) -> Failure {
    let code = if matches!(e, LoadError::NotFound { .. }) { ErrorCode::NotFound } else { ErrorCode::BadUnit };
    failure(code, e.to_string())
}

impl Manager {
    /// Carries out a request. The answer comes through [`Manager::replies`], now or later.
    pub(crate) fn request(&mut self, to: ReplyTo, request: Request) {
        if let Some(r) = self.dispatch(to, request).unwrap_or_else(|f| Some(Response::failure(f))) {
            self.replies.push((to, r));
        }
    }

    fn dispatch(&mut self, to: ReplyTo, request: Request) -> Result<Option<Response>, Failure> {
        let name = |unit: &str| UnitName::parse(unit).map_err(|e| failure(ErrorCode::BadRequest, e.to_string()));
        let status = |m: &Self, n: &UnitName| Ok(Some(Response::status(m.status_by_name(n))));
        match request {
            Request::Ping => Ok(Some(Response::done())),
            Request::DaemonReload => {
                self.forget_files();
                Ok(Some(Response::done()))
            }
            Request::List { pattern } => {
                let units = self.list(pattern.as_deref());
                Ok(Some(Response { units: Some(units), ..Response::done() }))
            }
            Request::Status { unit } => {
                let n = name(&unit)?;
                let s = self.full_status(&n)?;
                Ok(Some(Response::status(s)))
            }
            Request::Enable { unit } => {
                let n = name(&unit)?;
                self.enable(&n)?;
                status(self, &n)
            }
            Request::Disable { unit } => {
                let n = name(&unit)?;
                self.disable(&n)?;
                status(self, &n)
            }
            Request::ResetFailed { unit } => {
                let n = name(&unit)?;
                if let Some(id) = self.names.get(n.as_str()).copied() {
                    if let Some(u) = self.units.get_mut(&id) {
                        u.failure = None;
                        u.restarts = 0;
                        u.quick = 0;
                    }
                    self.forget(id);
                }
                status(self, &n)
            }
            Request::Shutdown => {
                self.begin_shutdown(Some(to));
                Ok(None)
            }
            Request::Start { unit } => {
                let n = name(&unit)?;
                let id = self.start(&n, &mut Vec::new())?;
                self.wait(id, &n, to, Want::Start);
                Ok(None)
            }
            Request::Restart { unit } => {
                let n = name(&unit)?;
                let id = self.restart(&n)?;
                self.wait(id, &n, to, Want::Start);
                Ok(None)
            }
            Request::Stop { unit } => {
                let n = name(&unit)?;
                let Some(id) = self.names.get(n.as_str()).copied() else {
                    return status(self, &n);
                };
                self.stop(id);
                self.wait(id, &n, to, Want::Stop);
                Ok(None)
            }
            Request::Reload { unit } => {
                let n = name(&unit)?;
                let id = self.reload(&n)?;
                self.wait(id, &n, to, Want::Reload);
                Ok(None)
            }
        }
    }

    /// Answers at once if the unit is settled, else when it is.
    fn wait(&mut self, id: Id, name: &UnitName, to: ReplyTo, want: Want) {
        let Some(u) = self.units.get_mut(&id) else {
            // It came and went: a stop of something inactive.
            self.replies.push((to, Response::status(self.status_by_name(name))));
            return;
        };
        u.waiters.push((to, want));
        if u.phase.is_settled() && !(u.again && want == Want::Start) {
            self.settle(id);
        }
    }

    /// Forgets the unit files that were read.
    pub(crate) fn forget_files(&mut self) {
        self.loader.clear();
        self.log.write(Level::Info, None, "unit files will be read anew");
    }

    /// Forgets that somebody waits: the connection is gone.
    pub(crate) fn cancel_waiter(&mut self, to: ReplyTo) {
        for u in self.units.values_mut().filter(|u| !u.waiters.is_empty()) {
            u.waiters.retain(|(t, _)| *t != to);
        }
    }

    /// Starts a unit after what it requires and wants. `stack` holds the units whose start led here, so that a circle ends.
    pub(super) fn start(&mut self, name: &UnitName, stack: &mut Vec<Id>) -> Result<Id, Failure> {
        if self.shutdown.is_some() {
            return Err(failure(ErrorCode::ShuttingDown, "the supervisor is shutting down"));
        }
        match self.phase_of(name.as_str()) {
            Phase::Dead => {}
            Phase::AutoRestart => {
                let id = self.intern(name);
                self.clear_timer(id);
            }
            phase => {
                let id = self.intern(name);
                if phase.is_stopping()
                    && let Some(u) = self.units.get_mut(&id)
                {
                    u.again = true;
                }
                return Ok(id);
            }
        }
        let file = self.loader.load(name).map_err(|e| load_failure(&e))?;
        let id = self.intern(name);
        if let Some(u) = self.units.get_mut(&id) {
            u.failure = None;
            u.restarts = 0;
            u.wanted_down = false;
            u.again = false;
            u.waiting = 0;
        }
        self.set_phase(id, Phase::WaitDeps);
        stack.push(id);
        let requires = file.requires.iter().map(|d| (d, true));
        for (dep, required) in requires.chain(file.wants.iter().map(|d| (d, false))) {
            let Some(dep) = name.expand(dep).ok().and_then(|d| UnitName::parse(&d).ok()) else { continue };
            // Units of the system's own (network.target, …) are nobody's business here.
            if self.loader.fragment(&dep).is_none() {
                continue;
            }
            if self.names.get(dep.as_str()).is_some_and(|d| stack.contains(d)) {
                continue;
            }
            match self.start(&dep, stack) {
                Ok(d) => {
                    let failed = self.units.get(&d).is_some_and(|u| u.phase == Phase::Dead && u.failure.is_some());
                    if failed && required {
                        stack.pop();
                        self.fail_plainly(id, &format!("{dep}, which it requires, failed"));
                        return Ok(id);
                    }
                    if !self.phase(d).is_settled() {
                        self.blocked.push((id, d, required));
                        if let Some(u) = self.units.get_mut(&id) {
                            u.waiting += 1;
                        }
                    }
                }
                Err(f) if required => {
                    stack.pop();
                    self.fail_plainly(id, &format!("{dep}, which it requires, can't be started: {f}"));
                    return Ok(id);
                }
                Err(f) => self.say(Level::Warn, id, &format!("{dep}, which it wants, can't be started: {f}")),
            }
        }
        stack.pop();
        if self.units.get(&id).is_some_and(|u| u.waiting == 0 && u.phase == Phase::WaitDeps) {
            self.begin(id);
        }
        Ok(id)
    }

    /// Starts a unit whose dependencies are settled.
    pub(super) fn begin(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        u.seq = self.next_seq;
        self.next_seq += 1;
        match u.name.kind() {
            UnitKind::Service => self.begin_service(id),
            UnitKind::Socket => self.begin_socket(id),
            UnitKind::Target => self.begin_target(id),
        }
    }

    fn begin_target(&mut self, id: Id) {
        let Some(name) = self.units.get(&id).map(|u| u.name.clone()) else { return };
        self.set_phase(id, Phase::Active);
        for member in self.members(&name) {
            if let Err(f) = self.start(&member, &mut vec![id]) {
                self.say(Level::Warn, id, &format!("{member}, which it wants, can't be started: {f}"));
            }
        }
        self.record(id);
        self.settle(id);
    }

    fn restart(&mut self, name: &UnitName) -> Result<Id, Failure> {
        let Some(id) = self.names.get(name.as_str()).copied() else {
            return self.start(name, &mut Vec::new());
        };
        // Whatever can't be loaded must not be stopped for nothing.
        self.loader.load(name).map_err(|e| load_failure(&e))?;
        match self.phase(id) {
            Phase::Dead | Phase::AutoRestart => self.start(name, &mut Vec::new()),
            _ => {
                // An active service keeps the old socket: it has to go first.
                if name.kind() == UnitKind::Socket
                    && let Some(s) = self.service_of(id).filter(|s| self.phase_of(s.as_str()) != Phase::Dead)
                {
                    let why = format!("{name} can't be restarted while {s} uses it: stop {s} first");
                    return Err(failure(ErrorCode::Conflict, why));
                }
                if let Some(u) = self.units.get_mut(&id) {
                    u.again = true;
                    u.restarts = 0;
                }
                self.stop_for_restart(id);
                Ok(id)
            }
        }
    }
}
