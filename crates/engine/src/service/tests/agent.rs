//! Jobs against an agent that is played here: what it has, and what comes of requests that were under way.

use super::{World, from, how, on_every_database, queued};
use crate::work::payload::{PREPARE, Prepared};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use wcp360_agent_proto::{AgentError, AgentErrorCode};
use wcp360_store::{Scope, StoreError};
use wcp360_types::api::account::AccountState;
use wcp360_types::api::job::{Job, JobState};
use wcp360_types::manifest::{AccountStatus, ManifestSet};
use wcp360_types::{JobId, OperationId, Role};

/// What the agent has.
#[derive(Debug, Default)]
struct Machine {
    accounts: Vec<ManifestSet>,
    /// What an earlier request makes of an account before anybody else gets their turn.
    under_way: Option<ManifestSet>,
    /// One that came when its place in the list was passed.
    unlisted: Option<ManifestSet>,
    converged: usize,
}

impl Machine {
    fn put(&mut self, set: ManifestSet) {
        self.accounts.retain(|known| known.account.username != set.account.username);
        self.accounts.push(set);
    }

    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let parts: Vec<&str> = path.split('/').skip(3).collect();
        match (method, parts.as_slice()) {
            ("POST", ["list"]) => {
                let all = self.accounts.iter();
                let all =
                    all.map(|set| json!({"username": set.account.username, "record": record(set), "error": null}));
                (200, json!({"accounts": all.collect::<Vec<_>>(), "next": null}))
            }
            ("GET", [_, "drift"]) => {
                if let Some(done) = self.under_way.take() {
                    self.put(done);
                }
                (500, error(AgentErrorCode::Failed))
            }
            ("GET", [name]) => {
                match self.accounts.iter().chain(&self.unlisted).find(|set| set.account.username.as_str() == *name) {
                    Some(set) => (200, record(set)),
                    None => (404, error(AgentErrorCode::NotFound)),
                }
            }
            ("POST", [name, "converge"]) => {
                self.converged += 1;
                let request: Value = serde_json::from_slice(body).unwrap();
                let set: ManifestSet = serde_json::from_value(request["desired"].clone()).unwrap();
                let record = record(&set);
                self.put(set);
                let plan = json!({"account": name, "resources": [], "services": []});
                (200, json!({"record": record, "applied": plan, "notes": []}))
            }
            other => panic!("nobody asks for {other:?} here"),
        }
    }
}

fn error(code: AgentErrorCode) -> Value {
    serde_json::to_value(AgentError::new(code, "as the test wants it")).unwrap()
}

fn record(set: &ManifestSet) -> Value {
    let audit = json!({"action": "t", "actor": "t", "job": JobId::new()});
    let meta = json!({"schema_version": 1, "last_applied_revision": set.revision(), "last_applied_at": Timestamp::now(),
                      "last_audit_action": audit});
    json!({"revision": set.revision(), "manifests": set, "meta": meta})
}

async fn exchange(mut stream: UnixStream, machine: Arc<Mutex<Machine>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        break (head.to_owned(), length.unwrap_or(0usize));
    };
    while bytes.len() < head.len() + 4 + length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (status, body) = machine.lock().unwrap().answer(method, path, &bytes[head.len() + 4..]);
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
}

impl World {
    /// Plays the agent until the test ends.
    async fn machine(&self) -> Arc<Mutex<Machine>> {
        let machine = Arc::new(Mutex::new(Machine::default()));
        let (listener, played) =
            (UnixListener::bind(&self.engine().inner.settings.agent_socket).unwrap(), machine.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(exchange(stream, played.clone()));
            }
        });
        machine
    }

    /// Has workers do a job to its end.
    async fn work_on(&self, id: JobId) -> Job {
        let find = async || self.engine().db().read(move |tx| tx.job(Scope::All, id)).await.unwrap().unwrap();
        self.work_until(async || find().await.state.is_final()).await;
        find().await
    }

    /// Has workers work until something is so, or for ten seconds.
    async fn work_until(&self, is_so: impl AsyncFn() -> bool) {
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let engine = self.engine().clone();
        let workers = tokio::spawn(async move { engine.run_workers(stopping).await });
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while !is_so().await && std::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send_replace(true);
        workers.await.unwrap().unwrap();
    }

    async fn index(&self, name: &str) -> Option<wcp360_store::accounts::StoredAccount> {
        let name = name.parse().unwrap();
        self.engine().db().read::<_, StoreError, _>(move |tx| tx.account(Scope::All, &name)).await.unwrap()
    }
}

#[tokio::test]
async fn eng_02_taking_back_waits_for_what_is_under_way() {
    on_every_database(async |world| {
        let machine = world.machine().await;
        world.account(&world.root, json!({"username": "one", "primary_domain": "one.test"})).await;
        let before = world.manifests("one").await;
        let mut desired = before.clone();
        desired.account.status = AccountStatus::Suspended;
        // The agent was asked and is at work; core died without having written that it asked, and somebody cancelled.
        machine.lock().unwrap().put(before.clone());
        machine.lock().unwrap().under_way = Some(desired.clone());
        let name = "one".parse().unwrap();
        let suspended = world.engine().suspend_account(&world.root, &name, None, how("accounts.suspend")).await;
        let id = queued(suspended.unwrap()).id;
        let prepared = Prepared { operation: OperationId::new(), before: Some(before), desired: Some(desired) };
        let write = world.engine().db().write::<_, StoreError, _>(move |tx| {
            let now = Timestamp::now();
            let job = tx.lease_job(now, SignedDuration::from_secs(60))?.unwrap();
            let mut steps = job.steps.clone();
            steps[0].state = JobState::Succeeded;
            tx.save_steps(id, job.lease_token, &steps, now)?;
            tx.save_artifact(id, PREPARE, &serde_json::to_string(&prepared).unwrap())?;
            tx.request_cancel(id, now)?;
            tx.unlease_job(&job, now)
        });
        write.await.unwrap();
        assert_eq!(world.work_on(id).await.state, JobState::Cancelled);
        {
            let machine = machine.lock().unwrap();
            assert_eq!((machine.converged, machine.accounts[0].account.status), (1, AccountStatus::Active));
        }
        assert_eq!(world.index("one").await.unwrap().state, AccountState::Active);
    })
    .await;
}

