//! Socket units: listening, and starting a service on the first connection.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Manager, Phase, SocketUnit};
use crate::log::Level;
use crate::name::{UnitKind, UnitName};
use crate::poller::{Id, Source};
use crate::socket::{self, Listening};
use crate::unit::Socket;

impl Manager {
    /// What a socket unit's file says, and its service.
    pub(super) fn load_socket(&mut self, name: &UnitName) -> Result<(Socket, Option<UnitName>), String> {
        let file = self.loader.load(name).map_err(|e| e.to_string())?;
        let spec = file.socket.as_ref().ok_or("it has no [Socket] section")?;
        let s = spec.instantiate(name).map_err(|e| e.to_string())?;
        let service = match &s.service {
            Some(n) => Some(UnitName::parse(n).map_err(|e| format!("Service=: {e}"))?),
            None => None,
        };
        let own = name.sibling(UnitKind::Service);
        self.loader.load(service.as_ref().unwrap_or(&own)).map_err(|e| format!("its service can't be loaded: {e}"))?;
        Ok((s, service.filter(|n| *n != own)))
    }

    pub(super) fn begin_socket(&mut self, id: Id) {
        let Some(name) = self.units.get(&id).map(|u| u.name.clone()) else { return };
        let loaded = self.load_socket(&name);
        let (s, service) = match loaded {
            Ok(x) => x,
            Err(e) => return self.fail_plainly(id, &e),
        };
        let service_name = service.clone().unwrap_or_else(|| name.sibling(UnitKind::Service));
        if self.phase_of(service_name.as_str()) != Phase::Dead {
            // A service that waits for this very socket (Requires=) has no process yet.
            let waits = self.phase_of(service_name.as_str()) == Phase::WaitDeps;
            if !waits {
                return self.fail_plainly(
                    id,
                    &format!("{service_name} is running without this socket: stop it first, then start the socket"),
                );
            }
        }
        match socket::open(&s) {
            Ok(l) => self.listen(id, &s, l, service),
            Err(e) => self.fail_plainly(id, &e.to_string()),
        }
    }

    /// Takes a listening socket into service.
    pub(super) fn listen(&mut self, id: Id, s: &Socket, l: Listening, service: Option<UnitName>) {
        if let Some(n) = &service {
            self.other_sockets.entry(n.shared()).or_default().push(id);
        }
        if let Some(u) = self.units.get_mut(&id) {
            u.socket = Some(Box::new(SocketUnit {
                fd: l.fd,
                file: l.file,
                path: s.listen.as_str().into(),
                armed: false,
                strikes: 0,
                service: service.map(Box::new),
            }));
        }
        self.set_phase(id, Phase::Active);
        let service = self.service_of(id);
        if service.is_some_and(|n| matches!(self.phase_of(n.as_str()), Phase::Dead | Phase::WaitDeps)) {
            self.arm(id);
        }
        self.record(id);
        self.settle(id);
    }

    pub(super) fn service_of(&self, id: Id) -> Option<UnitName> {
        let u = self.units.get(&id)?;
        let s = u.socket.as_ref()?;
        Some(s.service.as_deref().cloned().unwrap_or_else(|| u.name.sibling(UnitKind::Service)))
    }

    /// The active sockets of a service.
    pub(super) fn sockets_of(&self, service: &UnitName) -> Vec<Id> {
        let own = self.names.get(service.sibling(UnitKind::Socket).as_str()).copied();
        // The socket with the same stem may belong to another service.
        let own =
            own.filter(|id| self.units.get(id).is_some_and(|u| u.socket.as_ref().is_some_and(|s| s.service.is_none())));
        let mut all: Vec<Id> = own.into_iter().collect();
        if let Some(more) = self.other_sockets.get(service.as_str()) {
            all.extend(more);
        }
        all
    }

    /// The service starts: it will have the sockets, nobody else looks at them. Returns their names, in the order of passing.
    pub(super) fn take_sockets(&mut self, service: &UnitName) -> Vec<String> {
        let ids = self.sockets_of(service);
        for id in &ids {
            self.disarm(*id);
        }
        ids.iter().filter_map(|id| self.units.get(id)).map(|u| u.name.to_string()).collect()
    }

