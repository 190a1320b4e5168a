//! What can go wrong in the engine, and how it is told to callers.

use crate::vault::VaultError;
use wcp360_agent_proto::{AgentError, AgentErrorCode};
use wcp360_store::StoreError;
use wcp360_types::Problem;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Something to tell the caller.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The keys that seal secrets.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database holds sealed values, and the file of their keys is gone.
    #[error(
        "{path} is missing, and {values} values in the database are sealed with its keys; restore it from the backup, or start \
         wcp360-core once with --forget-sealed-values to go on without them"
    )]
    KeysLost {
        /// Where the file should be.
        path: String,
        /// How many values.
        values: u64,
    },
}

impl EngineError {
    /// What the caller is told. Details of our own faults go to the log and not to the caller.
    pub fn into_problem(self) -> Problem {
        match self {
            EngineError::Problem(problem) => problem,
            EngineError::Store(error) => {
                tracing::error!(%error, "database error");
                Problem::internal()
            }
            EngineError::Agent(error) => agent_problem(&error),
            error @ (EngineError::Vault(_) | EngineError::KeysLost { .. }) => {
                tracing::error!(%error, "sealed values can't be used");
                Problem::internal()
            }
        }
    }
}

fn agent_problem(error: &AgentError) -> Problem {
    let text = error.message.clone();
    match error.code {
        AgentErrorCode::Invalid => Problem::new(422, "invalid", "Invalid input", text),
        AgentErrorCode::Rejected => Problem::new(422, "rejected", "The configuration was refused", text),
        AgentErrorCode::Taken | AgentErrorCode::Gone => Problem::conflict(text),
        AgentErrorCode::NotFound => Problem::new(404, "not-found", "Not found", text),
        AgentErrorCode::RevisionMoved => Problem::precondition_failed(text),
        AgentErrorCode::Unreachable => Problem::unavailable(text),
        AgentErrorCode::Failed | AgentErrorCode::Inconsistent => {
            tracing::error!(error = %text, "agent error");
            Problem::new(500, "agent-failed", "The change could not be made", text)
        }
    }
}
