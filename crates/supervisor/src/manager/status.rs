//! `status` and `list`.

use std::collections::BTreeMap;

use super::requests::load_failure;
use super::{Manager, Phase, Unit, enable};
use crate::name::{UnitKind, UnitName, glob_matches};
use crate::poller::Id;
use crate::protocol::{Failure, UnitState, UnitStatus, UnitSummary};
use crate::unit::UnitFile;

fn state_of(u: &Unit) -> UnitState {
    match u.phase {
        Phase::Dead if u.failure.is_some() => UnitState::Failed,
        Phase::Dead => UnitState::Inactive,
        Phase::WaitDeps | Phase::StartPre(_) | Phase::Start(_) | Phase::AutoRestart => UnitState::Activating,
        Phase::Active | Phase::Exited | Phase::Reload(_) => UnitState::Active,
        Phase::StopCommand(_) | Phase::StopSignal | Phase::StopKill => UnitState::Deactivating,
    }
}

fn sub_of(u: &Unit) -> &'static str {
    match u.phase {
        Phase::Dead if u.failure.is_some() => "failed",
        Phase::Dead => "dead",
        Phase::WaitDeps => "waiting-for-dependencies",
        Phase::StartPre(_) => "start-pre",
        Phase::Start(_) => "start",
        Phase::Active => match (&u.socket, u.name.kind()) {
            (Some(s), _) if s.armed => "listening",
            (None, UnitKind::Target) => "active",
            _ => "running",
        },
        Phase::Exited => "exited",
        Phase::Reload(_) => "reload",
        Phase::StopCommand(_) => "stop",
        Phase::StopSignal => "stop-sigterm",
        Phase::StopKill => "stop-sigkill",
        Phase::AutoRestart => "auto-restart",
    }
}

fn main_pid(u: &Unit) -> Option<i32> {
    Some(u.service.as_ref()?.main.as_ref()?.id.pid)
}

fn inactive(name: &UnitName, enabled: bool) -> UnitStatus {
    UnitStatus {
        unit: name.to_string(),
        description: String::new(),
        state: UnitState::Inactive,
        sub: "dead".into(),
        main_pid: None,
        since: 0,
        processes: 0,
        restarts: 0,
        enabled,
        failure: None,
        not_enforced: Vec::new(),
        warnings: Vec::new(),
    }
}

fn describe(s: &mut UnitStatus, name: &UnitName, file: &UnitFile) {
    s.description = name.expand(&file.description).unwrap_or_else(|_| file.description.clone());
    s.not_enforced.clone_from(&file.not_enforced);
    s.warnings.splice(0..0, file.warnings.iter().cloned());
    if file.wanted_by.iter().any(|t| t != enable::TARGET) {
        s.warnings.push(format!(
            "WantedBy={} has no effect here: enabled units start with {}",
            file.wanted_by.join(" "),
            enable::TARGET
        ));
    }
}

impl Manager {
    /// What is known without reading files.
    pub(super) fn status_of(&self, id: Id) -> Option<UnitStatus> {
        let u = self.units.get(&id)?;
        let mut s = inactive(&u.name, self.is_enabled(&u.name));
        s.state = state_of(u);
        s.sub = sub_of(u).to_owned();
        s.main_pid = main_pid(u);
        s.since = u.since;
        s.restarts = u.restarts;
        s.failure = u.failure.as_ref().map(|f| f.message.clone());
        if let Some(r) = &u.service {
            s.processes = r.tracker.pids().len();
            s.warnings.clone_from(&r.notes);
            describe(&mut s, &u.name, &r.file);
        }
        Some(s)
    }

    /// The status of a unit that may have no entry.
    pub(super) fn status_by_name(&self, name: &UnitName) -> UnitStatus {
        let known = self.names.get(name.as_str()).and_then(|id| self.status_of(*id));
        known.unwrap_or_else(|| inactive(name, self.is_enabled(name)))
    }

    /// The status with what the unit's files say.
    pub(super) fn full_status(&mut self, name: &UnitName) -> Result<UnitStatus, Failure> {
        let mut s = self.status_by_name(name);
        let running = self.names.get(name.as_str()).and_then(|id| self.units.get(id));
        if running.is_some_and(|u| u.service.is_some()) {
            return Ok(s);
        }
        let known = running.is_some();
        match self.loader.load(name) {
            Ok(file) => describe(&mut s, name, &file),
            Err(e) if known => s.warnings.push(e.to_string()),
            Err(e) => return Err(load_failure(&e)),
        }
        Ok(s)
    }

    /// The units that are not inactive, and those that are enabled.
    pub(super) fn list(&self, pattern: Option<&str>) -> Vec<UnitSummary> {
        let matches = |n: &str| pattern.is_none_or(|p| glob_matches(p, n));
        let mut out: BTreeMap<String, UnitSummary> = BTreeMap::new();
        for u in self.units.values().filter(|u| matches(u.name.as_str())) {
            out.insert(
                u.name.to_string(),
                UnitSummary {
                    unit: u.name.to_string(),
                    state: state_of(u),
                    sub: sub_of(u).to_owned(),
                    main_pid: main_pid(u),
                    since: u.since,
                    enabled: false,
                },
            );
        }
        if let Ok(target) = UnitName::parse(enable::TARGET) {
            for name in self.members(&target).into_iter().filter(|n| matches(n.as_str())) {
                out.entry(name.to_string())
                    .or_insert_with(|| UnitSummary {
                        unit: name.to_string(),
                        state: UnitState::Inactive,
                        sub: "dead".into(),
                        main_pid: None,
                        since: 0,
                        enabled: true,
                    })
                    .enabled = true;
            }
        }
        out.into_values().collect()
    }
}