    /// Polls the socket.
    pub(super) fn arm(&mut self, id: Id) {
        if self.shutdown.is_some() {
            return;
        }
        let service = self.service_of(id);
        // Something else may have started the service meanwhile.
        if !service.is_some_and(|n| matches!(self.phase_of(n.as_str()), Phase::Dead | Phase::WaitDeps)) {
            return;
        }
        let Some(s) = self.units.get_mut(&id).and_then(|u| u.socket.as_deref_mut()) else { return };
        if s.armed {
            return;
        }
        match self.poller.add(&s.fd, Source::Listen(id)) {
            Ok(()) => s.armed = true,
            Err(e) => self.say(Level::Error, id, &format!("can't be polled: {e}")),
        }
    }

    fn disarm(&mut self, id: Id) {
        if let Some(s) = self.units.get_mut(&id).and_then(|u| u.socket.as_deref_mut())
            && s.armed
        {
            s.armed = false;
            self.poller.remove(&s.fd);
        }
    }

    /// Somebody connects: starts the service. The connection stays in the queue until the service takes it.
    pub(crate) fn on_connect(&mut self, id: Id) {
        if !self.units.get(&id).is_some_and(|u| u.socket.as_ref().is_some_and(|s| s.armed)) || self.shutdown.is_some() {
            return;
        }
        let Some(service) = self.service_of(id) else { return };
        self.disarm(id);
        if let Err(f) = self.start(&service, &mut Vec::new()) {
            self.say(Level::Error, id, &format!("{service} can't be started: {f}"));
            self.rearm_sockets_of(&service, true);
        }
    }

    fn rearm_later(&mut self, id: Id) {
        let strikes = self.units.get(&id).and_then(|u| u.socket.as_ref()).map_or(0, |s| s.strikes);
        let delay = Duration::from_millis(50 << strikes.min(8)).min(Duration::from_secs(10));
        self.set_timer(id, Instant::now() + delay);
    }

    /// The service has ended: its sockets are polled again, after a while if it died at once.
    pub(super) fn rearm_sockets_of(&mut self, service: &UnitName, at_once: bool) {
        for id in self.sockets_of(service) {
            self.mend(id);
            let Some(s) = self.units.get_mut(&id).and_then(|u| u.socket.as_deref_mut()) else { continue };
            if at_once {
                s.strikes = s.strikes.saturating_add(1);
                self.rearm_later(id);
            } else {
                s.strikes = 0;
                self.arm(id);
            }
        }
    }

    /// Some services remove their socket when they end (php-fpm does if it may): makes it anew.
    fn mend(&mut self, id: Id) {
        let Some(u) = self.units.get(&id) else { return };
        let Some(s) = u.socket.as_deref() else { return };
        if socket::identity(Path::new(&*s.path)) == Some(s.file) || self.shutdown.is_some() {
            return;
        }
        let name = u.name.clone();
        self.say(Level::Warn, id, "its file is gone or was replaced: made anew");
        let opened = self.load_socket(&name).and_then(|(s, _)| socket::open(&s).map_err(|e| e.to_string()));
        match opened {
            Ok(l) => {
                self.disarm(id);
                if let Some(s) = self.units.get_mut(&id).and_then(|u| u.socket.as_deref_mut()) {
                    s.fd = l.fd;
                    s.file = l.file;
                }
            }
            Err(e) => self.say(Level::Error, id, &e),
        }
    }

    /// Stops a socket unit. Its service, if it runs, keeps the socket until it ends.
    pub(super) fn close_socket(&mut self, id: Id) {
        self.disarm(id);
        self.clear_timer(id);
        let Some(u) = self.units.get_mut(&id) else { return };
        let name = u.name.clone();
        if let Some(s) = u.socket.take() {
            if let Some(service) = &s.service {
                let empty = self.other_sockets.get_mut(service.as_str()).is_some_and(|l| {
                    l.retain(|i| *i != id);
                    l.is_empty()
                });
                if empty {
                    self.other_sockets.remove(service.as_str());
                }
            }
            let remove = self.load_socket(&name).is_ok_and(|(s, _)| s.remove_on_stop);
            if remove && socket::identity(Path::new(&*s.path)) == Some(s.file) {
                let _ = fs::remove_file(&*s.path);
            }
        }
        self.went_down(id, None);
    }
}
