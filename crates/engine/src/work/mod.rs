//! Doing jobs.
//!
//! - `payload`: what a job carries;
//! - `worker`: leases jobs, does their steps, writes down each outcome before the next (ENG-01 to ENG-03);
//! - `clock`: wakes what waits for its time;
//! - `account`: the workflow of every change of an account.

mod account;
mod clock;
pub(crate) mod payload;
mod run;
mod worker;
