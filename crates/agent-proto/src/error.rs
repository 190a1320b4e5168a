//! Why the agent refused or failed.

use serde::{Deserialize, Serialize};

/// The kind of refusal, which tells the caller what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentErrorCode {
    /// The request or a manifest in it is not acceptable. Trying again does not help.
    Invalid,
    /// Something else on this machine already has the name. Trying again does not help.
    Taken,
    /// There is no such account.
    NotFound,
    /// What should be brought back is not kept any more. Trying again does not help.
    Gone,
    /// The account's revision is not the one that the request names.
    RevisionMoved,
    /// The configuration was refused by the service's own check, and has been put back.
    Rejected,
    /// It could not be done and has been put back. Trying again may help.
    Failed,
    /// It could not be done, and putting back failed too: the agent goes on trying. Trying again may help.
    Inconsistent,
    /// The agent can't be reached or does not answer. Trying again may help.
    Unreachable,
}

/// An error of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AgentError {
    /// The kind.
    pub code: AgentErrorCode,
    /// What happened and what to do, for people.
    pub message: String,
}

impl AgentError {
    /// An error of kind `code`.
    pub fn new(code: AgentErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        use AgentErrorCode::*;
        matches!(self.code, Failed | Inconsistent | Unreachable)
    }

    /// The HTTP status that carries it.
    pub fn status(&self) -> u16 {
        match self.code {
            AgentErrorCode::Invalid => 422,
            AgentErrorCode::Taken => 409,
            AgentErrorCode::NotFound => 404,
            AgentErrorCode::Gone => 410,
            AgentErrorCode::RevisionMoved => 412,
            AgentErrorCode::Rejected => 424,
            AgentErrorCode::Failed | AgentErrorCode::Inconsistent => 500,
            AgentErrorCode::Unreachable => 503,
        }
    }
}
