//! From one set of manifests to another: the one mechanism.

use super::difference::{Difference, KindError};
use super::kinds::Work;
use std::collections::BTreeSet;
use wcp360_agent_render::{Kind, OnChange, Removal, Resource};
use wcp360_types::Username;
use wcp360_types::manifest::{AccountStatus, ManifestSet};
use wcp360_types::plan::{PlanAction, PlannedResource};

/// What is to be done, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    puts: Vec<(Resource, Difference)>,
    removals: Vec<(Resource, Option<Difference>)>,
    /// Everything both sides know, for tidying.
    all: Vec<Resource>,
    /// Whose processes are ended: the account's, if it is suspended now.
    end_processes: Option<Username>,
}

/// The two lists of resources.
pub(crate) struct Sides {
    pub(crate) from: Vec<Resource>,
    pub(crate) to: Vec<Resource>,
}

impl Steps {
    /// Compares the machine with `sides.to`, and with the absence of what only `sides.from` has.
    pub(crate) fn plan(work: &Work<'_>, sides: Sides, to: Option<&ManifestSet>) -> Result<Self, KindError> {
        let new: BTreeSet<&str> = sides.to.iter().map(|resource| resource.key.as_str()).collect();
        let mut steps = Self::default();
        for resource in &sides.to {
            if let Some(difference) = work.compare(resource)?
                && !work.is_kept(resource)
            {
                steps.puts.push((resource.clone(), difference));
            }
        }
        for resource in sides.from.iter().rev().filter(|resource| !new.contains(resource.key.as_str())) {
            steps.removals.push((resource.clone(), work.compare_gone(resource)?));
        }
        let suspended = to.filter(|set| set.account.status == AccountStatus::Suspended);
        let closes = |(resource, _): &(Resource, Difference)| matches!(&resource.kind, Kind::User(user) if user.locked);
        if let Some(set) = suspended
            && steps.puts.iter().any(closes)
        {
            steps.end_processes = Some(set.account.username.clone());
        }
        steps.all = sides.to;
        steps.all.extend(sides.from);
        Ok(steps)
    }

    /// Does it.
    pub(crate) fn apply(&self, work: &mut Work<'_>) -> Result<(), KindError> {
        for (resource, _) in &self.puts {
            let started = std::time::Instant::now();
            let result = work.put(resource);
            trace(resource, started);
            result.map_err(|error| name(resource, error))?;
        }
        for (resource, _) in &self.removals {
            let started = std::time::Instant::now();
            let result = work.remove(resource);
            trace(resource, started);
            result.map_err(|error| name(resource, error))?;
        }
        if let Some(name) = &self.end_processes {
            work.end_processes(name);
        }
        Ok(())
    }

    /// Takes away what a crash may have left half-written.
    pub(crate) fn tidy(&self, work: &Work<'_>) -> Result<(), KindError> {
        self.all.iter().try_for_each(|resource| work.tidy(resource))
    }

    /// The steps as people and programs see them.
    pub(crate) fn describe(&self) -> (Vec<PlannedResource>, Vec<String>) {
        let mut services = Vec::new();
        for (resource, _) in &self.puts {
            match &resource.kind {
                Kind::UnitEnabled { unit, .. } => services.push(format!("start {unit}")),
                Kind::NginxSite { .. } => services.push("reload nginx.service".into()),
                Kind::File { on_change: Some(OnChange::Restart(unit)), .. } => {
                    services.push(format!("restart {unit} if it runs"));
                }
                _ => {}
            }
        }
        for (resource, _) in self.removals.iter().filter(|(_, difference)| difference.is_some()) {
            match &resource.kind {
                Kind::UnitEnabled { unit, .. } => services.push(format!("stop {unit}")),
                Kind::NginxSite { .. } => services.push("reload nginx.service".into()),
                _ => {}
            }
        }
        services.dedup();
        let planned = |resource: &Resource, difference: &Difference| PlannedResource {
            key: resource.key.clone(),
            action: difference.action,
            summary: difference.summary.clone(),
            diff: difference.diff.clone(),
        };
        let puts = self.puts.iter().map(|(resource, difference)| planned(resource, difference));
        let removals =
            self.removals.iter().filter_map(|(resource, difference)| Some(planned(resource, difference.as_ref()?)));
        (puts.chain(removals).collect(), services)
    }

    /// What in the account's home is not there yet: directories and files that are otherwise never removed.
    pub(crate) fn created(&self, work: &Work<'_>) -> Result<Vec<String>, KindError> {
        let mut out = Vec::new();
        for (resource, _) in self.puts.iter().filter(|(_, difference)| difference.action == PlanAction::Create) {
            match &resource.kind {
                Kind::Dir { path, removal: Removal::Keep, .. } | Kind::LogFile { path, .. } => {
                    out.push(path.to_string())
                }
                Kind::TenantDir { home, relative } => {
                    let mut path = home.to_string();
                    for part in relative.components() {
                        path = format!("{path}/{part}");
                        if !work.exists(&path)? && !out.contains(&path) {
                            out.push(path.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// Takes away again what a change that was taken back has created and nobody has touched.
    pub(crate) fn uncreate(&self, work: &Work<'_>, created: &[String]) -> Result<(), KindError> {
        for path in created.iter().rev() {
            let is_log =
                |resource: &Resource| matches!(&resource.kind, Kind::LogFile { path: log, .. } if log.as_str() == path);
            work.uncreate(path, self.all.iter().any(is_log))?;
        }
        Ok(())
    }

    /// What can't be taken back.
    pub(crate) fn data_loss(&self) -> Vec<String> {
        let homes = self.removals.iter().filter_map(|(resource, difference)| match (&resource.kind, difference) {
            (Kind::Home { path, .. }, Some(Difference { action: PlanAction::Delete, summary, .. })) => {
                Some(format!("{path}: {summary}, then removed for good"))
            }
            _ => None,
        });
        homes.collect()
    }
}

fn trace(resource: &Resource, started: std::time::Instant) {
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(key = resource.key, micros, "resource");
}

/// Says which resource an error is about.
fn name(resource: &Resource, error: KindError) -> KindError {
    let text = |error: String| format!("{}: {error}", resource.key);
    match error {
        KindError::Rejected(e) => KindError::Rejected(text(e)),
        KindError::Taken(e) => KindError::Taken(text(e)),
        KindError::Failed(e) => KindError::Failed(text(e)),
    }
}
