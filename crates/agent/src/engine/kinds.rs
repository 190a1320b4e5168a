//! What each kind of resource means on the machine: how to compare it, make it, and take it away.

use super::Engine;
use super::difference::{Difference, KindError, access_change, diff};
use super::drift::View;
use super::trash::Returning;
use crate::cert;
use crate::fsx::{Access, Durability, FileType};
use crate::nginx::SiteChange;
use crate::processes;
use wcp360_agent_proto::Accepted;
use wcp360_agent_render::paths::{UNITS, WANTS};
use wcp360_agent_render::{Kind, OnChange, Principal, Removal, Resource, UnitName};
use wcp360_types::Username;

/// One change of one account: what all its resources share.
pub(crate) struct Work<'a> {
    pub(crate) engine: &'a Engine,
    /// The account's number.
    pub(crate) uid: u32,
    /// Where its tree waits when it is deleted.
    pub(crate) trash: String,
    /// The tree that comes back from there.
    pub(super) returns: Option<Returning>,
    /// Whether the tree is thrown away instead: the account never was.
    pub(crate) discard: bool,
    /// What people should know.
    pub(crate) notes: Vec<String>,
    /// Differences that somebody has decided about.
    pub(crate) kept: Vec<Accepted>,
    /// Whether those that are ignored are left alone, as those that are adopted always are.
    pub(crate) keep_ignored: bool,
    /// What many comparisons share.
    pub(crate) view: Option<&'a View>,
}

impl<'a> Work<'a> {
    /// Only for looking: nothing can be made or removed with it.
    pub(crate) fn looking(engine: &'a Engine, uid: u32) -> Self {
        let (trash, notes, kept) = (String::new(), Vec::new(), Vec::new());
        Self { engine, uid, trash, returns: None, discard: false, notes, kept, keep_ignored: false, view: None }
    }
}

