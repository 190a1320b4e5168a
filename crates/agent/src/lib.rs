//! The root process of WCP360: makes one machine what the accounts' manifests say.
//!
//! It takes manifests and never commands. What it does to the machine follows from [`wcp360_agent_render`]; how, from the
//! [`engine`]. The parts below the engine each own one thing: [`fsx`] files, [`userdb`] Linux users, [`services`] units,
//! [`nginx`] the web server's configuration.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod api;
pub mod applied;
pub mod bootstrap;
pub mod cert;
pub mod config;
#[doc(hidden)]
pub mod crash;
pub mod engine;
pub mod fsx;
pub mod journal;
pub mod layout;
pub mod manifests;
pub mod names;
pub mod nginx;
mod processes;
pub mod quarantine;
pub mod reaper;
pub mod serve;
pub mod services;
pub mod uids;
pub mod userdb;
