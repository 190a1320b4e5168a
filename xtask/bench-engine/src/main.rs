//! Measures the job engine, the store and the API by themselves, beside the floor of the same machine in the same run:
//! transactions that reach the disk, one after the other.

mod audit;
mod floor;
mod jobs;
mod reads;
mod stats;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::{Path, PathBuf};
use wcp360_store::Db;

/// Measures the engine.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Jobs per measurement; 0: none
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Entries of the audit trail; 0: none
    #[arg(long, default_value_t = 1_000_000)]
    audit: u64,
    /// Accounts in the database while reading
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// A PostgreSQL to measure too, e.g. from scripts/with-postgres
    #[arg(long)]
    postgres: Option<String>,
    /// wcp360-core, to measure the API
    #[arg(long)]
    core: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("wcp360-bench-").tempdir_in("/var/tmp").context("no place for files")?;
    println!("| what | figure | floor, same run | aim |");
    println!("|---|---|---|---|");
    let floor = floor::transactions(dir.path())?;
    if options.jobs > 0 {
        let sqlite = Db::open_sqlite(&dir.path().join("jobs.db")).await?;
        jobs::measure("SQLite", sqlite, dir.path(), options.jobs, floor, "2,000/s").await?;
    }
    if options.audit > 0 {
        let sqlite = Db::open_sqlite(&dir.path().join("audit.db")).await?;
        audit::measure("SQLite", sqlite, dir.path(), options.audit).await?;
    }
    if let Some(url) = options.postgres.as_ref().filter(|_| options.jobs > 0) {
        let db = Db::open_postgres(url).await?;
        jobs::measure("PostgreSQL", db, dir.path(), options.jobs, floor, "1,500/s").await?;
    }
    if let Some(core) = &options.core {
        reads::measure(core, dir.path(), options.accounts).await?;
    }
    Ok(())
}

/// One line of the table.
fn line(what: &str, figure: &str, floor: &str, aim: &str) {
    println!("| {what} | {figure} | {floor} | {aim} |");
}

/// A folder that the benchmark may fill.
fn folder(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