#[tokio::test]
async fn eng_02_what_the_index_cannot_take_ends_the_job_and_not_its_lane() {
    on_every_database(async |world| {
        let machine = world.machine().await;
        for name in ["one", "two"] {
            world.account(&world.root, json!({"username": name, "primary_domain": format!("{name}.test")})).await;
        }
        let one = world.manifests("one").await;
        machine.lock().unwrap().put(one);
        let request = from(json!({"domain": "x.test"}));
        let added = world.engine().add_domain(&world.root, &"one".parse().unwrap(), request, how("domains.add")).await;
        let id = queued(added.unwrap()).id;
        // What was reserved is another account's by now.
        let (one, two) = (world.index("one").await.unwrap(), world.index("two").await.unwrap());
        let mut other = world.manifests("two").await;
        other.domains.alias.push(from(json!({"domain": "x.test", "target": "two.test", "www": true})));
        let write = world.engine().db().write::<_, StoreError, _>(move |tx| {
            tx.index_account(one.id, one.manifests.as_ref(), id)?;
            tx.index_account(two.id, Some(&other), JobId::new())
        });
        write.await.unwrap();
        let job = world.work_on(id).await;
        assert_eq!(job.state, JobState::Failed);
        assert!(job.error.unwrap().contains("another account's"));
    })
    .await;
}

#[tokio::test]
async fn eng_05_rebuilding_keeps_what_came_meanwhile_and_writes_nothing_by_half() {
    on_every_database(async |world| {
        let machine = world.machine().await;
        for name in ["gone", "late", "one"] {
            world.account(&world.root, json!({"username": name, "primary_domain": format!("{name}.test")})).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut one = world.manifests("one").await;
        let mut thief = one.clone();
        one.domains.alias.push(from(json!({"domain": "shop.gone.test", "target": "one.test", "www": false})));
        thief.account.username = "thief".parse().unwrap();
        thief.account.primary_domain = "sub.late.test".parse().unwrap();
        thief.domains.primary.domain = "sub.late.test".parse().unwrap();
        let late = world.manifests("late").await;
        {
            let mut machine = machine.lock().unwrap();
            machine.put(one);
            machine.put(thief);
            machine.unlisted = Some(late);
        }
        let job = world.engine().rebuild_index(&world.root, how("index.rebuild")).await.unwrap();
        assert_eq!(world.work_on(job.id).await.state, JobState::Succeeded);
        assert!(world.index("gone").await.is_none());
        assert!(world.index("late").await.is_some(), "it came after its place in the list");
        assert!(world.index("thief").await.is_none(), "its name lies under another's");
        assert_eq!(world.index("one").await.unwrap().manifests.unwrap().domains.alias, [], "left as it was");
    })
    .await;
}

#[tokio::test]
async fn ten_06_a_reseller_lifts_no_suspension_of_an_administrators() {
    on_every_database(async |world| {
        let machine = world.machine().await;
        let sam = world.reseller("sam").await;
        for name in ["one", "two"] {
            world.account(&sam, json!({"username": name, "primary_domain": format!("{name}.test")})).await;
            let set = world.manifests(name).await;
            machine.lock().unwrap().put(set);
        }
        let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
        let engine = world.engine();
        let suspended = engine.suspend_account(&world.root, &one, None, how("accounts.suspend")).await;
        let id = queued(suspended.unwrap()).id;
        let refused = engine.cancel_job(&sam, id).await.unwrap_err().into_problem();
        assert_eq!(refused.status, 403, "stopped before it happens");
        // Nobody asks nginx here: what was applied counts.
        world.work_until(async || world.index("one").await.unwrap().suspended_by.is_some()).await;
        let account = world.index("one").await.unwrap();
        assert_eq!((account.state, account.suspended_by), (AccountState::Suspended, Some(Role::Root)));
        let lifted = async |by, name| engine.unsuspend_account(by, name, how("accounts.unsuspend")).await;
        assert_eq!(lifted(&sam, &one).await.unwrap_err().into_problem().status, 403);
        assert!(lifted(&world.root, &one).await.is_ok());

        // Asked for before it was suspended: refused when it is its turn.
        let request = from(json!({"domain": "x.test"}));
        let first = queued(engine.add_domain(&sam, &two, request, how("domains.add")).await.unwrap()).id;
        let early = queued(lifted(&sam, &two).await.unwrap()).id;
        engine.cancel_job(&sam, first).await.unwrap();
        let mut set = world.manifests("two").await;
        set.account.status = AccountStatus::Suspended;
        machine.lock().unwrap().put(set.clone());
        let two = world.index("two").await.unwrap().id;
        let write = engine.db().write::<_, StoreError, _>(move |tx| {
            tx.index_account(two, Some(&set), JobId::new())?;
            tx.set_suspended_by(two, Some(Role::Admin))
        });
        write.await.unwrap();
        assert!(world.work_on(early).await.error.unwrap().contains("administrator"));
    })
    .await;
}
