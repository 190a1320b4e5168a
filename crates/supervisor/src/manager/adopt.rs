//! Taking over from a supervisor that was killed: its services go on, its sockets are opened anew.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Manager, Phase, Running};
use crate::credentials::Credentials;
use crate::kill::Tracker;
use crate::log::Level;
use crate::name::{UnitKind, UnitName};
use crate::poller::Id;
use crate::proc::ProcId;
use crate::socket;
use crate::state::{Record, Stage};
use crate::unit::{Service, UnitFile};

/// What became of the units of an earlier supervisor.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// Services that go on.
    pub(crate) services: usize,
    /// Services that had died, or had been starting, and are started again.
    pub(crate) restarted: usize,
    /// Sockets taken back from running services.
    pub(crate) recovered: usize,
    /// Sockets opened anew.
    pub(crate) reopened: usize,
}

impl Manager {
    /// Takes over what an earlier supervisor left. `same_boot`: its processes may still run.
    pub(crate) fn adopt(&mut self, records: Vec<Record>, same_boot: bool) -> Adopted {
        let mut count = Adopted::default();
        if !same_boot {
            for r in records {
                self.clean_up(0, &r.private_tmp, &r.runtime);
                let _ = self.store.remove(&r.unit);
            }
            self.kill_strays(&[]);
            return count;
        }
        let mut kept = Vec::new();
        let mut start = Vec::new();
        for r in records.iter().filter(|r| r.stage != Stage::Listening) {
            let Ok(name) = UnitName::parse(&r.unit) else { continue };
            let alive = r.main.is_some_and(ProcId::is_alive)
                || (r.main.is_none() && r.tracker.as_ref().is_some_and(|t| !t.is_empty()));
            match r.stage {
                Stage::Active if alive => {
                    self.adopt_service(&name, r);
                    if let Some(Tracker::Cgroup(p)) = &r.tracker {
                        kept.push(p.clone());
                    }
                    count.services += 1;
                }
                Stage::Reached => {
                    let id = self.intern(&name);
                    self.set_phase(id, Phase::Active);
                    if name.kind() == UnitKind::Service {
                        self.adopt_service(&name, r);
                        self.set_phase(id, Phase::Exited);
                        self.record(id);
                        if let Some(Tracker::Cgroup(p)) = &r.tracker {
                            kept.push(p.clone());
                        }
                    }
                }
                stage => {
                    self.bury(r);
                    let again = match stage {
                        Stage::Starting | Stage::Waiting => true,
                        Stage::Active => self.restarts_itself(&name),
                        _ => false,
                    };
                    if again {
                        start.push(name);
                    }
                }
            }
        }
        self.kill_strays(&kept);
        let by_name: HashMap<&str, &Record> = records.iter().map(|r| (r.unit.as_str(), r)).collect();
        let mut table = None;
        for r in records.iter().filter(|r| r.stage == Stage::Listening) {
            let table = table.get_or_insert_with(socket::Listeners::read);
            self.adopt_socket(r, &by_name, table, &mut count);
        }
        for name in start {
            count.restarted += 1;
            if let Err(f) = self.start(&name, &mut Vec::new()) {
                self.log.write(Level::Error, Some(name.as_str()), &format!("can't be started again: {f}"));
            }
        }
        count
    }

    fn restarts_itself(&mut self, name: &UnitName) -> bool {
        let policy = self.loader.load(name).ok().and_then(|f| f.service.as_ref().map(|s| s.restart));
        policy.is_some_and(|p| p != crate::unit::RestartPolicy::No)
    }

