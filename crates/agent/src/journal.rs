//! The journal: what was begun, so that a restart can finish it or take it back.
//!
//! One file per operation. It is on disk before the first effect, and says "done" before anybody is told.

use crate::crash;
use crate::fsx::{Access, Durability, Fs, FsError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wcp360_agent_proto::{AgentError, Converged};
use wcp360_agent_render::paths::AGENT_STATE;
use wcp360_types::manifest::{AuditReference, ManifestSet};
use wcp360_types::{OperationId, Username};

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On the way to `to`.
    Applying,
    /// On the way back to `from`.
    Reverting,
    /// The machine is what `to` says.
    Done,
    /// The machine is what `from` says.
    RolledBack,
}

/// One operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub operation: OperationId,
    /// The account.
    pub account: Username,
    /// What the account was.
    pub from: Option<ManifestSet>,
    /// What it shall be.
    pub to: Option<ManifestSet>,
    /// Who caused it.
    pub audit: AuditReference,
    /// When it began; names the tree in the trash.
    pub started_at: Timestamp,
    /// Directories and log files in the account's home that were not there before it. A change that is taken back takes them
    /// away again, if nobody has put anything into them; nothing else ever does.
    #[serde(default)]
    pub created: Vec<String>,
    /// How far it is.
    pub state: State,
    /// What was answered: an answer or an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Result<Converged, AgentError>>,
}

impl Entry {
    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Done | State::RolledBack)
    }
}

/// The directory of entries.
#[derive(Debug, Clone)]
pub struct Journal {
    fs: Arc<Fs>,
}

const PRIVATE: Access = Access { uid: 0, gid: 0, mode: 0o600 };

fn path(operation: OperationId) -> String {
    format!("{AGENT_STATE}/journal/{operation}.json")
}

impl Journal {
    /// The one of this machine.
    pub fn new(fs: Arc<Fs>) -> Self {
        Self { fs }
    }

    /// Writes `entry`; on disk when this returns.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, entry: &Entry) -> Result<(), FsError> {
        crash::point("journal");
        let path = path(entry.operation);
        let content = serde_json::to_vec(entry).map_err(|e| FsError::new("write", &path, std::io::Error::other(e)))?;
        self.fs.write(&path, &content, PRIVATE, Durability::Durable)?;
        crash::point("journal done");
        Ok(())
    }

    /// The entry of `operation`, if it is known.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&self, operation: OperationId) -> Result<Option<Entry>, FsError> {
        let path = path(operation);
        match self.fs.read(&path)? {
            Some((content, _)) => serde_json::from_slice(&content)
                .map(Some)
                .map_err(|e| FsError::new("read", &path, std::io::Error::other(e))),
            None => Ok(None),
        }
    }

    /// Forgets `operation`.
    ///
    /// # Errors
    /// The disk.
    pub fn forget(&self, operation: OperationId) -> Result<(), FsError> {
        self.fs.remove_file(&path(operation))
    }

    /// Takes away what a crash left half-written.
    ///
    /// # Errors
    /// The disk.
    pub fn tidy(&self) -> Result<(), FsError> {
        let dir = format!("{AGENT_STATE}/journal");
        for file in self.fs.list(&dir)?.iter().filter(|file| file.starts_with('.')) {
            self.fs.remove_file(&format!("{dir}/{file}"))?;
        }
        Ok(())
    }

    /// Hands every entry to `see`, one after the other: there may be thousands, each with two sets of manifests.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn each(&self, mut see: impl FnMut(Result<Entry, FsError>)) -> Result<(), FsError> {
        for file in self.fs.list(&format!("{AGENT_STATE}/journal"))? {
            let Some(operation) = file.strip_suffix(".json").and_then(|name| name.parse().ok()) else { continue };
            if let Some(entry) = self.read(operation).transpose() {
                see(entry);
            }
        }
        Ok(())
    }
}
