//! Services: what callers can have done. Each takes the caller, checks what a permission can't, and reserves or changes.

pub(crate) mod accounts;
mod jobs;
mod node;
pub(crate) mod packages;
mod probe;
pub(crate) mod queue;
mod schedules;
mod users;

pub use queue::{JobRequest, Outcome};
