//! Keeps an idle panel small.

use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;

/// How often.
const EVERY: Duration = Duration::from_secs(10);

/// For as long as it is polled, folds what was measured into the metrics (the recorder keeps every single request's time
/// until then) and gives memory that is not used any more back to the system.
pub(crate) async fn keep_small(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(EVERY).await;
        metrics.run_upkeep();
        give_back();
    }
}

/// Takes well below a millisecond, as the heap is small.
#[allow(unsafe_code)] // no safe wrapper
fn give_back() {
    // SAFETY: may be called at any time from any thread (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
