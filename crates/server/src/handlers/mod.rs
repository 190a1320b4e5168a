//! Handlers, one file per resource: read the call, ask a service, answer.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod domains;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod schedules;
pub(crate) mod secrets;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod system;
pub(crate) mod tokens;
pub(crate) mod users;
