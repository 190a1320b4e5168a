//! What was accepted or is to be ignored: a file for each account that has such things.

use crate::fsx::{Access, Durability, Fs, FsError};
use std::sync::Arc;
use wcp360_agent_proto::Accepted;
use wcp360_agent_render::paths::AGENT_STATE;
use wcp360_types::Username;

const PRIVATE: Access = Access { uid: 0, gid: 0, mode: 0o600 };

/// The files.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedStore {
    fs: Arc<Fs>,
}

fn path(name: &Username) -> String {
    format!("{AGENT_STATE}/accepted/{name}.json")
}

impl AcceptedStore {
    pub(crate) fn new(fs: Arc<Fs>) -> Self {
        Self { fs }
    }

    /// What stands for `name`.
    ///
    /// # Errors
    /// The file can't be read: what was accepted must not be taken for drift.
    pub(crate) fn load(&self, name: &Username) -> Result<Vec<Accepted>, FsError> {
        let path = path(name);
        let Some((content, _)) = self.fs.read(&path)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&content).map_err(|e| FsError::new("read", &path, e))
    }

    /// Makes `accepted` what stands for `name`; on disk when this returns.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn store(&self, name: &Username, accepted: &[Accepted]) -> Result<(), FsError> {
        let path = path(name);
        if accepted.is_empty() {
            return if self.fs.meta(&path)?.is_some() { self.fs.remove_file(&path) } else { Ok(()) };
        }
        let content = serde_json::to_vec_pretty(accepted).map_err(|e| FsError::new("write", &path, e))?;
        self.fs.write(&path, &content, PRIVATE, Durability::Durable)
    }
}
