//! Names that nobody can own, and packages that were withdrawn: by whatever way they come.

use super::{fields, from, how, on_every_database, queued};
use crate::Engine;
use crate::caller::Caller;
use crate::service::Outcome;
use jiff::Timestamp;
use serde_json::json;
use wcp360_store::{Scope, StoreError};
use wcp360_types::Problem;
use wcp360_types::api::job::{Job, JobState};

fn refused<T>(answer: Result<T, crate::EngineError>) -> Problem {
    answer.err().unwrap().into_problem()
}

/// Cancels a queued job, as a worker does.
async fn cancelled(engine: &Engine, job: &Job) {
    let id = job.id;
    engine
        .db()
        .write::<_, StoreError, _>(move |tx| {
            let now = Timestamp::now();
            let job = tx.lease_job(now, jiff::SignedDuration::from_secs(60))?.unwrap();
            assert_eq!(job.id, id);
            let name = job.subject.account.clone().unwrap();
            let before = tx.account(Scope::All, &name)?.and_then(|account| account.manifests);
            tx.index_account(job.subject.account_id.unwrap(), before.as_ref(), job.id)?;
            tx.finish_job(&job, &job.steps, JobState::Cancelled, None, now)
        })
        .await
        .unwrap();
}

async fn clone_of(
    engine: &Engine,
    by: &Caller,
    source: &str,
    json: serde_json::Value,
) -> Result<Outcome, crate::EngineError> {
    engine.clone_account(by, &source.parse().unwrap(), from(json), how("accounts.clone")).await
}

#[tokio::test]
async fn web_01_nobody_takes_a_suffix_or_the_panels_name_by_any_way() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        let engine = world.engine();
        world.account(&sam, json!({"username": "one", "primary_domain": "one.test"})).await;
        for (domain, status) in [("co.uk", 422), ("panel.host.test", 409)] {
            let add = from(json!({"domain": domain}));
            let name = "one".parse().unwrap();
            assert_eq!(refused(engine.add_domain(&sam, &name, add, how("domains.add")).await).status, status);
            let later = json!({"name": "s", "account": "one", "run_at": "2099-01-01T00:00:00Z",
                               "change": {"operation": "domains.add", "domain": domain}});
            assert_eq!(refused(engine.create_schedule(&sam, from(later)).await).status, status, "{domain}");
            let create = from(json!({"username": "two", "primary_domain": domain}));
            let problem = refused(engine.create_account(&sam, create, how("accounts.create")).await);
            assert_eq!((problem.status, fields(&problem)), (status, vec!["primary_domain"]));
        }
        // A name that follows from others.
        let add = from(json!({"domain": "panel.one.test"}));
        queued(engine.add_domain(&sam, &"one".parse().unwrap(), add, how("domains.add")).await.unwrap());
        world.finish_jobs().await;
        let problem =
            refused(clone_of(engine, &sam, "one", json!({"username": "two", "primary_domain": "host.test"})).await);
        assert_eq!((problem.status, fields(&problem)), (409, vec!["domains"]));
    })
    .await;
}

#[tokio::test]
async fn ten_05_what_was_withdrawn_or_lowered_is_given_to_nobody_anew() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        let engine = world.engine();
        let big = |disk: u64, visibility: &str| {
            from(json!({"name": "big", "visibility": visibility, "limits": {"disk_mb": disk}}))
        };
        engine.create_package(&world.root, big(9_000, "public")).await.unwrap();
        world.account(&sam, json!({"username": "one", "primary_domain": "one.test", "package": "big"})).await;
        world.account(&sam, json!({"username": "two", "primary_domain": "two.test"})).await;
        let change = from(json!({"package": "big"}));
        let asked = engine.change_package(&sam, &"two".parse().unwrap(), change, how("accounts.change-package")).await;
        let asked = queued(asked.unwrap());
        cancelled(engine, &asked).await;

        // A clone has what the package gives now.
        engine.update_package(&world.root, big(10, "public")).await.unwrap();
        queued(
            clone_of(engine, &sam, "one", json!({"username": "three", "primary_domain": "three.test"})).await.unwrap(),
        );
        world.finish_jobs().await;
        let limits = world.manifests("three").await.limits;
        assert_eq!((limits.limits.disk_mb, limits.package_version), (Some(10), 2));
        // What was asked for before is not given by trying it again.
        assert_eq!(refused(engine.retry_job(&sam, asked.id, how("jobs.retry")).await).status, 409);

        engine.update_package(&world.root, big(10, "private")).await.unwrap();
        let problem =
            refused(clone_of(engine, &sam, "one", json!({"username": "four", "primary_domain": "four.test"})).await);
        assert_eq!((problem.status, fields(&problem)), (422, vec!["package"]));
        assert_eq!(refused(engine.retry_job(&sam, asked.id, how("jobs.retry")).await).status, 422);
    })
    .await;
}
