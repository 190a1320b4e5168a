//! What nothing asks for, in the directories that belong to one account's configuration.

use super::super::{Work, failed};
use super::observe::{RELEASE, path_of};
use super::text;
use std::collections::HashSet;
use wcp360_agent_proto::{AgentError, DriftClass, DriftItem, DriftOrigin, DriftWhat, RepairAction};
use wcp360_agent_render::paths::{PHP_CONF, UNITS, USERS, WANTS};
use wcp360_agent_render::{Kind, Removal, Resource, UnitName};
use wcp360_types::Username;

const MANIFESTS: &[&str] = &["account.json", "limits.json", "domains.json", "services.json", "ssh.json", "meta.json"];

/// The beginning of the key of something extra; the rest is its path.
pub(super) const EXTRA: &str = "extra:";

impl Work<'_> {
    /// Adds what is extra to `items`.
    pub(super) fn extras(
        &self,
        name: &Username,
        resources: &[Resource],
        items: &mut Vec<DriftItem>,
    ) -> Result<(), AgentError> {
        let known: HashSet<&str> =
            resources.iter().filter_map(|r| path_of(&r.kind)).map(|path| path.as_str()).collect();
        let mut found = Vec::new();
        for resource in resources {
            if let Kind::Dir { path, removal: Removal::Tree, .. } = &resource.kind {
                // What is no directory is reported as such.
                let files = self.engine.fs.list(path.as_str()).unwrap_or_default();
                found.extend(files.into_iter().map(|file| format!("{path}/{file}")));
            }
        }
        for dir in [format!("{PHP_CONF}/{name}"), format!("{UNITS}/{}.d", UnitName::slice(name))] {
            if !known.contains(dir.as_str()) && self.engine.fs.meta(&dir).map_err(|e| failed(&e))?.is_some() {
                found.push(dir);
            }
        }
        found.retain(|path| !known.contains(path.as_str()));
        let manifests = format!("{USERS}/{name}");
        let files = self.engine.fs.list(&manifests).unwrap_or_default();
        found.extend(files.iter().filter(|f| !MANIFESTS.contains(&f.as_str())).map(|f| format!("{manifests}/{f}")));
        let enabled = |unit: &String| {
            resources.iter().any(|r| matches!(&r.kind, Kind::UnitEnabled { unit: known, .. } if known.as_str() == unit))
        };
        if let Some(view) = self.view {
            let units = view.wants.get(name.as_str()).into_iter().flatten().filter(|unit| !enabled(unit));
            found.extend(units.map(|unit| format!("{WANTS}/{unit}")));
            let block = |file: &String| {
                resources.iter().any(|r| matches!(&r.kind, Kind::NginxSite { file: known, .. } if known == file))
            };
            for file in view.blocks.get(name.as_str()).into_iter().flatten().filter(|file| !block(file)) {
                let content = self.engine.nginx.site(file).ok().flatten().unwrap_or_default();
                items.push(extra(format!("nginx:{file}"), DriftClass::Web, content.as_bytes()));
            }
        }
        for path in found.into_iter().filter(|path| !path.ends_with(".wcp360-new")) {
            items.push(self.engine.extra_at(&path));
        }
        Ok(())
    }
}

impl super::super::Engine {
    /// The item about something extra at `path`.
    pub(super) fn extra_at(&self, path: &str) -> DriftItem {
        let class = match path {
            _ if path.starts_with(USERS) => DriftClass::Manifests,
            _ if path.starts_with(UNITS) => DriftClass::Unit,
            _ if path.starts_with(PHP_CONF) => DriftClass::Config,
            _ => DriftClass::Web,
        };
        let meta = self.fs.meta(path).ok().flatten();
        let content = self.fs.read(path).ok().flatten().map(|(bytes, _)| bytes);
        let link = self.fs.read_link(path).ok().flatten();
        let found = content.or(link.map(String::into_bytes)).unwrap_or_default();
        DriftItem { found: meta.map(|meta| self.found(&meta)), ..extra(format!("{EXTRA}{path}"), class, &found) }
    }
}

pub(super) fn extra(key: String, class: DriftClass, found: &[u8]) -> DriftItem {
    DriftItem {
        kind: key.split(':').next().unwrap_or("").to_owned(),
        digest: text::digest(&[key.as_bytes(), found]),
        key,
        what: DriftWhat::Extra,
        class,
        summary: "nothing asks for it".into(),
        fields: Vec::new(),
        diff: None,
        diff_cut: false,
        origin: DriftOrigin { manifest: None, template: None, revision: None, release: RELEASE.into() },
        found: None,
        actions: vec![RepairAction::Repair, RepairAction::Ignore],
    }
}
