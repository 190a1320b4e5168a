//! `wcp360-supervisor` starts and stops systemd units on machines where PID 1 is not systemd.
//!
//! It reads the same unit files, in a strict subset ([`unit`], [`directives`]); anything it knows and can't enforce is
//! reported by `status`. It is a single thread around one `epoll` instance: no task and no thread per unit or socket.
//!
//! Other crates need [`protocol`] alone: the types of the control socket and a small blocking client.

pub mod caps;
pub mod cli;
pub mod credentials;
pub mod daemon;
pub mod directives;
mod exec;
mod files;
pub mod kill;
pub mod loader;
mod log;
mod manager;
pub mod name;
mod namespace;
pub mod parse;
mod poller;
pub mod proc;
pub mod protocol;
mod resolve;
mod server;
mod socket;
mod state;
mod sys;
pub mod unit;
pub mod value;
