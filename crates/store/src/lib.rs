//! SQL. The only crate that knows tables.
//!
//! Statements use what SQLite and PostgreSQL share, so that one implementation serves both. Everything happens in a
//! transaction: [`Db::read`] and [`Db::write`] run a function over a [`Tx`]. Functions that read or change tenants' data take
//! a [`Scope`], and what lies outside it does not exist for them.

pub mod accounts;
pub mod allotments;
pub mod audit;
pub mod bulk;
mod db;
pub mod error;
pub mod jobs;
pub mod logins;
pub mod packages;
pub mod resellers;
mod row;
pub mod schedules;
mod scope;
pub mod sealed;
pub mod sessions;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod users;

pub(crate) use db::Lock;
pub use db::{Db, Tx};
pub use error::StoreError;
pub use scope::Scope;
