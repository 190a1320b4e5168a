//! Measures an installed panel from inside its machine. `cargo xtask bench` makes a machine of its own and runs this there:
//! it fills the panel with accounts, writes configurations and starts a second nginx.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accounts;
mod api;
mod floors;
mod memory;
mod probe;
mod provisioning;
mod report;
mod stats;

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measures provisioning on the machine it runs on. Only for machines that are thrown away afterwards.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// How many sites there shall be, one measurement for each
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    pub(crate) sites: Vec<usize>,
    /// Sites that are created, timed and deleted at each number
    #[arg(long, default_value_t = 20)]
    pub(crate) samples: usize,
    /// Sites that are created at once
    #[arg(long, default_value_t = 100)]
    pub(crate) concurrent: usize,
    /// Requests in flight while filling up
    #[arg(long, default_value_t = 16)]
    pub(crate) in_flight: usize,
    /// Stop measuring after this time; what was measured is printed
    #[arg(long, default_value_t = 60)]
    pub(crate) minutes: u64,
    /// Leave out what nginx and useradd need by themselves
    #[arg(long)]
    pub(crate) no_floors: bool,
    /// Measure nothing but that; needs no panel
    #[arg(long)]
    pub(crate) only_floors: bool,
    /// What the machine's files are on, for the report
    #[arg(long, default_value = "unknown")]
    pub(crate) files: String,
    /// Say that this machine may be filled up
    #[arg(long, required = true)]
    pub(crate) throw_away: bool,
}

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Whether the time is up.
    pub(crate) fn is_over(self) -> bool {
        Instant::now() > self.0
    }
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    options.sites.sort_unstable();
    options.sites.dedup();
    let deadline = Deadline(Instant::now() + Duration::from_secs(options.minutes * 60));
    match provisioning::run(&options, deadline) {
        Ok(levels) if !levels.is_empty() => {
            print!("{}", report::markdown(&levels, &options));
            ExitCode::SUCCESS
        }
        Ok(_) => {
            eprintln!("bench: the time was up before anything was measured; give it more with --minutes");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
