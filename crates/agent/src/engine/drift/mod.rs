//! Drift: what was edited, deleted or added by hand, found and shown (ENG-07).
//!
//! The machine is compared with what was applied last, by the same comparison that every change begins with. What differs is
//! then looked at more closely. Nothing is written.

pub(crate) mod accepted;
mod extras;
mod node;
mod observe;
mod repair;
mod scan;
pub(crate) mod text;

use super::standing::Standing;
use super::{Engine, Work, failed, guard, not_found};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};
use wcp360_agent_proto::{
    Accepted, AccountDrift, AgentError, DriftClass, DriftItem, DriftOrigin, DriftWhat, MAX_DIFF, ManifestsState,
    RepairAction,
};
use wcp360_agent_render::Resource;
use wcp360_agent_render::paths::{USERS, WANTS};
use wcp360_types::Username;
use wcp360_types::manifest::ManifestSet;

/// What comparisons of many accounts share.
pub(crate) struct View {
    /// Sockets of PHP that listen.
    pub(crate) units: HashSet<String>,
    /// Links by which units are started at boot, by account.
    wants: BTreeMap<String, Vec<String>>,
    /// Server blocks that are live, by account.
    blocks: BTreeMap<String, Vec<String>>,
}

/// An account compared: everything that differs, also what was accepted.
pub(super) struct Compared {
    pub(super) standing: Standing,
    pub(super) items: Vec<DriftItem>,
    /// What each key should be, for what is accepted.
    pub(super) wanted: BTreeMap<String, String>,
    pub(super) accepted: Vec<Accepted>,
    pub(super) resources: Vec<Resource>,
}

impl Engine {
    /// How an account differs from what was applied last.
    ///
    /// # Errors
    /// It does not exist or can't be compared.
    pub fn drift(&self, name: &Username) -> Result<AccountDrift, AgentError> {
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        let view = self.view()?;
        Ok(self.compared(name, &view)?.ok_or_else(|| not_found(name))?.report(name))
    }

    /// What comparisons share, as it is now.
    pub(super) fn view(&self) -> Result<View, AgentError> {
        let units = self.services.active("wcp360-php*.socket").map_err(|e| failed(&e))?;
        let mut wants: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for unit in self.fs.list(WANTS).map_err(|e| failed(&e))? {
            if let Some((_, account)) = unit.strip_prefix("wcp360-php").and_then(|rest| rest.split_once('@')) {
                let account = account.split('.').next().unwrap_or("").to_owned();
                wants.entry(account).or_default().push(unit);
            }
        }
        let mut blocks: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in self.nginx.sites().map_err(|e| failed(&e))? {
            let account = file.split('.').next().unwrap_or("").to_owned();
            blocks.entry(account).or_default().push(file);
        }
        Ok(View { units, wants, blocks })
    }

    /// Compares one account; `None` if it does not exist. Its lock is held.
    pub(super) fn compared(&self, name: &Username, view: &View) -> Result<Option<Compared>, AgentError> {
        let Some(standing) = self.standing(name)? else { return Ok(None) };
        let set = &standing.record.manifests;
        let uid = set.account.uid.ok_or_else(|| failed(&"account.json has no uid"))?;
        let mut work = self.work(name, uid, Timestamp::now(), false)?;
        work.view = Some(view);
        let accepted = std::mem::take(&mut work.kept);
        let resources = self.resources(Some(set), true).map_err(|e| failed(&e))?;
        let mut items = Vec::new();
        let mut wanted = BTreeMap::new();
        for resource in &resources {
            if let Some(item) = work.observe(resource, &standing.record.revision) {
                wanted.insert(item.key.clone(), work.wanted(resource));
                items.push(item);
            }
        }
        work.extras(name, &resources, &mut items)?;
        self.manifests_item(name, &standing, &mut items);
        Ok(Some(Compared { standing, items, wanted, accepted, resources }))
    }

