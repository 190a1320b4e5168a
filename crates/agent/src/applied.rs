//! What each account was converged to last: the last good set, kept beside the manifests, which people may edit.
//!
//! One file for each account in the agent's own directory, written at checkpoints; what is newer is in the journal.

use crate::fsx::{Access, Durability, Fs, FsError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wcp360_agent_render::paths::AGENT_STATE;
use wcp360_types::Username;
use wcp360_types::manifest::{ManifestSet, MetaManifest};

const PRIVATE: Access = Access { uid: 0, gid: 0, mode: 0o600 };

/// What one was converged to, and when, by whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastGood {
    /// The manifests.
    pub manifests: ManifestSet,
    /// What `meta.json` says about them.
    pub meta: MetaManifest,
    /// What was made of them, by key: tells what this release makes differently from what somebody has edited. Absent if
    /// that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<BTreeMap<String, String>>,
}

/// All accounts' last good sets.
#[derive(Debug, Clone)]
pub struct Applied {
    fs: Arc<Fs>,
    /// Held while one is written: a checkpoint and a comparison may want the same file.
    writing: Arc<Mutex<()>>,
}

fn path(name: &Username) -> String {
    format!("{AGENT_STATE}/applied/{name}.json")
}

impl Applied {
    /// The ones of this machine.
    pub fn new(fs: Arc<Fs>) -> Self {
        Self { fs, writing: Arc::default() }
    }

    /// What `name` was converged to last, as of the last checkpoint. `None` if that is not known, or can't be read: then
    /// only the manifests are left.
    ///
    /// # Errors
    /// The disk.
    pub fn load(&self, name: &Username) -> Result<Option<LastGood>, FsError> {
        let path = path(name);
        let Some((content, _)) = self.fs.read(&path)? else { return Ok(None) };
        match serde_json::from_slice::<LastGood>(&content) {
            Ok(good) if good.manifests.account.username == *name && good.manifests.validate().is_ok() => Ok(Some(good)),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(path, %error, "the record of an account's last good manifests can't be read");
                Ok(None)
            }
        }
    }

    /// The accounts that are remembered.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn accounts(&self) -> Result<Vec<Username>, FsError> {
        let files = self.fs.list(&format!("{AGENT_STATE}/applied"))?;
        Ok(files.iter().filter_map(|file| Username::parse(file.strip_suffix(".json")?).ok()).collect())
    }

    /// Remembers what an account is.
    ///
    /// # Errors
    /// The disk.
    pub fn remember(&self, good: &LastGood) -> Result<(), FsError> {
        let path = path(&good.manifests.account.username);
        let content = serde_json::to_vec(good).map_err(|e| FsError::new("write", &path, e))?;
        let _alone = crate::engine::guard(&self.writing);
        self.fs.write(&path, &content, PRIVATE, Durability::Derived)
    }

    /// Forgets `name`.
    ///
    /// # Errors
    /// The disk.
    pub fn forget(&self, name: &Username) -> Result<(), FsError> {
        self.fs.remove_file(&path(name))
    }
}
