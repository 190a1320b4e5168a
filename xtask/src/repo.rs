//! Where things are in the repository.

use crate::process;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The repository's top directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// The version of all crates.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The cargo that runs us.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// What cargo knows of the workspace, without other people's crates.
///
/// # Errors
/// Cargo fails.
pub(crate) fn metadata() -> Result<Value> {
    ask(&["--no-deps"])
}

/// The same, with other people's crates and their features, as resolved for this machine.
///
/// # Errors
/// Cargo fails.
pub(crate) fn resolved_metadata() -> Result<Value> {
    ask(&["--filter-platform", "x86_64-unknown-linux-gnu"])
}

fn ask(more: &[&str]) -> Result<Value> {
    let args = ["metadata", "--format-version", "1", "--locked"];
    let text = process::output(&mut process::command(&cargo(), args.iter().chain(more)))?;
    serde_json::from_str(&text).context("cargo metadata printed something that is not JSON")
}

/// Where cargo puts what it builds.
///
/// # Errors
/// Cargo fails.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = metadata()?;
    let directory = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(directory.into())
}

/// Writes a file whole or not at all, and only if it changes. Says whether it did.
///
/// # Errors
/// It can't be written.
pub(crate) fn write(path: &Path, content: &str) -> Result<bool> {
    let failed = || format!("can't write {}", path.display());
    if std::fs::read_to_string(path).is_ok_and(|now| now == content) {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(failed)?;
    }
    let new = path.with_extension("new");
    std::fs::write(&new, content).with_context(failed)?;
    std::fs::rename(&new, path).with_context(failed)?;
    Ok(true)
}
