//! What releases before 0.2 wrote: one file for each operation.

use super::{Answer, Entry, Journal, JournalError, State, Task};
use crate::fsx::Fs;
use jiff::Timestamp;
use serde::Deserialize;
use wcp360_agent_proto::{AgentError, Converged};
use wcp360_types::manifest::{AuditReference, ManifestSet};
use wcp360_types::{OperationId, Username};

#[derive(Deserialize)]
struct Legacy {
    operation: OperationId,
    account: Username,
    from: Option<ManifestSet>,
    to: Option<ManifestSet>,
    audit: AuditReference,
    started_at: Timestamp,
    #[serde(default)]
    created: Vec<String>,
    state: State,
    #[serde(default)]
    answer: Option<Result<Converged, AgentError>>,
}

/// Moves such files into the journal. A crash in between leaves files that are taken over again, to the same effect.
pub(super) fn take_over(fs: &Fs, journal: &Journal) -> Result<(), JournalError> {
    let dir = super::log::dir();
    for file in fs.list(&dir)? {
        let path = format!("{dir}/{file}");
        if file.starts_with('.') {
            fs.remove_file(&path)?;
        }
        let Some(operation) = file.strip_suffix(".json").and_then(|name| name.parse::<OperationId>().ok()) else {
            continue;
        };
        let damaged = |reason: String| JournalError::Damaged { path: path.clone(), reason };
        let (content, _) = fs.read(&path)?.ok_or_else(|| damaged("it is gone".into()))?;
        let old: Legacy = serde_json::from_slice(&content).map_err(|e| damaged(e.to_string()))?;
        if old.operation != operation {
            return Err(damaged("it is about another operation".into()));
        }
        let mut entry = Entry {
            operation,
            account: old.account,
            from: old.from,
            to: old.to,
            audit: old.audit,
            started_at: old.started_at,
            created: old.created,
            state: State::Applying,
            task: Task::Converge,
            owner: None,
            answer: None,
        };
        journal.write(&entry)?;
        if old.state != State::Applying {
            (entry.state, entry.answer) =
                (old.state, old.answer.map(|answer| answer.map(|done| Answer::Converged(Box::new(done)))));
            journal.write(&entry)?;
        }
        fs.remove_file(&path)?;
    }
    Ok(())
}
