//! The API as data: every operation with its path, permission and schemas.
//!
//! Routes, the OpenAPI document, the CLI and the documentation all come from [`operations`], so that none can drift from
//! the others.

pub mod openapi;
mod operation;
mod operations;
pub mod permission;
pub mod refusals;

pub use operation::{Access, Cli, Effect, Method, Operation, SchemaOf};
pub use operations::{find, operations};
pub use permission::Permission;
