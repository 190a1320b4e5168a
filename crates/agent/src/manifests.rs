//! The manifests on disk: the source of truth (ENG-04).
//!
//! A set is published in one step. All files are written into a sibling directory, and the directory takes the place of the
//! old one by an exchange of names. It is the journal that survives a power cut; what it took is published again from there.

use crate::fsx::{Access, Fs, FsError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use wcp360_agent_proto::AccountRecord;
use wcp360_agent_render::paths::USERS;
use wcp360_types::Username;
use wcp360_types::manifest::{DomainsManifest, ManifestSet, MetaManifest};

/// Why manifests can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// The disk.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file that is none of ours.
    #[error("{path}: {reason}; restore the file from a backup, or correct it")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

const PRIVATE_DIR: Access = Access { uid: 0, gid: 0, mode: 0o700 };
const PRIVATE_FILE: Access = Access { uid: 0, gid: 0, mode: 0o600 };

/// All accounts' manifests.
#[derive(Debug, Clone)]
pub struct Manifests {
    fs: Arc<Fs>,
}

impl Manifests {
    /// The ones in `/etc/wcp360/users`.
    pub fn new(fs: Arc<Fs>) -> Self {
        Self { fs }
    }

    /// The names of all accounts.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn accounts(&self) -> Result<Vec<Username>, ManifestsError> {
        Ok(self.fs.list(USERS)?.iter().filter_map(|name| Username::parse(name).ok()).collect())
    }

    /// One account's manifests; `None` if it does not exist.
    ///
    /// # Errors
    /// A file is missing, unreadable or breaks a rule.
    pub fn load(&self, name: &Username) -> Result<Option<AccountRecord>, ManifestsError> {
        if self.fs.meta(&format!("{USERS}/{name}"))?.is_none() {
            return Ok(None);
        }
        let manifests = ManifestSet {
            account: self.read(name, "account")?,
            limits: self.read(name, "limits")?,
            domains: self.read(name, "domains")?,
            services: self.read(name, "services")?,
            ssh: self.read(name, "ssh")?,
        };
        if manifests.account.username != *name {
            let reason = format!("it is about \"{}\"", manifests.account.username);
            return Err(ManifestsError::Unreadable { path: format!("{USERS}/{name}/account.json"), reason });
        }
        manifests
            .validate()
            .map_err(|e| ManifestsError::Unreadable { path: format!("{USERS}/{name}/"), reason: e.to_string() })?;
        let meta = self.read(name, "meta")?;
        Ok(Some(AccountRecord { revision: manifests.revision(), manifests, meta }))
    }

    /// Only the domains of an account, for the index at start.
    ///
    /// # Errors
    /// As [`Manifests::load`].
    pub fn domains(&self, name: &Username) -> Result<DomainsManifest, ManifestsError> {
        self.read(name, "domains")
    }

    fn read<T: DeserializeOwned>(&self, name: &Username, subject: &str) -> Result<T, ManifestsError> {
        let path = format!("{USERS}/{name}/{subject}.json");
        let unreadable = |reason: String| ManifestsError::Unreadable { path: path.clone(), reason };
        let (content, _) = self.fs.read(&path)?.ok_or_else(|| unreadable("it is missing".into()))?;
        serde_json::from_slice(&content).map_err(|e| unreadable(e.to_string()))
    }

    /// Makes `set` and `meta` the manifests of their account. This is the moment from which the change counts.
    ///
    /// # Errors
    /// The disk; then the old ones are still there.
    pub fn publish(&self, set: &ManifestSet, meta: &MetaManifest) -> Result<(), ManifestsError> {
        let name = &set.account.username;
        let (place, new) = (format!("{USERS}/{name}"), format!("{USERS}/.new-{name}"));
        self.fs.remove_tree(&new)?;
        self.fs.ensure_dir(&new, PRIVATE_DIR)?;
        self.write(&new, "account", &set.account)?;
        self.write(&new, "limits", &set.limits)?;
        self.write(&new, "domains", &set.domains)?;
        self.write(&new, "services", &set.services)?;
        self.write(&new, "ssh", &set.ssh)?;
        self.write(&new, "meta", meta)?;
        if self.fs.meta(&place)?.is_some() {
            self.fs.exchange(&new, &place)?;
        } else {
            return Ok(self.fs.rename_new(&new, &place)?);
        }
        self.fs.remove_tree(&new)?;
        Ok(())
    }

    fn write(&self, dir: &str, subject: &str, value: &impl Serialize) -> Result<(), ManifestsError> {
        let path = format!("{dir}/{subject}.json");
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| ManifestsError::Unreadable { path: path.clone(), reason: e.to_string() })?;
        Ok(self.fs.write_new(&path, format!("{text}\n").as_bytes(), PRIVATE_FILE)?)
    }

    /// Takes the manifests of `name` away: from here on the account does not exist.
    ///
    /// # Errors
    /// The disk.
    pub fn withdraw(&self, name: &Username) -> Result<(), ManifestsError> {
        let (place, old) = (format!("{USERS}/{name}"), format!("{USERS}/.old-{name}"));
        self.fs.remove_tree(&old)?;
        if self.fs.meta(&place)?.is_some() {
            self.fs.rename_new(&place, &old)?;
        }
        self.fs.remove_tree(&old)?;
        self.tidy(name)
    }

    /// Takes away what an interrupted publication left.
    ///
    /// # Errors
    /// The disk.
    pub fn tidy(&self, name: &Username) -> Result<(), ManifestsError> {
        Ok(self.fs.remove_tree(&format!("{USERS}/.new-{name}"))?)
    }
}
