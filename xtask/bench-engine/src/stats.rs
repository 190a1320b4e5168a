//! Order statistics.

use std::time::Duration;

/// The value below which `percent` of the samples lie.
pub(crate) fn percentile(samples: &mut [Duration], percent: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    let position = ((last as f64) * percent / 100.0).round() as usize;
    samples.get(position).copied().unwrap_or_default()
}

/// `12.3 ms`
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
