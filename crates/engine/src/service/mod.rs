//! Services: what callers can have done. Each takes the caller, checks what a permission can't, and reserves or changes.

mod accounts;
pub(crate) mod packages;
mod users;

pub use accounts::{JobRequest, Outcome};
