//! Stopping everything: a unit after those that need it, units that do not concern each other side by side.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Manager, Phase, ReplyTo};
use crate::log::Level;
use crate::name::{UnitKind, UnitName};
use crate::poller::Id;
use crate::protocol::Response;

/// How long directories may take to be removed at the end.
const HELPER_LIMIT: Duration = Duration::from_secs(10);

/// A shutdown under way.
pub(super) struct Shutdown {
    /// Who asked.
    waiters: Vec<ReplyTo>,
    /// For each unit, those that may stop when it has.
    before: HashMap<Id, Vec<Id>>,
    /// For each unit, how many must stop before it.
    left: HashMap<Id, usize>,
    /// How many units are not down yet.
    pending: usize,
    /// Until when the removal of directories may take.
    limit: Option<Instant>,
}

impl Manager {
    /// Stops all units; then [`Manager::is_down`] is true.
    pub(crate) fn begin_shutdown(&mut self, reply: Option<ReplyTo>) {
        if let Some(s) = &mut self.shutdown {
            s.waiters.extend(reply);
            return;
        }
        self.log.write(Level::Info, None, "shutting down");
        let mut alive: Vec<(u64, Id)> =
            self.units.iter().filter(|(_, u)| u.phase != Phase::Dead).map(|(id, u)| (u.seq, *id)).collect();
        alive.sort_unstable_by(|a, b| b.cmp(a));
        let mut before: HashMap<Id, Vec<Id>> = HashMap::new();
        let mut left: HashMap<Id, usize> = alive.iter().map(|(_, id)| (*id, 0)).collect();
        for (seq, id) in &alive {
            for needed in self.needs(*id) {
                // Only what was started earlier: a circle can't hold up the shutdown.
                let earlier = self.units.get(&needed).is_some_and(|u| u.seq < *seq);
                if earlier && let Some(n) = left.get_mut(&needed) {
                    *n += 1;
                    before.entry(*id).or_default().push(needed);
                }
            }
        }
        let first: Vec<Id> = alive.iter().map(|(_, id)| *id).filter(|id| left.get(id) == Some(&0)).collect();
        self.shutdown =
            Some(Shutdown { waiters: reply.into_iter().collect(), before, left, pending: alive.len(), limit: None });
        for id in first {
            self.stop(id);
        }
    }

    /// The units that a unit is ordered after, as far as they are alive.
    fn needs(&self, id: Id) -> Vec<Id> {
        let Some(u) = self.units.get(&id) else { return Vec::new() };
        let mut out = Vec::new();
        if let Some(r) = &u.service {
            let names = r.file.after.iter().chain(&r.file.requires).chain(&r.file.wants);
            out.extend(names.filter_map(|n| {
                let n = UnitName::parse(&u.name.expand(n).ok()?).ok()?;
                self.names.get(n.as_str()).copied()
            }));
            out.extend(self.sockets_of(&u.name));
        }
        if u.name.kind() == UnitKind::Target {
            out.extend(self.members(&u.name).iter().filter_map(|n| self.names.get(n.as_str()).copied()));
        }
        out.retain(|n| *n != id);
        out.sort_unstable();
        out.dedup();
        out
    }

    /// A unit is down: those that it needed may follow.
    pub(super) fn shutdown_step(&mut self, id: Id) {
        let Some(s) = &mut self.shutdown else { return };
        if s.left.remove(&id).is_none() {
            return;
        }
        s.pending = s.pending.saturating_sub(1);
        let mut next = Vec::new();
        for needed in s.before.remove(&id).unwrap_or_default() {
            if let Some(n) = s.left.get_mut(&needed) {
                *n = n.saturating_sub(1);
                if *n == 0 {
                    next.push(needed);
                }
            }
        }
        for id in next {
            self.stop(id);
        }
    }

    /// The last thing to do: leaves no cgroup behind.
    pub(crate) fn release(&self) {
        if let Some(c) = &self.cgroups {
            c.release();
        }
    }

    /// Whether a shutdown was asked for and everything is down. Those who asked are answered.
    pub(crate) fn is_down(&mut self) -> bool {
        let Some(s) = &mut self.shutdown else { return false };
        if s.pending > 0 {
            return false;
        }
        // Directories are still being removed; that can't go on for ever.
        let limit = *s.limit.get_or_insert_with(|| Instant::now() + HELPER_LIMIT);
        if !self.helpers.is_empty() && Instant::now() < limit {
            return false;
        }
        for to in s.waiters.drain(..) {
            self.replies.push((to, Response::done()));
        }
        true
    }
}
