//! Metrics in the Prometheus text format (OBS-01).

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use wcp360_engine::Engine;

/// Starts collecting.
///
/// # Errors
/// It was started before.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .context("metric buckets")?;
    let handle = recorder.install_recorder().context("metrics can't be collected")?;
    metrics::describe_counter!("wcp360_http_requests_total", "Requests by operation and status");
    metrics::describe_histogram!("wcp360_http_request_seconds", "Time to answer a request");
    metrics::describe_counter!("wcp360_jobs_total", "Jobs that ended or were postponed, by operation and state");
    metrics::describe_gauge!("wcp360_accounts", "Accounts by state");
    metrics::describe_gauge!("wcp360_jobs", "Jobs by state");
    Ok(handle)
}

/// Refreshes what is counted when it is asked for.
pub(crate) async fn refresh(engine: &Engine) -> Result<(), wcp360_engine::EngineError> {
    for (state, count) in engine.db().read(|tx| tx.account_counts()).await? {
        metrics::gauge!("wcp360_accounts", "state" => state).set(count as f64);
    }
    for (state, count) in engine.db().read(|tx| tx.job_counts()).await? {
        metrics::gauge!("wcp360_jobs", "state" => state).set(count as f64);
    }
    Ok(())
}