    fn adopt_service(&mut self, name: &UnitName, record: &Record) {
        // If its file is gone, it can at least be stopped.
        let file = self.loader.load(name).unwrap_or_else(|_| Rc::new(UnitFile::default()));
        let unit = file.service.as_ref().and_then(|s| s.instantiate(name).ok()).unwrap_or_default();
        let credentials = Credentials::of(&unit.exec).or_else(|_| Credentials::of(&Service::default().exec));
        let Ok(credentials) = credentials else { return };
        // For ExecReload= and ExecStop=.
        let env = super::spawn::environment(&unit.exec, &credentials, &record.runtime).unwrap_or_default();
        let id = self.intern(name);
        let now = Instant::now();
        let running = Running {
            log: Some((self.log_path(name), u64::MAX)),
            unit,
            file,
            credentials,
            tracker: record.tracker.clone().unwrap_or(Tracker::Reapers(Vec::new())),
            reaper_pipes: Vec::new(),
            main: None,
            control: None,
            report: None,
            notify: None,
            private_tmp: private_tmp_of(record),
            private_tmp_bases: record.private_tmp.clone(),
            runtime: record.runtime.clone(),
            env,
            up_since: Some(now.checked_sub(Duration::from_secs(3600)).unwrap_or(now)),
            begun: now,
            deadline: None,
            poll: Duration::from_millis(2),
            result: None,
            awaiting_pid_file: false,
            notes: vec!["adopted: the supervisor was restarted while it ran".into()],
            sockets: record.sockets.clone(),
        };
        if let Some(u) = self.units.get_mut(&id) {
            u.service = Some(Box::new(running));
            u.phase = Phase::Active;
            u.since = record.since;
            u.seq = self.next_seq;
            self.next_seq += 1;
        }
        if let Some(main) = record.main
            && !self.set_main(id, main)
        {
            // It ended since we looked.
            if let Some(r) = self.units.get_mut(&id).and_then(|u| u.service.as_deref_mut()) {
                r.result = Some("the main process ended while the supervisor was restarted".into());
            }
            return self.wind_down(id);
        }
        self.say(Level::Info, id, &format!("adopted, main process {}", record.main.map_or(0, |m| m.pid)));
        self.record(id);
    }

    /// Ends what is left of a unit, and waits for it, but not long.
    fn bury(&mut self, record: &Record) {
        if let Some(t) = &record.tracker {
            for _ in 0..500 {
                if t.is_empty() {
                    break;
                }
                t.kill_all();
                std::thread::sleep(Duration::from_millis(2));
            }
            t.remove();
        }
        self.clean_up(0, &record.private_tmp, &record.runtime);
        let _ = self.store.remove(&record.unit);
    }

    /// Kills what is in cgroups that no record speaks of.
    fn kill_strays(&mut self, kept: &[std::path::PathBuf]) {
        let Some(c) = &self.cgroups else { return };
        for dir in c.existing().into_iter().filter(|d| !kept.contains(d)) {
            let t = Tracker::Cgroup(dir);
            for _ in 0..500 {
                if t.is_empty() {
                    break;
                }
                t.kill_all();
                std::thread::sleep(Duration::from_millis(2));
            }
            t.remove();
        }
    }

    fn adopt_socket(
        &mut self,
        record: &Record,
        all: &HashMap<&str, &Record>,
        table: &socket::Listeners,
        count: &mut Adopted,
    ) {
        let Ok(name) = UnitName::parse(&record.unit) else { return };
        let loaded = self.load_socket(&name);
        let (s, service) = match loaded {
            Ok(x) => x,
            Err(e) => {
                self.log.write(Level::Error, Some(name.as_str()), &format!("can't be opened again: {e}"));
                let _ = self.store.remove(&record.unit);
                return;
            }
        };
        let id = self.intern(&name);
        if let Some(u) = self.units.get_mut(&id) {
            u.seq = self.next_seq;
            self.next_seq += 1;
        }
        let service_name = service.clone().unwrap_or_else(|| name.sibling(UnitKind::Service));
        let running: Option<Id> = self.names.get(service_name.as_str()).copied();
        if running.is_some() {
            // It holds the very socket: take it back, and nothing is lost.
            let its = all.get(service_name.as_str());
            let place = its.and_then(|r| Some((r.main?, r.sockets.iter().position(|n| *n == record.unit)?)));
            let back = place.and_then(|(main, n)| socket::recover(&s, main, 3 + i32::try_from(n).ok()?, table));
            if let Some(l) = back {
                count.recovered += 1;
                return self.listen(id, &s, l, service);
            }
        }
        match socket::open(&s) {
            Ok(l) => {
                count.reopened += 1;
                self.listen(id, &s, l, service);
            }
            Err(e) => return self.fail_plainly(id, &e.to_string()),
        }
        if let Some(service) = running
            && self.phase(service).is_up()
        {
            self.say(Level::Warn, service, "it listens on a socket that nobody can reach any more: restarted");
            if let Some(u) = self.units.get_mut(&service) {
                u.again = true;
            }
            self.stop_for_restart(service);
        }
    }
}

fn private_tmp_of(record: &Record) -> Option<crate::namespace::PrivateTmp> {
    match record.private_tmp.as_slice() {
        [a, b] => Some(crate::namespace::PrivateTmp { tmp: a.join("tmp"), var_tmp: b.join("tmp") }),
        _ => None,
    }
}
