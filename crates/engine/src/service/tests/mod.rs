//! Policy tried on databases, without a machine: jobs are done here by writing down what they would make.

mod agent;
mod bulk;
mod limits;
mod packages;
mod schedules;
mod withheld;

use crate::caller::{Caller, Origin};
use crate::change::Change;
use crate::engine::{Engine, Settings};
use crate::service::{JobRequest, Outcome};
use crate::work::payload::Payload;
use jiff::{SignedDuration, Timestamp};
use std::time::Instant;
use wcp360_store::users::StoredUser;
use wcp360_store::{Db, Scope, StoreError};
use wcp360_types::api::job::{Job, JobState};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{Problem, Role, UserId, Username};

/// Cores over one database: one on SQLite, two on PostgreSQL.
pub(super) struct World {
    pub(super) cores: Vec<Engine>,
    pub(super) root: Caller,
    _dir: tempfile::TempDir,
}

/// Runs a test on every database at hand.
pub(super) async fn on_every_database<F, Fut>(test: F)
where
    F: Fn(World) -> Fut,
    Fut: Future<Output = ()>,
{
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&dir.path().join("state.db")).await.unwrap();
    test(World::new(vec![db], dir).await).await;
    if let Ok(url) = std::env::var("WCP360_TEST_POSTGRES") {
        let schema = format!("e{}", uuid::Uuid::now_v7().simple());
        let (admin, create) = (url.clone(), format!("CREATE SCHEMA {schema}"));
        let made = tokio::task::spawn_blocking(move || {
            postgres::Client::connect(&admin, postgres::NoTls).unwrap().batch_execute(&create).unwrap();
        });
        made.await.unwrap();
        let scoped = format!("{url}{}options=-csearch_path%3D{schema}", if url.contains('?') { "&" } else { "?" });
        let dbs = vec![Db::open_postgres(&scoped).await.unwrap(), Db::open_postgres(&scoped).await.unwrap()];
        test(World::new(dbs, tempfile::tempdir().unwrap()).await).await;
    }
}

impl World {
    async fn new(dbs: Vec<Db>, dir: tempfile::TempDir) -> Self {
        let mut cores = Vec::new();
        for (number, db) in dbs.into_iter().enumerate() {
            let settings = Settings {
                hostname: "panel.host.test".into(),
                http_port: 80,
                agent_socket: dir.path().join("no-agent.sock"),
                audit: crate::audit::AuditFiles {
                    mirror: dir.path().join(format!("audit{number}.json")),
                    position: dir.path().join(format!("audit{number}.position")),
                    key: dir.path().join("audit.key"),
                },
                secrets_file: dir.path().join("secrets"),
                security_file: dir.path().join(format!("security{number}.log")),
                setup_token_file: dir.path().join("setup.token"),
                drift: Default::default(),
                keep_jobs_days: 90,
                workers: 1,
            };
            let engine = Engine::new(db, settings).await.unwrap();
            *engine.inner.default_php.lock().unwrap() = Some((Instant::now(), "8.2".parse().unwrap()));
            cores.push(engine);
        }
        let root = person(&cores[0], "root", Role::Root).await;
        let id = root.user_id;
        let now = Timestamp::now();
        cores[0].db().write(move |tx| crate::service::packages::insert_defaults(tx, id, now)).await.unwrap();
        Self { cores, root, _dir: dir }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.cores[0]
    }

    pub(super) async fn reseller(&self, name: &str) -> Caller {
        person(self.engine(), name, Role::Reseller).await
    }

    /// An account that is there, as a request in JSON asks for it.
    pub(super) async fn account(&self, caller: &Caller, json: serde_json::Value) {
        let request = serde_json::from_value(json).unwrap();
        queued(self.engine().create_account(caller, request, how("accounts.create")).await.unwrap());
        self.finish_jobs().await;
    }

    /// Does all jobs that wait; how many, and how many of them failed.
    pub(super) async fn finish_jobs(&self) -> (usize, usize) {
        let (mut done, mut failed) = (0, 0);
        let db = self.engine().db();
        while let Some(job) =
            db.write(|tx| tx.lease_job(Timestamp::now(), SignedDuration::from_secs(60))).await.unwrap()
        {
            done += 1;
            let Ok(Payload::Account { change, .. }) = serde_json::from_str(&job.request.payload) else { continue };
            let name = job.subject.account.clone().unwrap();
            let state = db
                .write(move |tx| {
                    let now = Timestamp::now();
                    let before = tx.account(Scope::All, &name)?.and_then(|account| account.manifests);
                    let resolved = change.resolve(before.as_ref(), now);
                    let (after, state) = match resolved {
                        Ok(after) => (after, JobState::Succeeded),
                        Err(_) => (before, JobState::RolledBack),
                    };
                    tx.index_account(job.subject.account_id.unwrap(), after.as_ref(), job.id)?;
                    tx.finish_job(&job, &job.steps, state, None, now)?;
                    Ok::<_, StoreError>(state)
                })
                .await
                .unwrap();
            failed += usize::from(state != JobState::Succeeded);
        }
        (done, failed)
    }

    /// The manifests of an account.
    pub(super) async fn manifests(&self, name: &str) -> ManifestSet {
        let name: Username = name.parse().unwrap();
        self.engine().db().read(move |tx| tx.account(Scope::All, &name)).await.unwrap().unwrap().manifests.unwrap()
    }

    /// Asks 64 times at once, on all cores; how many were accepted, and the problems of the others.
    pub(super) async fn at_once<F, Fut>(&self, ask: F) -> (usize, Vec<Problem>)
    where
        F: Fn(Engine, usize) -> Fut,
        Fut: Future<Output = Result<Outcome, crate::EngineError>> + Send + 'static,
    {
        let asked: Vec<_> = (0..64).map(|n| tokio::spawn(ask(self.cores[n % self.cores.len()].clone(), n))).collect();
        let (mut accepted, mut refused) = (0, Vec::new());
        for answer in asked {
            match answer.await.unwrap() {
                Ok(_) => accepted += 1,
                Err(error) => refused.push(error.into_problem()),
            }
        }
        (accepted, refused)
    }
}

async fn person(engine: &Engine, name: &str, role: Role) -> Caller {
    let user = StoredUser {
        id: UserId::new(),
        username: name.into(),
        role,
        account_id: None,
        suspended: false,
        password_hash: None,
        max_accounts: None,
    };
    let stored = user.clone();
    engine.db().write(move |tx| tx.insert_user(&stored, Timestamp::now())).await.unwrap();
    Caller::new(&user, "token", None)
}

pub(super) fn how(operation: &'static str) -> JobRequest {
    JobRequest {
        operation,
        origin: Origin { source: "local".into(), request_id: "r".into() },
        dry_run: false,
        if_match: None,
        idempotency: None,
        undoes: None,
        authority: None,
        schedule: None,
        priority: 0,
    }
}

pub(super) fn queued(outcome: Outcome) -> Job {
    match outcome {
        Outcome::Queued(job) => *job,
        Outcome::Planned(_) => panic!("nothing was queued"),
    }
}

/// A value as JSON says it.
pub(super) fn from<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// The fields that a problem names.
pub(super) fn fields(problem: &Problem) -> Vec<&str> {
    problem.errors.iter().map(|error| error.field.as_str()).collect()
}

/// Keeps the compiler honest about what a job carries.
#[test]
fn changes_survive_being_stored() {
    let change = Change::ChangePackage {
        package: "starter".parse().unwrap(),
        version: 2,
        content: Box::default(),
        keep_excess: true,
    };
    let text = serde_json::to_string(&change).unwrap();
    assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
}
