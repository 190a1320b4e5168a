//! What the machine can do at best: small records that are on disk one after the other.

use anyhow::Result;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// fsync'd appends per second.
pub(crate) fn transactions(dir: &Path) -> Result<f64> {
    let mut file = std::fs::File::create(dir.join("floor"))?;
    let begun = Instant::now();
    let mut done = 0u32;
    while begun.elapsed() < Duration::from_secs(2) {
        file.write_all(&[0x36; 512])?;
        file.sync_data()?;
        done += 1;
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}
