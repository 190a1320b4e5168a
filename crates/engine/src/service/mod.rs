//! Services: what callers can have done. Each takes the caller, checks what a permission can't, and reserves or changes.

mod account_package;
pub(crate) mod accounts;
mod allot;
mod bulk;
mod jobs;
mod node;
mod package_file;
pub(crate) mod packages;
mod probe;
pub(crate) mod queue;
mod resellers;
mod reserve;
pub(crate) mod schedules;
#[cfg(test)]
mod tests;
mod users;

pub use bulk::BulkOutcome;
pub use queue::{JobRequest, Outcome};
