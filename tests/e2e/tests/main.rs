//! End-to-end tests of the installed product; see `tests/e2e/run`.
//!
//! They run side by side on one host, each with accounts of its own names. Those that disturb everybody (killing daemons)
//! are in a binary run of their own: names starting with `alone_`.

#![allow(clippy::unwrap_used, missing_docs)]

mod accounts;
mod api;
mod audit;
mod crash;
mod drift;
mod identity;
mod isolation;
mod jobs;
mod lifecycle;
mod matrix;
mod platform;
mod policy;
mod scope;
