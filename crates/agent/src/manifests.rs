//! The manifests on disk: the source of truth (ENG-04).
//!
//! A set is published in one step. All files are written into a sibling directory, and the directory takes the place of the
//! old one by an exchange of names. It is the journal that survives a power cut; what it took is published again from there.

use crate::fsx::{Access, Durability, Fs, FsError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wcp360_agent_proto::AccountRecord;
use wcp360_agent_render::paths::USERS;
use wcp360_types::Username;
use wcp360_types::manifest::{DomainsManifest, ManifestSet, MetaManifest, SCHEMA_VERSION};

/// Why manifests can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// The disk.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file that is none of ours.
    #[error("{path}: {}{reason}; restore the file from a backup, or correct it", field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default())]
    Unreadable {
        /// The file.
        path: String,
        /// The field, if it is one.
        field: Option<String>,
        /// Why.
        reason: String,
    },
}

const PRIVATE_DIR: Access = Access { uid: 0, gid: 0, mode: 0o700 };
const PRIVATE_FILE: Access = Access { uid: 0, gid: 0, mode: 0o600 };

#[derive(Deserialize)]
struct Version {
    schema_version: Option<u32>,
}

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
            let path = format!("{USERS}/{name}/account.json");
            return Err(ManifestsError::Unreadable { path, field: Some("username".into()), reason });
        }
        manifests.validate().map_err(|e| {
            // "domains.json: alias", or the file alone.
            let (file, field) = match e.field.split_once(": ") {
                Some((file, field)) => (file, Some(field.to_owned())),
                None => (e.field.as_str(), None),
            };
            ManifestsError::Unreadable { path: format!("{USERS}/{name}/{file}"), field, reason: e.error.to_string() }
        })?;
        let meta = self.read(name, "meta")?;
        Ok(Some(AccountRecord { revision: manifests.revision(), manifests, meta, on_disk: None }))
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
        let unreadable =
            |field: Option<String>, reason: String| ManifestsError::Unreadable { path: path.clone(), field, reason };
        let read = self.fs.read(&path).map_err(|e| match e.source.raw_os_error() {
            // Something else is in its place: the content's fault, not the disk's.
            Some(libc::ELOOP) | None => unreadable(None, e.source.to_string()),
            _ => e.into(),
        })?;
        let (content, _) = read.ok_or_else(|| unreadable(None, "it is missing".into()))?;
        // Before anything else: of another version, other fields are to be expected.
        let version = serde_json::from_slice::<Version>(&content).map_err(|e| unreadable(None, e.to_string()))?;
        if let Some(version) = version.schema_version.filter(|version| *version != SCHEMA_VERSION) {
            let reason = format!("version {version} is unknown to this release, which knows {SCHEMA_VERSION}");
            return Err(unreadable(Some("schema_version".into()), reason));
        }
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(&content)).map_err(|e| {
            let field = Some(e.path().to_string()).filter(|field| field != ".");
            unreadable(field, e.inner().to_string())
        })
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
        let text = serde_json::to_string_pretty(value).map_err(|e| ManifestsError::Unreadable {
            path: path.clone(),
            field: None,
            reason: e.to_string(),
        })?;
        Ok(self.fs.write_new(&path, format!("{text}\n").as_bytes(), PRIVATE_FILE)?)
    }

    /// Replaces `meta.json` alone.
    ///
    /// # Errors
    /// The disk; then the old one is still there.
    pub fn write_meta(&self, name: &Username, meta: &MetaManifest) -> Result<(), ManifestsError> {
        let path = format!("{USERS}/{name}/meta.json");
        let text = serde_json::to_string_pretty(meta).map_err(|e| ManifestsError::Unreadable {
            path: path.clone(),
            field: None,
            reason: e.to_string(),
        })?;
        self.fs.remove_temporary(&path)?;
        Ok(self.fs.write(&path, format!("{text}\n").as_bytes(), PRIVATE_FILE, Durability::Derived)?)
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

    /// Takes away what interrupted publications and withdrawals left: at start, when nobody else writes.
    ///
    /// # Errors
    /// The disk.
    pub fn tidy_all(&self) -> Result<(), ManifestsError> {
        for entry in self.fs.list(USERS)? {
            if [".new-", ".old-"].iter().any(|start| entry.starts_with(start)) {
                self.fs.remove_tree(&format!("{USERS}/{entry}"))?;
            }
        }
        Ok(())
    }

    /// Takes away what an interrupted publication left.
    ///
    /// # Errors
    /// The disk.
    pub fn tidy(&self, name: &Username) -> Result<(), ManifestsError> {
        Ok(self.fs.remove_tree(&format!("{USERS}/.new-{name}"))?)
    }
}
