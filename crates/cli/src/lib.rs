//! The command line of WCP360: a client of the API and nothing else.
//!
//! Its commands, flags and tables are made at run time from the OpenAPI document that this program was built with
//! ([`document`], [`tree`]). A command becomes a request ([`input`]), goes to the panel ([`client`]), and the answer is
//! shown ([`output`]); where the answer is a job, it is followed to its end ([`job`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod audit;
mod client;
pub mod document;
pub mod failure;
pub mod input;
pub mod job;
pub mod output;
mod reference;
mod run;
mod save;
mod setup;
pub mod tree;

pub use run::run;
