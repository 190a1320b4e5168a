//! The project's own tasks: `cargo xtask --help`.

mod bench;
mod deps;
mod dist;
mod openapi;
mod permissions;
mod process;
mod reference;
mod repo;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write openapi/wcp360.json, docs/api.md, docs/permissions.md and the reference in docs/cli.md
    Openapi {
        /// Only say whether they are what they should be
        #[arg(long)]
        check: bool,
    },
    /// Check which crate may use which, as drawn in docs/architecture.md
    CheckDeps,
    /// Build a release and pack it: an archive and a .deb
    Dist(dist::Options),
    /// Measure on a test host of its own
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Openapi { check } => openapi::run(check),
        Task::CheckDeps => deps::run(),
        Task::Dist(options) => dist::run(&options),
        Task::Bench(bench) => bench::run(&bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
