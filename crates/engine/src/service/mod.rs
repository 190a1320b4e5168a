//! Services: what callers can have done. Each takes the caller, checks what a permission can't, and reserves or changes.

mod accounts;
mod jobs;
pub(crate) mod packages;
mod queue;
mod users;

pub use queue::{JobRequest, Outcome};
