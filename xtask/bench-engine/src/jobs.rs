//! Jobs with an empty effect through the whole engine: queued, leased, done, audited.

use crate::stats::{millis, percentile};
use crate::{folder, line};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};
use wcp360_engine::audit::AuditFiles;
use wcp360_engine::{Engine, Settings};
use wcp360_store::{Db, Scope};
use wcp360_types::JobId;
use wcp360_types::api::job::JobState;

/// Who asks at the same time.
const CLIENTS: usize = 64;
/// Jobs that are picked up one by one, to see how fast.
const PICKED_UP: usize = 500;

pub(crate) async fn measure(name: &str, db: Db, dir: &Path, jobs: usize, floor: f64, aim: &str) -> Result<()> {
    let dir = folder(dir, name)?;
    let settings = Settings {
        hostname: "bench.test".into(),
        http_port: 1,
        agent_socket: dir.join("no-agent.sock"),
        audit: AuditFiles {
            mirror: dir.join("audit.json"),
            position: dir.join("audit.position"),
            key: dir.join("audit.key"),
        },
        setup_token_file: dir.join("setup.token"),
        security_file: dir.join("security.log"),
        secrets_file: dir.join("secrets.key"),
        drift: Default::default(),
        keep_jobs_days: 90,
        workers: 16,
    };
    let engine = Engine::new(db.clone(), settings).await?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let workers = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run_workers(stopping).await }
    });
    let mirror = tokio::spawn({
        let engine = engine.clone();
        async move { engine.audit().keep_mirroring().await }
    });

    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in 0..jobs / CLIENTS {
                    engine.probe(&format!("lane {client} {}", number % 8)).await?;
                }
                Ok::<_, wcp360_engine::EngineError>(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    let all = (jobs / CLIENTS * CLIENTS) as u64;
    wait_for(&db, all).await?;
    let rate = all as f64 / begun.elapsed().as_secs_f64();
    line(
        &format!("jobs through the engine, {name}, {CLIENTS} clients"),
        &format!("{rate:.0}/s"),
        &format!("{floor:.0} fsync'd records/s, one by one"),
        &format!("≥ {aim}"),
    );

    let mut picked = Vec::with_capacity(PICKED_UP);
    for _ in 0..PICKED_UP {
        let asked = Instant::now();
        let id = engine.probe("one by one").await?;
        let queued = asked.elapsed();
        let ended = until_ended(&db, id).await?;
        picked.push(ended.saturating_duration_since(asked) - queued);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (median, worst) = (percentile(&mut picked, 50.0), percentile(&mut picked, 99.0));
    line(
        &format!("queued to ended, {name}, idle panel"),
        &format!("{} median, {} p99", millis(median), millis(worst)),
        &format!("{:.1} ms for one fsync'd record", 1000.0 / floor),
        "p99 < 20 ms",
    );
    stop.send_replace(true);
    workers.await??;
    mirror.abort();
    let begun = Instant::now();
    engine.audit().mirror().await?;
    let entries = db.read(|tx| tx.audit_end()).await?.map_or(0, |(seq, _)| seq);
    line(
        &format!("audit entries chained, {name}"),
        &format!("{entries}, caught up in {}", millis(begun.elapsed())),
        "",
        "",
    );
    ensure!(entries >= all, "every job leaves an entry");
    Ok(())
}

async fn wait_for(db: &Db, jobs: u64) -> Result<()> {
    loop {
        let counts = db.read(|tx| tx.job_counts()).await?;
        let done = counts.iter().find(|(state, _)| state == "succeeded").map_or(0, |(_, n)| *n);
        let failed: u64 = counts.iter().filter(|(s, _)| s == "failed" || s == "rolled_back").map(|(_, n)| n).sum();
        ensure!(failed == 0, "{failed} jobs failed");
        if done >= jobs {
            return Ok(());
        }
        // Counting is work too.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn until_ended(db: &Db, id: JobId) -> Result<Instant> {
    loop {
        let job = db.read(move |tx| tx.job(Scope::All, id)).await?;
        if job.is_some_and(|job| job.state == JobState::Succeeded) {
            return Ok(Instant::now());
        }
        // Looking all the time would keep the two cores from what is measured.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
