//! Structured logs: one JSON object per line in `core.log`, warnings also on standard error for the journal.

use anyhow::Context;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Starts logging.
///
/// # Errors
/// The file can't be opened.
pub(crate) fn start(file: &Path, level: &str) -> anyhow::Result<()> {
    // Appending, so that logrotate's copytruncate works.
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| format!("{} can't be written", file.display()))?;
    let filter = EnvFilter::new(format!("{level},hyper=warn,tokio_postgres=warn"));
    let to_file =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(Mutex::new(log));
    let to_journal = tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(to_file.with_filter(filter))
        .with(to_journal.with_filter(LevelFilter::WARN))
        .init();
    Ok(())
}
