//! Doing jobs.
//!
//! - `payload`: what a job carries;
//! - `worker`: leases jobs, does their steps, writes down each outcome before the next (ENG-01 to ENG-03);
//! - `clock`: wakes what waits for its time;
//! - `workflow`: which workflow a job is;
//! - `account`: every change of an account;
//! - `drift`: comparing the machine with the manifests, and repairs;
//! - `index`: making the index from the manifests.

mod account;
mod clock;
mod drift;
mod index;
pub(crate) mod payload;
mod run;
mod worker;
mod workflow;
