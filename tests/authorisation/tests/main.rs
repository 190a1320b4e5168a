//! Who may do what, tried on the real panel: every operation of its OpenAPI document, by every kind of caller, on every
//! kind of object, with every method. What is expected stands in [`policy`]; `run` starts this.

#![allow(clippy::unwrap_used, missing_docs)]

mod allowed;
mod caller;
mod document;
mod headers;
mod host;
mod http;
mod lists;
mod making;
mod methods;
mod object;
mod origins;
mod policy;
mod references;
mod refused;
mod report;
mod revocation;
mod secrets;
mod sessions;
mod snapshot;
mod tokens;
mod world;
