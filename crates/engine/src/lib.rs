//! What the panel decides: who may do what, what a change means, and how it gets done whatever crashes.
//!
//! Nothing here speaks HTTP to callers and nothing holds a privilege; effects on the machine go through the agent.

mod admission;
mod allowance;
pub mod audit;
pub mod caller;
pub mod change;
mod cloning;
mod engine;
pub mod error;
pub mod events;
mod file;
mod gateway;
mod guard;
pub mod identity;
pub mod password;
mod place;
mod policy;
pub mod rate;
pub mod secret;
mod security_log;
pub mod service;
pub mod vault;
mod work;

pub use caller::{Caller, Origin};
pub use engine::{Engine, Settings};
pub use error::EngineError;
pub use service::{BulkOutcome, Outcome};