impl Work<'_> {
    pub(super) fn id(&self, principal: Principal, of: Of) -> u32 {
        let ids = &self.engine.ids;
        match (principal, of) {
            (Principal::Root, _) => 0,
            (Principal::Account, _) => self.uid,
            (Principal::Web, Of::User) => ids.web_uid,
            (Principal::Web, Of::Group) => ids.web_gid,
            (Principal::Panel, _) => ids.panel_gid,
        }
    }

    pub(super) fn access(&self, owner: Principal, group: Principal, mode: u32) -> Access {
        Access { uid: self.id(owner, Of::User), gid: self.id(group, Of::Group), mode }
    }

    pub(super) fn socket_access(&self) -> Access {
        self.access(Principal::Root, Principal::Web, 0o660)
    }

    pub(super) fn certificate_access(&self) -> Access {
        self.access(Principal::Root, Principal::Web, 0o640)
    }

    /// How the machine differs from `resource`; `None`: not at all.
    pub(crate) fn compare(&self, resource: &Resource) -> Result<Option<Difference>, KindError> {
        let fs = &self.engine.fs;
        Ok(match &resource.kind {
            Kind::Home { .. } if self.returns.as_ref().is_some_and(|returning| returning.waits) => {
                Difference::create("back from the trash, with everything in it")
            }
            Kind::Home { path, mode } => {
                self.compare_dir(path.as_str(), self.access(Principal::Root, Principal::Account, *mode))?
            }
            Kind::Dir { path, owner, group, mode, .. } => {
                self.compare_dir(path.as_str(), self.access(*owner, *group, *mode))?
            }
            Kind::User(user) => match self.engine.userdb.find(user.name.as_str())? {
                None => Difference::create(format!("user and group {} with id {}", user.name, user.uid)),
                Some(found) => {
                    let mut changes = Vec::new();
                    if (found.uid, found.gid) != (user.uid, user.uid) {
                        changes.push(format!("ids {}:{} → {}", found.uid, found.gid, user.uid));
                    }
                    if found.home != user.home.as_str() {
                        changes.push(format!("home {} → {}", found.home, user.home));
                    }
                    if found.shell != user.shell {
                        changes.push(format!("shell {} → {}", found.shell, user.shell));
                    }
                    if found.locked != Some(user.locked) {
                        changes.push(if user.locked { "logins closed".into() } else { "logins opened".into() });
                    }
                    if changes.is_empty() { None } else { Difference::update(changes.join(", ")) }
                }
            },
            Kind::TenantDir { home, relative } => match fs.meta(&self.place(&format!("{home}/{relative}"))) {
                Ok(None) => Difference::create("folder, made as the account"),
                // Whatever it is: the account's business.
                Ok(Some(_)) | Err(_) => None,
            },
            Kind::LogFile { path, owner, group, mode } => {
                let want = self.access(*owner, *group, *mode);
                match fs.meta(&self.place(path.as_str()))? {
                    None => Difference::create(format!("mode {:04o}", want.mode)),
                    Some(found) if found.access != want => Difference::update(access_change(found.access, want)),
                    Some(_) => None,
                }
            }
            Kind::File { path, content, owner, group, mode, .. } => {
                let want = self.access(*owner, *group, *mode);
                match fs.read(path.as_str())? {
                    None => Difference::create(format!("mode {:04o}", want.mode))
                        .map(|d| Difference { diff: Some(diff(path.as_str(), "", content)), ..d }),
                    Some((bytes, meta)) => {
                        let old = String::from_utf8_lossy(&bytes);
                        let mut changes = Vec::new();
                        if old != *content {
                            changes.push("content".to_owned());
                        }
                        if meta.access != want {
                            changes.push(access_change(meta.access, want));
                        }
                        let diff = (old != *content).then(|| diff(path.as_str(), &old, content));
                        if changes.is_empty() {
                            None
                        } else {
                            Difference::update(changes.join(", ")).map(|d| Difference { diff, ..d })
                        }
                    }
                }
            }
            Kind::Symlink { path, target, owner } => {
                let found = fs.read_link(path.as_str())?;
                let uid = fs.meta(path.as_str())?.map(|meta| meta.access.uid);
                match found {
                    None => Difference::create(format!("→ {target}")),
                    Some(old) if old != *target => Difference::update(format!("{old} → {target}")),
                    Some(_) if uid != Some(self.id(*owner, Of::User)) => Difference::update("owner of the link"),
                    Some(_) => None,
                }
            }
            Kind::SelfSignedCert { path, names } => {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                match fs.read(path.as_str())? {
                    None => Difference::create(format!("self-signed for {}", names.join(", "))),
                    Some((pem, meta)) => match cert::shortcoming(&pem, &names, now()) {
                        Some(why) => Difference::update(format!("a new one, because {why}")),
                        None if meta.access != self.certificate_access() => {
                            Difference::update(access_change(meta.access, self.certificate_access()))
                        }
                        None => None,
                    },
                }
            }
            Kind::UnitEnabled { unit, template, socket, .. } => {
                let wrong = fs.meta(socket.as_str())?.is_some_and(|meta| meta.access != self.socket_access());
                let linked = fs.read_link(&wants(unit))?.is_some_and(|target| target == unit_file(template));
                match (linked, self.is_active(unit)?) {
                    (true, true) if wrong => Difference::update("owner or mode of its socket"),
                    (true, true) => None,
                    (false, false) => Difference::create("enabled and started"),
                    (true, false) => Difference::update("started"),
                    (false, true) => Difference::update("enabled"),
                }
            }
            Kind::NginxSite { file, content } => match self.engine.nginx.site(file)? {
                None => Difference::create("a server block of its own")
                    .map(|d| Difference { diff: Some(diff(file, "", content)), ..d }),
                Some(old) if old != *content => {
                    Difference::update("content").map(|d| Difference { diff: Some(diff(file, &old, content)), ..d })
                }
                Some(_) => None,
            },
        })
    }

    pub(super) fn is_active(&self, unit: &UnitName) -> Result<bool, KindError> {
        Ok(match self.view {
            Some(view) => view.units.contains(unit.as_str()),
            None => self.engine.services.status(unit.as_str())?.active,
        })
    }

    fn compare_dir(&self, path: &str, want: Access) -> Result<Option<Difference>, KindError> {
        Ok(match self.engine.fs.meta(&self.place(path))? {
            None => Difference::create(format!("mode {:04o}", want.mode)),
            Some(found) if found.file_type != FileType::Dir => {
                let reason = format!("{path} is in the way: it must be a directory; move it elsewhere");
                return Err(KindError::Failed(reason));
            }
            Some(found) if found.access != want => Difference::update(access_change(found.access, want)),
            Some(_) => None,
        })
    }

    /// Makes the machine what `resource` says.
    pub(crate) fn put(&mut self, resource: &Resource) -> Result<(), KindError> {
        let fs = &self.engine.fs;
        match &resource.kind {
            Kind::Home { path, mode } => {
                let access = self.access(Principal::Root, Principal::Account, *mode);
                // When a deletion is taken back, the tree itself comes back.
                if fs.meta(path.as_str())?.is_none() && fs.meta(&self.trash)?.is_some() {
                    fs.rename_new(&self.trash, path.as_str())?;
                }
                fs.ensure_dir(path.as_str(), access)?;
            }
            Kind::Dir { path, owner, group, mode, .. } => {
                let _held = path.as_str().starts_with(UNITS).then(|| self.engine.starter.files());
                fs.ensure_dir(path.as_str(), self.access(*owner, *group, *mode))?;
            }
            Kind::User(user) => self.engine.userdb.put(user)?,
            Kind::TenantDir { home, relative } => {
                let web = self.engine.ids.web_gid;
                let made = fs.tenant_dir(home.as_str(), relative.as_str(), self.uid, web)?;
                if made == crate::fsx::TenantDir::InTheWay {
                    self.notes.push(format!("{home}/{relative} can't be made: something else is in the way"));
                }
            }
            Kind::LogFile { path, owner, group, mode } => {
                fs.ensure_file(path.as_str(), self.access(*owner, *group, *mode))?;
            }
            Kind::File { path, content, owner, group, mode, on_change } => {
                let access = self.access(*owner, *group, *mode);
                fs.write(path.as_str(), content.as_bytes(), access, Durability::Derived)?;
                match on_change {
                    Some(OnChange::Restart(unit)) => self.engine.services.restart_if_running(unit.as_str())?,
                    Some(OnChange::Limit(slice, limits)) => self.engine.services.limit(slice.as_str(), limits)?,
                    None => {}
                }
            }
            Kind::Symlink { path, target, owner } => {
                fs.symlink(path.as_str(), target, self.id(*owner, Of::User), self.id(*owner, Of::Group))?;
            }
            Kind::SelfSignedCert { path, names } => {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                let good = fs.read(path.as_str())?.filter(|(pem, _)| cert::shortcoming(pem, &names, now()).is_none());
                if good.is_some() {
                    fs.set_access(path.as_str(), self.certificate_access())?;
                } else {
                    let pem = cert::self_signed(&names, now()).map_err(|e| KindError::Failed(e.to_string()))?;
                    fs.write(path.as_str(), pem.as_bytes(), self.certificate_access(), Durability::Derived)?;
                }
            }
            Kind::UnitEnabled { unit, template, socket, .. } => {
                fs.symlink(&wants(unit), &unit_file(template), 0, 0)?;
                self.engine.starter.start(unit.as_str())?;
                // Started at boot before its directory had the right group, perhaps.
                let want = self.socket_access();
                if fs.meta(socket.as_str())?.is_some_and(|meta| meta.access != want) {
                    fs.set_socket_access(socket.as_str(), want)?;
                }
            }
            Kind::NginxSite { file, content } => {
                self.engine.nginx.apply(SiteChange::from([(file.clone(), Some(content.clone()))]))?;
            }
        }
        Ok(())
    }

    /// Whether something is to be done so that `resource` is gone.
    pub(crate) fn compare_gone(&self, resource: &Resource) -> Result<Option<Difference>, KindError> {
        let fs = &self.engine.fs;
        let there = |path: &str| fs.meta(path).map(|meta| meta.is_some());
        Ok(match &resource.kind {
            Kind::Home { path, .. } if there(path.as_str())? => Difference::delete(if self.discard {
                "with everything in it".to_owned()
            } else {
                format!("kept as {} for {} days", self.trash, self.engine.facts.config.retention_days)
            }),
            Kind::Dir { path, removal: Removal::Tree, .. } if there(path.as_str())? => {
                Difference::delete("with everything in it")
            }
            Kind::User(user) => match self.engine.userdb.find(user.name.as_str())? {
                Some(found) if found.uid == user.uid || found.gid == user.uid => {
                    Difference::delete("and its processes")
                }
                _ => None,
            },
            Kind::File { path, .. } | Kind::SelfSignedCert { path, .. } if there(path.as_str())? => {
                Difference::delete("")
            }
            Kind::Symlink { path, target, .. } => match fs.read_link(path.as_str())? {
                Some(found) if found == *target => Difference::delete(""),
                // Somebody else's by now, or gone.
                _ => None,
            },
            Kind::UnitEnabled { unit, service, .. } => {
                let runs = |unit: &UnitName| self.engine.services.status(unit.as_str()).map(|status| status.active);
                if there(&wants(unit))? || runs(unit)? || runs(service)? {
                    Difference::delete("stopped and disabled")
                } else {
                    None
                }
            }
            Kind::NginxSite { file, .. } => {
                self.engine.nginx.site(file)?.and_then(|_| Difference::delete("its server block"))
            }
            _ => None,
        })
    }

    /// Takes `resource` away.
    pub(crate) fn remove(&mut self, resource: &Resource) -> Result<(), KindError> {
        let fs = &self.engine.fs;
        match &resource.kind {
            Kind::Home { path, .. } => {
                if self.discard {
                    fs.remove_tree(path.as_str())?;
                } else if fs.meta(path.as_str())?.is_some() {
                    fs.rename_new(path.as_str(), &self.trash)?;
                }
            }
            Kind::Dir { path, removal: Removal::Tree, .. } => {
                let _held = path.as_str().starts_with(UNITS).then(|| self.engine.starter.files());
                fs.remove_tree(path.as_str())?;
            }
            Kind::User(user) => {
                self.end_processes(&user.name);
                self.engine.userdb.remove(&user.name, user.uid)?;
            }
            Kind::File { path, .. } | Kind::SelfSignedCert { path, .. } => fs.remove_file(path.as_str())?,
            Kind::Symlink { path, target, .. } => {
                if fs.read_link(path.as_str())?.is_none_or(|found| found == *target) {
                    fs.remove_file(path.as_str())?;
                }
            }
            Kind::UnitEnabled { unit, service, .. } => {
                fs.remove_file(&wants(unit))?;
                // The socket first, or a visitor would start the service again.
                self.engine.services.stop(unit.as_str())?;
                self.engine.services.stop(service.as_str())?;
            }
            Kind::NginxSite { file, .. } => {
                if self.engine.nginx.site(file)?.is_some() {
                    self.engine.nginx.apply(SiteChange::from([(file.clone(), None)]))?;
                }
            }
            Kind::Dir { removal: Removal::Keep, .. } | Kind::TenantDir { .. } | Kind::LogFile { .. } => {}
        }
        Ok(())
    }

    /// Takes away what a crash left of writing `resource`.
    pub(crate) fn tidy(&self, resource: &Resource) -> Result<(), KindError> {
        match &resource.kind {
            Kind::File { path, .. } | Kind::SelfSignedCert { path, .. } | Kind::Symlink { path, .. } => {
                self.engine.fs.remove_temporary(path.as_str())?;
            }
            Kind::UnitEnabled { unit, .. } => self.engine.fs.remove_temporary(&wants(unit))?,
            _ => {}
        }
        Ok(())
    }

    /// Whether anything is at `path`, which may lie under directories of the account.
    pub(crate) fn exists(&self, path: &str) -> Result<bool, KindError> {
        // Through a link of the account's: none of ours.
        Ok(!matches!(self.engine.fs.meta(&self.place(path)), Ok(None)))
    }

    /// Takes away an empty directory or an empty file.
    pub(crate) fn uncreate(&self, path: &str, is_file: bool) -> Result<(), KindError> {
        let fs = &self.engine.fs;
        let path = &*self.place_after_all(path);
        if !is_file {
            fs.remove_empty_dir(path)?;
        } else if fs.read(path)?.is_some_and(|(content, _)| content.is_empty()) {
            fs.remove_file(path)?;
        }
        Ok(())
    }

    /// Ends what the account still runs.
    pub(crate) fn end_processes(&mut self, name: &Username) {
        let slice = UnitName::slice(name);
        if let Err(error) = self.engine.services.end_slice(slice.as_str()) {
            self.notes.push(error.to_string());
        }
        if self.engine.fs.layout().is_system() {
            let left = processes::end_all_of(self.uid);
            if left > 0 {
                self.notes.push(format!("{left} processes of uid {} are stuck in the kernel", self.uid));
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Of {
    User,
    Group,
}

pub(super) fn wants(unit: &UnitName) -> String {
    format!("{WANTS}/{unit}")
}

pub(super) fn unit_file(template: &str) -> String {
    format!("{UNITS}/{template}")
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
