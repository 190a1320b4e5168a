//! The vocabulary of WCP360: names that can't hold a bad value, the manifests that say what an account should be, and
//! the structures of the API. Nothing here does I/O.

pub mod api;
pub mod content;
mod features;
pub mod id;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod network;
pub mod node;
pub mod path;
pub mod plan;
pub mod problem;
pub mod revision;
pub mod role;
pub mod validated;

pub use id::{AccountId, BulkId, JobId, LoginId, OperationId, RequestId, ScheduleId, SessionId, TokenId, UserId};
pub use name::{Domain, EmailAddress, LoginName, PackageName, Username};
pub use network::Network;
pub use path::DocumentRoot;
pub use problem::{FieldError, Problem};
pub use revision::Revision;
pub use role::Role;
pub use validated::ValueError;
