//! Requests and answers of the API, one file per resource.

pub mod account;
pub mod audit;
pub mod bulk;
pub mod domain;
pub mod drift;
pub mod event;
pub mod job;
pub mod maintenance;
pub mod package;
pub mod page;
pub mod reseller;
pub mod schedule;
pub mod secrets;
pub mod session;
pub mod setup;
pub mod system;
pub mod token;
pub mod user;
