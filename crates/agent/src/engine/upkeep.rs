//! After a boot and after an upgrade: what a boot loses comes back, and what this release makes of the manifests is applied.
//! Whatever else differs was done by hand, and is left to core, which knows what the node's policy says about it (ENG-07).

use super::kinds::{Work, unit_file, wants};
use super::{Engine, failed, guard};
use crate::applied::LastGood;
use crate::fsx::{Access, Durability, Fs};
use std::collections::BTreeMap;
use wcp360_agent_proto::{AgentError, ManifestsState};
use wcp360_agent_render::{Kind, Resource};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{OperationId, Username};

/// Says that all accounts were looked after since the boot, by this version. In /run, so that it is gone after a boot.
const COMPARED: &str = "/run/wcp360/agent.compared";

/// What became of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BroughtUp {
    /// What was made what it should be.
    pub changed: Vec<String>,
    /// What differs, and was done by hand: left alone.
    pub left: Vec<String>,
}

/// What the agent made last, by key: [`Work::wanted`] names it.
pub(crate) type Rendered = BTreeMap<String, String>;

/// What is known of what was made last.
enum Before {
    /// Nothing: an older release has made it, or one that was killed before it noted it. Everything is made anew.
    Unknown,
    /// This is what it was.
    Rendered(Rendered),
}

/// What accounts' files are rendered by: another release may render them differently.
fn templates_of_this_version() -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    wcp360_agent_render::templates::TEMPLATES.hash(&mut hasher);
    format!("{} {:016x}\n", env!("CARGO_PKG_VERSION"), hasher.finish())
}

/// Whether this release has looked after all accounts since the boot.
pub(super) fn is_compared(fs: &Fs) -> bool {
    let known = fs.read(COMPARED).ok().flatten();
    known.is_some_and(|(content, _)| content == templates_of_this_version().as_bytes())
}

impl Engine {
    /// Looks after every account, if that was not done since the boot, by this release.
    pub fn bring_up_all(&self) {
        if is_compared(&self.fs) {
            return;
        }
        let Ok(accounts) = self.all_names() else { return };
        for name in accounts {
            match self.bring_up(&name) {
                Ok(BroughtUp { changed, left }) => {
                    if !changed.is_empty() {
                        tracing::info!(account = %name, ?changed, "brought up");
                    }
                    if !left.is_empty() {
                        tracing::warn!(account = %name, ?left, "differs, and is left to the node's policy");
                    }
                }
                Err(error) => tracing::error!(account = %name, %error, "can't be brought up"),
            }
        }
        let access = Access { uid: 0, gid: 0, mode: 0o600 };
        let content = templates_of_this_version();
        if let Err(error) = self.fs.write(COMPARED, content.as_bytes(), access, Durability::Derived) {
            tracing::warn!(%error, "accounts will be looked after again at the next start");
        }
    }

