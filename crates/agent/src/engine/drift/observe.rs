//! Looking at what differs more closely: which property, since when, whose.

use super::super::kinds::{Of, unit_file, wants};
use super::super::{Engine, Work};
use super::text;
use crate::fsx::{Access, FileType, Fs, Meta};
use jiff::Timestamp;
use wcp360_agent_proto::{DriftClass, DriftItem, DriftOrigin, DriftWhat, FieldChange, Found, MAX_DIFF, RepairAction};
use wcp360_agent_render::resource::UserSpec;
use wcp360_agent_render::{AbsPath, Kind, Resource, origin, paths};
use wcp360_types::Revision;

/// The release whose templates are used.
pub(super) const RELEASE: &str = env!("CARGO_PKG_VERSION");

pub(super) fn field(name: &str, wanted: impl ToString, found: impl ToString) -> Option<FieldChange> {
    let (wanted, found) = (wanted.to_string(), found.to_string());
    (wanted != found).then(|| FieldChange { field: name.into(), wanted, found })
}

/// Where a resource is, if it is one file or directory.
pub(super) fn path_of(kind: &Kind) -> Option<&AbsPath> {
    match kind {
        Kind::Home { path, .. }
        | Kind::Dir { path, .. }
        | Kind::LogFile { path, .. }
        | Kind::File { path, .. }
        | Kind::Symlink { path, .. }
        | Kind::SelfSignedCert { path, .. } => Some(path),
        Kind::User(_) | Kind::TenantDir { .. } | Kind::UnitEnabled { .. } | Kind::NginxSite { .. } => None,
    }
}

pub(super) fn class(kind: &Kind) -> DriftClass {
    match kind {
        Kind::User(_) => DriftClass::User,
        Kind::SelfSignedCert { .. } => DriftClass::Key,
        Kind::UnitEnabled { .. } => DriftClass::Unit,
        Kind::NginxSite { .. } | Kind::Symlink { .. } => DriftClass::Web,
        Kind::File { path, .. } if path.as_str().starts_with(paths::UNITS) => DriftClass::Unit,
        Kind::Dir { path, .. } if path.as_str().starts_with(paths::UNITS) => DriftClass::Unit,
        // They say what is live, to nginx and to the panel.
        Kind::File { path, .. } | Kind::Dir { path, .. } if path.as_str().starts_with(paths::WEB) => DriftClass::Web,
        Kind::File { .. } => DriftClass::Config,
        Kind::Home { .. } | Kind::Dir { .. } | Kind::TenantDir { .. } | Kind::LogFile { .. } => DriftClass::Tree,
    }
}

/// A mode that may be accepted: the owners are right, and neither others nor, where root owns it, the group may write.
fn harmless(wanted: Access, found: Access) -> bool {
    let writers = if wanted.uid == 0 { 0o022 } else { 0o002 };
    (wanted.uid, wanted.gid) == (found.uid, found.gid) && found.mode & (writers | 0o7000) & !wanted.mode == 0
}

fn access_fields(wanted: Access, found: Access) -> Vec<FieldChange> {
    let owner = |access: Access| format!("{}:{}", access.uid, access.gid);
    let mode = |access: Access| format!("{:04o}", access.mode);
    let fields = [field("owner", owner(wanted), owner(found)), field("mode", mode(wanted), mode(found))];
    fields.into_iter().flatten().collect()
}

/// A manifest that others than root can read.
pub(super) fn manifest_modes(fs: &Fs, dir: &str, origin: &DriftOrigin, items: &mut Vec<DriftItem>) {
    let files = ["account", "limits", "domains", "services", "ssh", "meta"].map(|file| format!("{dir}/{file}.json"));
    let paths = std::iter::once((dir.to_owned(), 0o700)).chain(files.into_iter().map(|file| (file, 0o600)));
    for (path, mode) in paths {
        let Ok(Some(meta)) = fs.meta(&path) else { continue };
        let fields = access_fields(Access { uid: 0, gid: 0, mode }, meta.access);
        if !fields.is_empty() {
            items.push(DriftItem {
                key: format!("manifest:{path}"),
                kind: "manifest".into(),
                what: DriftWhat::Changed,
                class: DriftClass::Manifests,
                summary: "others than root may read or change it".into(),
                digest: text::digest(&[format!("{:?}", meta.access).as_bytes()]),
                fields,
                diff: None,
                diff_cut: false,
                origin: origin.clone(),
                found: None,
                actions: vec![RepairAction::Repair, RepairAction::Ignore],
            });
        }
    }
}

impl Engine {
    /// What is known of something that was found.
    pub(super) fn found(&self, meta: &Meta) -> Found {
        Found {
            modified: Timestamp::from_second(meta.modified.0).unwrap_or(Timestamp::UNIX_EPOCH),
            uid: meta.access.uid,
            gid: meta.access.gid,
            owner: self.userdb.name_of(meta.access.uid).ok().flatten(),
            mode: format!("{:04o}", meta.access.mode),
            size: meta.size,
        }
    }
}

