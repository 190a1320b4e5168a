//! The protocol between core and the agent: HTTP/1.1 with JSON over a Unix socket.
//!
//! It is closed: these types are everything that can be asked. There is no request that runs a command, names a path, a
//! uid or a template, or carries SQL. The agent validates every manifest again, whatever core has checked.

mod client;
pub mod drift;
pub mod error;
pub mod operations;
pub mod request;

pub use client::AgentClient;
pub use drift::*;
pub use error::{AgentError, AgentErrorCode};
pub use operations::*;
pub use request::*;

/// Where the agent listens, unless configured otherwise.
pub const DEFAULT_SOCKET: &str = "/run/wcp360/agent.sock";

/// The largest request body the agent reads, in bytes. A set of manifests is a few kilobytes; 1 MiB holds thousands of
/// domains.
pub const MAX_BODY: usize = 1024 * 1024;
