//! The node itself: its directories and units, nginx's own files, what was made by hand beside them, and what belongs to
//! no account.

use super::super::{Engine, failed, guard, units};
use super::extras::{EXTRA, extra};
use super::observe::{RELEASE, field};
use super::text;
use crate::fsx::{Access, Durability, FsError};
use crate::nginx::{HandMade, snippets};
use std::collections::BTreeSet;
use wcp360_agent_proto::{
    AgentError, DriftClass, DriftItem, DriftOrigin, DriftWhat, MAX_DIFF, NodeDrift, NodeRepairRequest, NodeRepaired,
    RepairAction, RepairOutcome, RepairedItem,
};
use wcp360_agent_render::paths::{PHP_CONF, UNITS, WANTS, WEB};
use wcp360_agent_render::{Kind, Principal, node};
use wcp360_types::{Domain, Username};

/// Units that a release brings, as it brings them.
const RELEASE_UNITS: &str = "/opt/wcp360/current/systemd";

fn item(key: String, class: DriftClass, what: DriftWhat, summary: &str, found: &[u8]) -> DriftItem {
    DriftItem { what, summary: summary.into(), actions: vec![RepairAction::Repair], ..extra(key, class, found) }
}

fn from(template: Option<&str>) -> DriftOrigin {
    DriftOrigin { manifest: None, template: template.map(Into::into), revision: None, release: RELEASE.into() }
}

impl Engine {
    /// How the node differs from what this release makes of it.
    ///
    /// # Errors
    /// It can't be compared.
    pub fn node_drift(&self) -> Result<NodeDrift, AgentError> {
        let mut items = Vec::new();
        self.resources_of_node(&mut items)?;
        self.release_units(&mut items);
        self.nginx_of_node(&mut items)?;
        self.without_account(&mut items)?;
        let (nginx_generation, nginx_running) = self.nginx.generation().map_err(|e| failed(&e))?;
        if nginx_running.is_some() && nginx_running != nginx_generation {
            let key = "nginx:generation".to_owned();
            items.push(item(key, DriftClass::Config, DriftWhat::Changed, "nginx runs another generation", b""));
        }
        let quarantine = self.quarantine.list().map_err(|e| failed(&e))?;
        Ok(NodeDrift { items, nginx_generation, nginx_running, quarantine })
    }

    fn resources_of_node(&self, items: &mut Vec<DriftItem>) -> Result<(), AgentError> {
        let group = |principal| match principal {
            Principal::Web => self.ids.web_gid,
            Principal::Panel => self.ids.panel_gid,
            Principal::Root | Principal::Account => 0,
        };
        for resource in node::render_node(&self.facts).map_err(|e| failed(&e))? {
            let (path, want, content) = match &resource.kind {
                Kind::Dir { path, group: owner, mode, .. } => {
                    (path, Access { uid: 0, gid: group(*owner), mode: *mode }, None)
                }
                Kind::File { path, content, mode, .. } => (path, Access { uid: 0, gid: 0, mode: *mode }, Some(content)),
                _ => continue,
            };
            self.compare_file(resource.key, path.as_str(), want, content.map(String::as_str), items);
        }
        Ok(())
    }

    /// Units of the daemons and of nginx, as the release brings them.
    fn release_units(&self, items: &mut Vec<DriftItem>) {
        for (unit, content) in self.units_of_release() {
            let want = Access { uid: 0, gid: 0, mode: 0o644 };
            let path = format!("{UNITS}/{unit}");
            self.compare_file(format!("file:{path}"), &path, want, Some(&content), items);
        }
    }