impl Work<'_> {
    /// How `resource` differs, in detail; `None`: it does not.
    pub(super) fn observe(&self, resource: &Resource, revision: &Revision) -> Option<DriftItem> {
        let (summary, created) = match self.compare(resource) {
            Ok(None) => return None,
            Ok(Some(difference)) => (difference.summary, difference.action == wcp360_types::plan::PlanAction::Create),
            Err(error) => (error.to_string(), false),
        };
        let from = origin(resource);
        let meta = path_of(&resource.kind).and_then(|path| self.engine.fs.meta(path.as_str()).ok().flatten());
        let class = class(&resource.kind);
        let mut actions = vec![RepairAction::Repair];
        if self.may_adopt(resource, class, meta.as_ref()) {
            actions.push(RepairAction::Adopt);
        }
        actions.push(RepairAction::Ignore);
        let (diff, diff_cut) = self.shown(resource).map_or((None, false), |(diff, cut)| (Some(diff), cut));
        Some(DriftItem {
            key: resource.key.clone(),
            kind: resource.key.split(':').next().unwrap_or("").to_owned(),
            what: if created { DriftWhat::Missing } else { DriftWhat::Changed },
            class,
            summary: if summary.is_empty() { "it differs".into() } else { summary },
            fields: if created { Vec::new() } else { self.fields(resource, meta.as_ref()) },
            diff,
            diff_cut,
            origin: DriftOrigin {
                manifest: Some(from.manifest.into()),
                template: from.template.map(Into::into),
                revision: Some(revision.clone()),
                release: RELEASE.into(),
            },
            found: meta.map(|meta| self.engine.found(&meta)),
            digest: self.found_digest(resource),
            actions,
        })
    }

    /// Who may do what with it, if that is part of what is wanted.
    fn wanted_access(&self, kind: &Kind) -> Option<Access> {
        use wcp360_agent_render::Principal;
        match kind {
            Kind::Home { mode, .. } => Some(self.access(Principal::Root, Principal::Account, *mode)),
            Kind::Dir { owner, group, mode, .. }
            | Kind::LogFile { owner, group, mode, .. }
            | Kind::File { owner, group, mode, .. } => Some(self.access(*owner, *group, *mode)),
            Kind::SelfSignedCert { .. } => Some(self.certificate_access()),
            _ => None,
        }
    }

    fn may_adopt(&self, resource: &Resource, class: DriftClass, meta: Option<&Meta>) -> bool {
        let (Some(meta), Some(wanted)) = (meta, self.wanted_access(&resource.kind)) else { return false };
        match class {
            DriftClass::Tree => {
                let right = if matches!(resource.kind, Kind::LogFile { .. }) { FileType::File } else { FileType::Dir };
                meta.file_type == right && harmless(wanted, meta.access)
            }
            DriftClass::Config => {
                let text = |(bytes, _): (Vec<u8>, Meta)| std::str::from_utf8(&bytes).is_ok();
                let read = |path: &AbsPath| self.engine.fs.read(path.as_str()).ok().flatten();
                meta.file_type == FileType::File
                    && harmless(wanted, meta.access)
                    && path_of(&resource.kind).and_then(read).is_some_and(text)
            }
            _ => false,
        }
    }

    fn fields(&self, resource: &Resource, meta: Option<&Meta>) -> Vec<FieldChange> {
        let mut out = Vec::new();
        let fs = &self.engine.fs;
        match &resource.kind {
            Kind::User(user) => out.extend(self.user_fields(user)),
            Kind::Symlink { path, target, owner } => {
                let found = fs.read_link(path.as_str()).ok().flatten().unwrap_or_else(|| "no link".into());
                out.extend(field("target", target, found));
                out.extend(meta.and_then(|meta| field("owner", self.id(*owner, Of::User), meta.access.uid)));
            }
            Kind::UnitEnabled { unit, template, socket, .. } => {
                let enabled = fs.read_link(&wants(unit)).ok().flatten();
                out.extend(field("enabled", unit_file(template), enabled.unwrap_or_else(|| "no".into())));
                let active = self.is_active(unit).map_or_else(|e| e.to_string(), |active| active.to_string());
                out.extend(field("active", true, active));
                if let Ok(Some(meta)) = fs.meta(socket.as_str()) {
                    out.extend(access_fields(self.socket_access(), meta.access));
                }
            }
            Kind::File { path, content, .. } => {
                let same = fs
                    .read(path.as_str())
                    .is_ok_and(|found| found.is_some_and(|(bytes, _)| bytes == content.as_bytes()));
                if !same {
                    out.extend(field("content", "as rendered", "another"));
                }
            }
            Kind::NginxSite { .. } => out.extend(field("content", "as rendered", "another")),
            _ => {}
        }
        if let (Some(wanted), Some(meta)) = (self.wanted_access(&resource.kind), meta) {
            out.extend(access_fields(wanted, meta.access));
        }
        out
    }

    fn user_fields(&self, user: &UserSpec) -> Vec<FieldChange> {
        let Ok(Some(found)) = self.engine.userdb.find(user.name.as_str()) else { return Vec::new() };
        let locked = found.locked.map_or("passwd, shadow and group disagree".to_owned(), |locked| locked.to_string());
        let fields = [
            field("uid", user.uid, found.uid),
            field("gid", user.uid, found.gid),
            field("home", &user.home, &found.home),
            field("shell", user.shell, &found.shell),
            field("locked", user.locked, locked),
        ];
        fields.into_iter().flatten().collect()
    }

    /// A diff, of text that is no key.
    fn shown(&self, resource: &Resource) -> Option<(String, bool)> {
        let (name, wanted, found) = match &resource.kind {
            Kind::File { path, content, .. } => (path.as_str(), content, self.engine.fs.read(path.as_str()).ok()??.0),
            Kind::NginxSite { file, content } => {
                (file.as_str(), content, self.engine.nginx.site(file).ok()??.into_bytes())
            }
            _ => return None,
        };
        let found = String::from_utf8_lossy(&found);
        (found != *wanted).then(|| text::diff(wanted, &found, name, MAX_DIFF))
    }

    /// Names what `resource` should be.
    pub(crate) fn wanted(&self, resource: &Resource) -> String {
        let access = self.wanted_access(&resource.kind).map(|access| format!("{access:?}")).unwrap_or_default();
        let content = match &resource.kind {
            Kind::File { content, .. } | Kind::NginxSite { content, .. } => content.clone(),
            Kind::Symlink { target, owner, .. } => format!("{target} {}", self.id(*owner, Of::User)),
            Kind::SelfSignedCert { names, .. } => format!("{names:?}"),
            Kind::User(user) => format!("{} {} {} {}", user.uid, user.home, user.shell, user.locked),
            Kind::UnitEnabled { template, socket, .. } => format!("{template} {socket}"),
            Kind::Home { .. } | Kind::Dir { .. } | Kind::TenantDir { .. } | Kind::LogFile { .. } => String::new(),
        };
        text::digest(&[resource.key.as_bytes(), access.as_bytes(), content.as_bytes()])
    }

    /// Names what is found as [`Work::wanted`] names what should be: the same, if it is as it was made. `None` for what has
    /// no form of its own to compare, and where nothing is.
    pub(crate) fn as_made(&self, resource: &Resource) -> Option<String> {
        let fs = &self.engine.fs;
        let access = |path: &AbsPath| fs.meta(path.as_str()).ok().flatten().map(|meta| format!("{:?}", meta.access));
        let (access, content) = match &resource.kind {
            Kind::File { path, .. } => (access(path)?, fs.read(path.as_str()).ok()??.0),
            Kind::Home { path, .. } | Kind::Dir { path, .. } | Kind::LogFile { path, .. } => {
                (access(path)?, Vec::new())
            }
            Kind::NginxSite { file, .. } => (String::new(), self.engine.nginx.site(file).ok()??.into_bytes()),
            Kind::Symlink { path, .. } => {
                let uid = fs.meta(path.as_str()).ok()??.access.uid;
                (String::new(), format!("{} {uid}", fs.read_link(path.as_str()).ok()??).into_bytes())
            }
            Kind::User(_) | Kind::UnitEnabled { .. } | Kind::TenantDir { .. } | Kind::SelfSignedCert { .. } => {
                return None;
            }
        };
        Some(text::digest(&[resource.key.as_bytes(), access.as_bytes(), &content]))
    }

    /// Names what is found instead.
    pub(crate) fn found_digest(&self, resource: &Resource) -> String {
        let fs = &self.engine.fs;
        let meta = path_of(&resource.kind).and_then(|path| fs.meta(path.as_str()).ok().flatten());
        let access = meta.map(|meta| format!("{:?} {:?}", meta.file_type, meta.access)).unwrap_or_default();
        let content = match &resource.kind {
            Kind::File { path, .. } | Kind::SelfSignedCert { path, .. } => match fs.read(path.as_str()) {
                Ok(found) => found.map(|(bytes, _)| bytes).unwrap_or_default(),
                Err(error) => error.to_string().into_bytes(),
            },
            Kind::NginxSite { file, .. } => {
                self.engine.nginx.site(file).ok().flatten().unwrap_or_default().into_bytes()
            }
            Kind::Symlink { path, .. } => fs.read_link(path.as_str()).ok().flatten().unwrap_or_default().into_bytes(),
            Kind::User(_) | Kind::UnitEnabled { .. } => format!("{:?}", self.fields(resource, None)).into_bytes(),
            Kind::Home { .. } | Kind::Dir { .. } | Kind::TenantDir { .. } | Kind::LogFile { .. } => Vec::new(),
        };
        text::digest(&[resource.key.as_bytes(), access.as_bytes(), &content])
    }
}