    /// Starts what a boot has stopped, and applies what this release makes of the account's manifests where it made something
    /// else before and nobody has edited that. What was done by hand stays.
    ///
    /// # Errors
    /// Something can't be done; the rest is done all the same.
    pub fn bring_up(&self, name: &Username) -> Result<BroughtUp, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if guard(&self.unfinished).contains_key(name) {
            return Ok(BroughtUp::default());
        }
        let Some(standing) = self.standing(name)? else { return Ok(BroughtUp::default()) };
        let good = self.last_good(name).map_err(|e| failed(&e))?;
        match &standing.on_disk {
            ManifestsState::Edited { revision, .. } if *revision == standing.record.revision => {
                return Err(failed(
                    &"the manifests were edited, and what was applied before is not known; pick them up",
                ));
            }
            ManifestsState::Same => {}
            _ => tracing::warn!(account = %name, "the manifests are not what was applied last"),
        }
        let set = &standing.record.manifests;
        let rendered = self.rendered(set).map_err(|e| failed(&e))?;
        let before = match self.journal.latest(name) {
            // Made by this very process, a moment ago.
            Some(operation) if !self.is_inherited(operation) => Before::Rendered(rendered.clone()),
            Some(_) => Before::Unknown,
            None => good.as_ref().and_then(|good| good.rendered.clone()).map_or(Before::Unknown, Before::Rendered),
        };
        let result = self.apply_what_is_due(name, set, &before, false);
        let up_to_date = good.as_ref().is_some_and(|good| good.rendered.as_ref() == Some(&rendered));
        if result.is_ok() && !up_to_date && self.journal.latest(name).is_none() {
            let (manifests, meta) = (set.clone(), standing.record.meta.clone());
            let good = LastGood { manifests, meta, rendered: Some(rendered) };
            self.applied.remember(&good).map_err(|e| failed(&e))?;
        }
        result
    }

    /// Makes an account's sites follow its snippets, which have come or gone; blocks that the quarantine took come back.
    pub(super) fn follow_snippets(&self, name: &Username) -> Result<BroughtUp, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        if guard(&self.unfinished).contains_key(name) {
            return Ok(BroughtUp::default());
        }
        let Some(standing) = self.standing(name)? else { return Ok(BroughtUp::default()) };
        let set = &standing.record.manifests;
        let has = crate::nginx::snippets::has(&self.fs, name);
        let before = self.resources_with(set, true, !has).map_err(|e| failed(&e))?;
        let before = Before::Rendered(self.names_of(set, &before));
        self.apply_what_is_due(name, set, &before, true)
    }

    /// What this release makes of a set.
    pub(super) fn rendered(&self, set: &ManifestSet) -> Result<Rendered, wcp360_agent_render::RenderError> {
        Ok(self.names_of(set, &self.resources(Some(set), true)?))
    }

    fn names_of(&self, set: &ManifestSet, resources: &[Resource]) -> Rendered {
        let work = Work::looking(self, set.account.uid.unwrap_or_default());
        resources.iter().map(|resource| (resource.key.clone(), work.wanted(resource))).collect()
    }

    /// Whether an operation was finished by an earlier process whose release may have been another one.
    pub(super) fn is_inherited(&self, operation: OperationId) -> bool {
        self.inherited.contains(&operation)
    }

    fn apply_what_is_due(
        &self,
        name: &Username,
        set: &ManifestSet,
        before: &Before,
        missing_blocks: bool,
    ) -> Result<BroughtUp, AgentError> {
        let uid = set.account.uid.ok_or_else(|| failed(&"account.json has no uid"))?;
        let mut work = self.work(name, uid, jiff::Timestamp::now(), false)?;
        work.keep_ignored = true;
        let mut done = BroughtUp::default();
        let mut first_error = None;
        for resource in self.resources(Some(set), true).map_err(|e| failed(&e))? {
            match work.compare(&resource) {
                Ok(None) => continue,
                Ok(Some(_)) if work.is_kept(&resource) => continue,
                Ok(Some(_)) => {}
                // Something else is in its place: by hand.
                Err(_) => {
                    done.left.push(resource.key);
                    continue;
                }
            }
            let missing = missing_blocks
                && matches!(&resource.kind, Kind::NginxSite { file, .. } if self.nginx.site(file).is_ok_and(|found| found.is_none()));
            if !missing && !self.is_lost_by_boot(&resource) && !is_due(&work, &resource, before) {
                done.left.push(resource.key);
                continue;
            }
            match work.put(&resource) {
                Ok(()) => done.changed.push(resource.key),
                Err(error) => {
                    tracing::error!(account = %name, key = resource.key, %error, "can't be made what it should be");
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(done), |error| Err(error.into()))
    }

    /// Whether a boot takes it: what runs, and what is in /run. Not what starts it, which is a file.
    fn is_lost_by_boot(&self, resource: &Resource) -> bool {
        match &resource.kind {
            Kind::UnitEnabled { unit, template, .. } => {
                self.fs.read_link(&wants(unit)).is_ok_and(|link| link == Some(unit_file(template)))
            }
            Kind::Dir { path, .. } | Kind::File { path, .. } | Kind::Symlink { path, .. } => {
                path.as_str().starts_with("/run/")
            }
            _ => false,
        }
    }
}

/// Whether this release makes something else of it than what was made last, and that is still there or gone, but not edited.
fn is_due(work: &Work<'_>, resource: &Resource, before: &Before) -> bool {
    let Before::Rendered(before) = before else { return true };
    match before.get(&resource.key) {
        None => true,
        Some(made) if *made == work.wanted(resource) => false,
        Some(made) => work.as_made(resource).is_none_or(|found| found == *made),
    }
}