    fn units_of_release(&self) -> Vec<(String, String)> {
        let dir = self.fs.layout().real(RELEASE_UNITS);
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let units = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, std::fs::read_to_string(entry.path()).ok()?))
        });
        let mut units: Vec<(String, String)> = units.collect();
        units.sort();
        units
    }

    fn compare_file(&self, key: String, path: &str, want: Access, content: Option<&str>, items: &mut Vec<DriftItem>) {
        let class = if path.starts_with(UNITS) { DriftClass::Unit } else { DriftClass::Tree };
        // The trusted roots themselves have no parent to look at them from.
        let meta = match self.fs.meta_of_any(path) {
            Ok(Some(meta)) => meta,
            Ok(None) => return items.push(item(key, class, DriftWhat::Missing, "it is missing", b"")),
            Err(error) => return items.push(item(key, class, DriftWhat::Changed, &error.to_string(), b"")),
        };
        let mut fields = Vec::new();
        fields.extend(field(
            "owner",
            format!("{}:{}", want.uid, want.gid),
            format!("{}:{}", meta.access.uid, meta.access.gid),
        ));
        fields.extend(field("mode", format!("{:04o}", want.mode), format!("{:04o}", meta.access.mode)));
        let mut found = item(key, class, DriftWhat::Changed, "edited by hand", format!("{:?}", meta.access).as_bytes());
        found.found = Some(self.found(&meta));
        found.origin = from(None);
        if let Some(content) = content {
            let read = self.fs.read(path).ok().flatten().map(|(bytes, _)| bytes);
            let is = String::from_utf8_lossy(read.as_deref().unwrap_or_default()).into_owned();
            if is != content {
                fields.extend(field("content", "as in this release", "another"));
                let (diff, cut) = text::diff(content, &is, path, MAX_DIFF);
                (found.diff, found.diff_cut) = (Some(diff), cut);
                found.digest = text::digest(&[found.digest.as_bytes(), is.as_bytes()]);
            }
        }
        if !fields.is_empty() {
            found.fields = fields;
            items.push(found);
        }
    }

    fn nginx_of_node(&self, items: &mut Vec<DriftItem>) -> Result<(), AgentError> {
        for edited in self.nginx.edited_base().map_err(|e| failed(&e))? {
            let what = if edited.found.is_some() { DriftWhat::Changed } else { DriftWhat::Missing };
            let is = edited.found.unwrap_or_default();
            let key = format!("nginx-file:{}", edited.file);
            let mut found = item(
                key,
                DriftClass::Config,
                what,
                "edited by hand; nginx reads it when it is reloaded",
                is.as_bytes(),
            );
            let (diff, cut) = text::diff(&edited.wanted, &is, &edited.path, MAX_DIFF);
            (found.diff, found.diff_cut) = (Some(diff), cut);
            found.found = edited.meta.map(|meta| self.found(&meta));
            found.origin = from(Some(&format!("nginx/{}", edited.file)));
            items.push(found);
        }
        for (file, made) in self.nginx.made_by_hand().map_err(|e| failed(&e))? {
            // An edited block of an account is the account's drift.
            if made == HandMade::Foreign && !self.is_of_an_account(&file) {
                let content = self.nginx.site(&file).ok().flatten().unwrap_or_default();
                let summary = "made by hand among the sites; nginx reads it when it is reloaded";
                let key = format!("nginx-extra:{file}");
                let mut found = item(key, DriftClass::Config, DriftWhat::Extra, summary, content.as_bytes());
                found.diff = Some(text::diff("", &content, &file, MAX_DIFF).0);
                items.push(found);
            }
        }
        for (dir, file) in self.nginx.new_snippets().map_err(|e| failed(&e))? {
            let key = format!("snippet:{dir}/{file}");
            items.push(item(key, DriftClass::Config, DriftWhat::Changed, "changed, and not live yet", b""));
        }
        Ok(())
    }

    /// Whether a block is named as that of an account that exists: then the account's own comparison has it.
    fn is_of_an_account(&self, file: &str) -> bool {
        let account = file.split('.').next().and_then(|name| Username::parse(name).ok());
        account.is_some_and(|name| self.standing(&name).is_ok_and(|standing| standing.is_some()))
    }

    /// What is in the shared directories and belongs to nobody.
    fn without_account(&self, items: &mut Vec<DriftItem>) -> Result<(), AgentError> {
        let names: BTreeSet<String> = self.all_names()?.iter().map(ToString::to_string).collect();
        let busy: BTreeSet<String> = guard(&self.unfinished).keys().map(ToString::to_string).collect();
        let list = |dir: &str| self.fs.list(dir).map_err(|e| failed(&e));
        for dir in [PHP_CONF.to_owned(), format!("{WEB}/sites")] {
            for entry in list(&dir)?.into_iter().filter(|entry| !names.contains(entry) && !busy.contains(entry)) {
                items.push(self.extra_at(&format!("{dir}/{entry}")));
            }
        }
        for unit in list(WANTS)? {
            let account = unit.strip_prefix("wcp360-php").and_then(|rest| rest.split_once('@')?.1.split('.').next());
            if account.is_some_and(|account| !names.contains(account) && !busy.contains(account)) {
                items.push(self.extra_at(&format!("{WANTS}/{unit}")));
            }
        }
        let dir = format!("{WEB}/names");
        for name in list(&dir)?.into_iter().filter(|name| !name.ends_with(".wcp360-new")) {
            let owned =
                Domain::parse(&name).is_ok_and(|domain| domain.as_str() == name && self.names.is_taken(&domain));
            if !owned {
                items.push(self.extra_at(&format!("{dir}/{name}")));
            }
        }
        Ok(())
    }

    /// Takes away what a repair of the node left half-written when it was killed: at start, when nobody else writes. What it had
    /// not come to differs still, and is repaired by whoever asks again: each thing appears whole or not at all.
    pub(in super::super) fn tidy_node(&self) -> Result<(), FsError> {
        for (unit, _) in self.units_of_release() {
            self.fs.remove_temporary(&format!("{UNITS}/{unit}"))?;
        }
        self.quarantine.tidy()
    }

    /// Repairs things of the node. Not in the journal: see [`Engine::tidy_node`].
    ///
    /// # Errors
    /// It can't be compared. What becomes of each thing is in the answer.
    pub fn node_repair(&self, request: &NodeRepairRequest) -> Result<NodeRepaired, AgentError> {
        let found = self.node_drift()?.items;
        let keys: Vec<String> = if request.keys.is_empty() {
            found.iter().map(|item| item.key.clone()).collect()
        } else {
            request.keys.clone()
        };
        let mut items = Vec::new();
        for key in keys {
            let (outcome, message) = match found.iter().find(|item| item.key == key) {
                None => (RepairOutcome::Healthy, None),
                Some(item) => match self.put_back_of_node(item) {
                    Ok(note) => (RepairOutcome::Done, note),
                    Err(error) => (RepairOutcome::Failed, Some(error.message)),
                },
            };
            items.push(RepairedItem { key, action: RepairAction::Repair, outcome, message });
        }
        let left = super::repair::count(self.node_drift()?.items.len());
        Ok(NodeRepaired { items, left })
    }

    fn put_back_of_node(&self, item: &DriftItem) -> Result<Option<String>, AgentError> {
        if let Some(path) = item.key.strip_prefix(EXTRA) {
            return self.move_aside(path).map(Some);
        }
        if let Some(file) = item.key.strip_prefix("nginx-extra:") {
            let path = self.nginx.site_path(file).map_err(|e| failed(&e))?;
            let kept = path.map(|path| self.move_aside(&path)).transpose()?;
            self.nginx.apply(crate::nginx::SiteChange::new()).map_err(|e| failed(&e))?;
            return Ok(kept);
        }
        if item.kind == "nginx-file" || item.kind == "nginx" || item.kind == "snippet" {
            return self.nginx.apply(crate::nginx::SiteChange::new()).map(|()| None).map_err(|e| failed(&e));
        }
        let path = item.key.strip_prefix("file:").unwrap_or("");
        if let Some((_, content)) = self.units_of_release().iter().find(|(unit, _)| path == format!("{UNITS}/{unit}")) {
            let access = Access { uid: 0, gid: 0, mode: 0o644 };
            units::will_change(&self.fs).map_err(|e| failed(&e))?;
            self.fs.write(path, content.as_bytes(), access, Durability::Durable).map_err(|e| failed(&e))?;
            return units::read_changed(&self.fs, &*self.services).map(|()| None).map_err(|e| failed(&e));
        }
        super::super::prepare::prepare_node(&self.fs, &self.facts, self.ids, &*self.services)
            .map(|()| None)
            .map_err(|e| failed(&e))
    }

    /// Makes live what administrators have written or removed, and moves aside what nginx would refuse. Called again and
    /// again; cheap if nothing has changed.
    pub fn follow_hand_edits(&self) {
        let had = self.nginx.sites().unwrap_or_default();
        if let Err(error) = self.nginx.follow() {
            tracing::error!(%error, "nginx's configuration can't be brought up to date");
        }
        let with = match snippets::accounts(&self.fs) {
            Ok(with) => with,
            Err(error) => return tracing::error!(%error, "snippets can't be read"),
        };
        let before = std::mem::replace(&mut *guard(&self.with_snippets), with.clone());
        let live: BTreeSet<String> = self.nginx.sites().unwrap_or_default().into_iter().collect();
        let has_block = |name: &Username| live.iter().any(|file| file.starts_with(&format!("{name}.")));
        // Those that need server blocks now, have lost theirs to the quarantine, or need them no longer.
        let owner = |file: &String| Username::parse(file.split('.').next().unwrap_or("")).ok();
        let robbed = had.iter().filter(|file| !live.contains(*file)).filter_map(owner);
        let changed = before.symmetric_difference(&with).chain(with.iter().filter(|name| !has_block(name)));
        for name in changed.cloned().chain(robbed).collect::<BTreeSet<_>>() {
            if let Err(error) = self.follow_snippets_of(&name) {
                tracing::error!(account = %name, %error, "its sites can't follow its snippets");
            }
        }
    }

    fn follow_snippets_of(&self, name: &Username) -> Result<(), AgentError> {
        self.follow_snippets(name)?;
        let lock = self.lock_of(name);
        let _held = guard(&lock);
        let Some(compared) = self.compared(name, &self.view()?)? else { return Ok(()) };
        let over = compared.items.iter().filter(|item| item.what == DriftWhat::Extra);
        let change: crate::nginx::SiteChange =
            over.filter_map(|item| Some((item.key.strip_prefix("nginx:")?.to_owned(), None))).collect();
        if change.is_empty() { Ok(()) } else { self.nginx.apply(change).map_err(|e| failed(&e)) }
    }
}
