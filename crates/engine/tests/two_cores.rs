//! Two engines over one PostgreSQL: every job is done once, those of a lane in their order (ENG-01 to ENG-03).
//!
//! Needs `WCP360_TEST_POSTGRES` (scripts/with-postgres); scripts/test sets it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use wcp360_engine::audit::AuditFiles;
use wcp360_engine::{Engine, Settings};
use wcp360_store::{Db, Scope};
use wcp360_types::JobId;
use wcp360_types::api::job::{Job, JobFilter, JobState};

const LANES: usize = 20;
const EACH: usize = 15;

async fn engine(url: &str, dir: &Path, name: &str) -> Engine {
    let settings = Settings {
        hostname: "two.test".into(),
        http_port: 1,
        agent_socket: dir.join("no-agent.sock"),
        audit: AuditFiles {
            mirror: dir.join(format!("{name}.json")),
            position: dir.join(format!("{name}.position")),
            key: dir.join(format!("{name}.key")),
        },
        setup_token_file: dir.join(format!("{name}.token")),
        security_file: dir.join(format!("{name}.security")),
        // All cores of one database have the same keys.
        secrets_file: dir.join("secrets.key"),
        drift: Default::default(),
        keep_jobs_days: 90,
        workers: 6,
    };
    Engine::new(Db::open_postgres(url).await.unwrap(), settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_02_two_cores_do_every_job_once_and_lanes_in_order() {
    let Ok(url) = std::env::var("WCP360_TEST_POSTGRES") else {
        eprintln!("left out: WCP360_TEST_POSTGRES is not set; run it with scripts/with-postgres");
        return;
    };
    let schema = format!("two{}", JobId::new().to_string().replace('-', ""));
    let scoped = format!("{url}?options=-csearch_path%3D{schema}");
    tokio::task::spawn_blocking(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).unwrap();
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engines = [engine(&scoped, dir.path(), "one").await, engine(&scoped, dir.path(), "two").await];
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let workers: Vec<_> = engines
        .iter()
        .map(|engine| {
            let (engine, stopping) = (engine.clone(), stopping.clone());
            tokio::spawn(async move { engine.run_workers(stopping).await })
        })
        .collect();
    // Who listens at one core hears of the other's jobs too (ENG-09).
    let events = engines[0].events().clone();
    let (_listening, mut heard) = (events.listen(), events.now());
    let telling = tokio::spawn({
        let (engine, stopping) = (engines[0].clone(), stopping.clone());
        async move { engine.run_events(stopping).await }
    });
    // Both are asked, for the same lanes.
    let mut asking = Vec::new();
    for lane in 0..LANES {
        let engine = engines[lane % 2].clone();
        asking.push(tokio::spawn(async move {
            let mut asked = Vec::new();
            for _ in 0..EACH {
                asked.push(engine.probe(&format!("lane {lane}")).await.unwrap());
            }
            asked
        }));
    }
    let mut lanes: Vec<Vec<JobId>> = Vec::new();
    for asked in asking {
        lanes.push(asked.await.unwrap());
    }
    let jobs = until_done(&engines[0]).await;
    let mut ended = std::collections::BTreeSet::new();
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while ended.len() < LANES * EACH && std::time::Instant::now() < until {
        for event in events.read(&mut heard, 100).unwrap() {
            let told: serde_json::Value = serde_json::from_str(&event.text).unwrap();
            if told["job"]["state"] == "succeeded" {
                ended.insert(told["job"]["id"].as_str().unwrap().to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ended.len(), LANES * EACH, "events of the other core's jobs are missing");
    stop.send_replace(true);
    telling.await.unwrap();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    assert_eq!(jobs.len(), LANES * EACH);
    for asked in lanes {
        let mut before = None;
        for id in asked {
            let job = &jobs[&id];
            assert_eq!((job.state, job.steps[0].attempts), (JobState::Succeeded, 1), "{job:?}");
            let (begun, ended) = (job.steps[0].started_at.unwrap(), job.finished_at.unwrap());
            assert!(before.is_none_or(|earlier| begun >= earlier), "{job:?} began before the one before it had ended");
            before = Some(ended);
        }
    }
    // One audit entry for each, whichever core chained it, in one chain without gaps.
    engines[0].audit().mirror().await.unwrap();
    engines[1].audit().mirror().await.unwrap();
    let entries = engines[1].db().read(|tx| tx.audit_after(0)).await.unwrap();
    let jobs_ended = entries.iter().filter(|entry| entry.job.is_some()).count();
    // And one for each core's key.
    assert_eq!((jobs_ended, entries.len()), (LANES * EACH, LANES * EACH + 2));
    for engine in &engines {
        let found = engine.audit().verify().await.unwrap();
        assert!(found.ok && found.unsigned == 0, "{found:?}");
    }
    assert!((1..).zip(&entries).all(|(seq, entry)| entry.seq == seq));
}

async fn until_done(engine: &Engine) -> BTreeMap<JobId, Job> {
    for _ in 0..600 {
        let page = engine.db().read(|tx| tx.jobs(Scope::All, &JobFilter::default(), 1000, None)).await.unwrap();
        let over = page.items.iter().filter(|job| job.state.is_final()).count();
        if over == LANES * EACH {
            return page.items.into_iter().map(|job| (job.id, job)).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the jobs don't end");
}