    /// The manifests themselves, if they are not what was applied last, and who may read them.
    fn manifests_item(&self, name: &Username, standing: &Standing, items: &mut Vec<DriftItem>) {
        let dir = format!("{USERS}/{name}");
        let revision = &standing.record.revision;
        let origin = DriftOrigin {
            manifest: None,
            template: None,
            revision: Some(revision.clone()),
            release: observe::RELEASE.into(),
        };
        let (what, summary, diff, found) = match &standing.on_disk {
            ManifestsState::Same => return observe::manifest_modes(&self.fs, &dir, &origin, items),
            ManifestsState::Edited { revision, diff, .. } => (
                DriftWhat::Changed,
                "edited by hand; pick them up, or put back what was applied last".into(),
                Some(diff),
                revision.to_string(),
            ),
            ManifestsState::Refused { file, field, error } => {
                let field = field.as_ref().map(|field| format!(" {field}:")).unwrap_or_default();
                (DriftWhat::Changed, format!("{file}:{field} {error}"), None, self.raw_digest(&dir))
            }
            ManifestsState::Missing => (DriftWhat::Missing, "removed by hand".into(), None, String::new()),
        };
        let meta = self.fs.meta(&dir).ok().flatten();
        items.push(DriftItem {
            key: format!("manifests:{name}"),
            kind: "manifests".into(),
            what,
            class: DriftClass::Manifests,
            summary,
            fields: Vec::new(),
            diff_cut: diff.is_some_and(|diff| diff.len() + 200 > MAX_DIFF),
            diff: diff.cloned(),
            origin,
            found: meta.map(|meta| self.found(&meta)),
            digest: text::digest(&[found.as_bytes()]),
            actions: vec![RepairAction::Repair, RepairAction::Ignore],
        });
    }

    /// Names the files in a directory by what is in them.
    fn raw_digest(&self, dir: &str) -> String {
        let files = self.fs.list(dir).unwrap_or_default();
        let read = |file: &String| self.fs.read(&format!("{dir}/{file}")).ok().flatten().map(|(bytes, _)| bytes);
        let contents: Vec<Vec<u8>> =
            files.iter().flat_map(|file| [file.clone().into_bytes(), read(file).unwrap_or_default()]).collect();
        text::digest(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

impl Compared {
    /// Without what was accepted or is ignored.
    pub(super) fn report(self, name: &Username) -> AccountDrift {
        let (items, accepted) = self.open();
        AccountDrift {
            account: name.clone(),
            revision: self.standing.record.revision,
            manifests: self.standing.on_disk,
            items,
            accepted,
        }
    }

    /// What is not accepted, and of what is accepted what still stands.
    pub(super) fn open(&self) -> (Vec<DriftItem>, Vec<Accepted>) {
        let stands = |accepted: &&Accepted| {
            let item = self.items.iter().find(|item| item.key == accepted.key);
            item.is_some_and(|item| item.digest == accepted.found && self.wanted_of(&item.key) == accepted.wanted)
        };
        let accepted: Vec<Accepted> = self.accepted.iter().filter(stands).cloned().collect();
        let is_open = |item: &&DriftItem| !accepted.iter().any(|accepted| accepted.key == item.key);
        (self.items.iter().filter(is_open).cloned().collect(), accepted)
    }

    /// Names what `key` should be.
    pub(super) fn wanted_of(&self, key: &str) -> String {
        self.wanted.get(key).cloned().unwrap_or_default()
    }

    /// What it was compared with.
    pub(super) fn set(&self) -> &ManifestSet {
        &self.standing.record.manifests
    }
}

impl Work<'_> {
    /// Whether somebody has decided that the difference of `resource` is to stay.
    pub(crate) fn is_kept(&self, resource: &Resource) -> bool {
        let mut decided = self.kept.iter().filter(|accepted| accepted.key == resource.key);
        decided.any(|accepted| {
            (accepted.action == RepairAction::Adopt || self.keep_ignored)
                && accepted.wanted == self.wanted(resource)
                && accepted.found == self.found_digest(resource)
        })
    }
}
