//! Everything that can go wrong, and the exit code it ends with.

use std::path::PathBuf;
use std::time::Duration;
use wcp360_types::Problem;

/// Exit codes, part of the interface.
pub mod code {
    /// Refused by the panel, or failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Not logged in, or not allowed.
    pub const DENIED: u8 = 3;
    /// It does not exist.
    pub const NOT_FOUND: u8 = 4;
    /// It collides with something, or has changed meanwhile.
    pub const CONFLICT: u8 = 5;
    /// The job failed, or was taken back; of many accounts, some were not changed.
    pub const JOB: u8 = 6;
    /// The panel can't be reached.
    pub const UNREACHABLE: u8 = 7;
}

/// Why a command ended without doing what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments don't fit together.
    #[error("{0}")]
    Usage(String),
    /// The panel refused.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// A file can't be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Standard input or output does not work.
    #[error("{0}")]
    Terminal(#[from] std::io::Error),
    /// A file holds something else than expected.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// Nobody answers.
    #[error("can't reach the panel at {server}: {reason}")]
    Unreachable {
        /// Where.
        server: String,
        /// Why, and the remedy.
        reason: String,
    },
    /// The answer is not one of this API.
    #[error("the answer of {server} can't be understood: {reason}; is it a WCP360 panel of this version?")]
    Answer {
        /// Where.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A job ended badly.
    #[error("{operation} of {account} {ended}: {reason}; see `wcp360 jobs log {job}`")]
    Job {
        /// The job.
        job: String,
        /// What it did.
        operation: String,
        /// To which account.
        account: String,
        /// How it ended, in words.
        ended: &'static str,
        /// Why.
        reason: String,
    },
    /// Some accounts of many were not changed.
    #[error(
        "{operation}: {} of {accounts} accounts were not changed ({failed} failed, {refused} refused); see `wcp360 bulk accounts \
         {bulk}`",
        .failed + .refused
    )]
    Bulk {
        /// The change.
        bulk: String,
        /// What it did.
        operation: String,
        /// To how many.
        accounts: u64,
        /// Whose jobs ended badly.
        failed: u64,
        /// Who got no job.
        refused: u64,
    },
    /// Something takes longer than we wait.
    #[error("{what} after {} s; go on waiting with `{command}`", .waited.as_secs())]
    StillRunning {
        /// What does, in words.
        what: String,
        /// How to follow it.
        command: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The answer was printed and says itself what is wrong.
    #[error("")]
    Shown,
    /// A bug of ours.
    #[error(transparent)]
    Document(#[from] crate::document::DocumentError),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => code::USAGE,
            Failure::Problem(problem) => match problem.status {
                401 | 403 => code::DENIED,
                404 => code::NOT_FOUND,
                409 | 412 => code::CONFLICT,
                _ => code::FAILED,
            },
            Failure::Unreachable { .. } => code::UNREACHABLE,
            Failure::Job { .. } | Failure::Bulk { .. } => code::JOB,
            _ => code::FAILED,
        }
    }

    /// A file that can't be read or written.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Failure::File { path: path.into(), source }
    }

    /// Whether it is only that nobody reads our output any more, as in `wcp360 … | head`.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Terminal(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
