//! Changes of many accounts: partial failure, repetition, resellers, interruption.

use super::{JobRequest, World, fields, from, how, on_every_database};
use crate::Caller;
use crate::service::BulkOutcome;
use serde_json::{Value, json};
use std::time::Instant;
use wcp360_types::Problem;
use wcp360_types::api::bulk::{Bulk, BulkItemState, BulkState};
use wcp360_types::manifest::AccountStatus;

impl World {
    async fn bulk(&self, caller: &Caller, json: Value, how: JobRequest) -> Result<Bulk, Problem> {
        match self.engine().start_bulk(caller, from(json), how).await {
            Ok(BulkOutcome::Started(bulk)) => Ok(*bulk),
            Ok(BulkOutcome::Planned(_)) => panic!("it was planned"),
            Err(error) => Err(error.into_problem()),
        }
    }

    /// Goes through all bulk changes, on all cores at once, and does their jobs.
    async fn go_on(&self) {
        let cores = self
            .cores
            .iter()
            .cloned()
            .map(|core| tokio::spawn(async move { while core.advance_bulks().await.unwrap() {} }));
        for core in cores.collect::<Vec<_>>() {
            core.await.unwrap();
        }
        self.finish_jobs().await;
    }

    async fn accounts(&self, caller: &Caller, names: &[&str]) {
        for name in names {
            self.account(caller, json!({"username": name, "primary_domain": format!("{name}.test")})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_05_each_account_of_a_bulk_change_succeeds_or_fails_by_itself() {
    on_every_database(async |world| {
        let engine = world.engine();
        let (one, two) = (world.reseller("one").await, world.reseller("two").await);
        world.accounts(&one, &["aaa", "bbb", "ccc"]).await;
        world.accounts(&two, &["foreign"]).await;
        let key = || JobRequest { idempotency: Some(("key".into(), "digest".into())), ..how("bulk.start") };
        let request =
            json!({"action": "suspend", "reason": "why not", "accounts": ["aaa", "bbb", "foreign", "missing", "aaa"]});
        let bulk = world.bulk(&one, request.clone(), key()).await.unwrap();
        assert_eq!((bulk.accounts, bulk.pending, bulk.state), (4, 4, BulkState::Running));
        assert_eq!(world.bulk(&one, request, key()).await.unwrap().id, bulk.id, "the same again is the same");
        world.go_on().await;
        let done = engine.bulk(&one, bulk.id).await.unwrap();
        assert_eq!((done.succeeded, done.refused, done.failed, done.state), (2, 2, 0, BulkState::Incomplete));
        let items = engine.bulk_items(&one, bulk.id, 10, None).await.unwrap().items;
        let states: Vec<_> = items.iter().map(|item| item.state).collect();
        use BulkItemState::*;
        assert_eq!(states, [Queued, Queued, Refused, Refused]);
        // What is somebody else's and what is not there are told apart by their names alone.
        let told = |item: usize| items[item].error.clone().unwrap().replace(items[item].account.as_str(), "NAME");
        assert_eq!(told(2), told(3));
        assert_eq!(world.manifests("foreign").await.account.status, AccountStatus::Active);
        assert_eq!(world.manifests("aaa").await.account.suspended_reason.as_deref(), Some("why not"));
        assert!(engine.bulk(&two, bulk.id).await.is_err() && engine.bulk_items(&two, bulk.id, 10, None).await.is_err());
        assert!(engine.bulk(&world.root, bulk.id).await.is_ok());
        // A filter reaches what the caller reaches.
        let bulk = world.bulk(&one, json!({"action": "delete", "filter": {}}), how("bulk.start")).await.unwrap();
        assert_eq!(bulk.accounts, 3);
        world.go_on().await;
        assert_eq!(engine.usage(&one, "one").await.unwrap().accounts, 0);
        assert_eq!(engine.usage(&two, "two").await.unwrap().accounts, 1);
        for (bad, field) in [
            (json!({"action": "delete"}), "accounts"),
            (json!({"action": "delete", "accounts": [], "filter": null}), "accounts"),
            (json!({"action": "delete", "accounts": ["aaa"], "filter": {}}), "accounts"),
            (json!({"action": "delete", "accounts": ["aaa"], "package": "starter"}), "package"),
            (json!({"action": "delete", "accounts": ["aaa"], "reason": "x"}), "reason"),
            (json!({"action": "change_package", "accounts": ["aaa"]}), "package"),
            (json!({"action": "change_package", "accounts": ["aaa"], "package": "missing"}), "package"),
        ] {
            assert_eq!(fields(&world.bulk(&one, bad, how("bulk.start")).await.unwrap_err()), [field]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_06_a_reseller_is_suspended_with_its_accounts_and_comes_back_with_them() {
    on_every_database(async |world| {
        let engine = world.engine();
        let seller = world.reseller("seller").await;
        world.accounts(&seller, &["aaa", "bbb", "ccc"]).await;
        world.bulk(&seller, json!({"action": "suspend", "accounts": ["bbb"]}), how("bulk.start")).await.unwrap();
        world.go_on().await;
        let name = "seller";
        let BulkOutcome::Planned(plan) = engine
            .suspend_reseller(&world.root, name, None, JobRequest { dry_run: true, ..how("users.suspend") })
            .await
            .unwrap()
        else {
            panic!("it began")
        };
        assert_eq!((plan.changes, plan.refused), (2, 0));
        assert!(!engine.usage(&world.root, name).await.unwrap().suspended, "it was only planned");
        engine.suspend_reseller(&world.root, name, Some("unpaid".into()), how("users.suspend")).await.unwrap();
        world.go_on().await;
        let usage = engine.usage(&world.root, name).await.unwrap();
        assert!(usage.suspended);
        assert_eq!(usage.states.iter().map(|s| (s.name.as_str(), s.count)).collect::<Vec<_>>(), [("suspended", 3)]);
        let again = engine.suspend_reseller(&world.root, name, None, how("users.suspend")).await;
        assert_eq!(again.unwrap_err().into_problem().status, 409);
        let new = json!({"username": "ddd", "primary_domain": "ddd.test", "owner": "seller"});
        let new = engine.create_account(&world.root, from(new), how("accounts.create")).await;
        assert_eq!(fields(&new.unwrap_err().into_problem()), ["owner"]);
        engine.unsuspend_reseller(&world.root, name, how("users.unsuspend")).await.unwrap();
        world.go_on().await;
        let status = async |name: &str| world.manifests(name).await.account.status;
        assert_eq!(status("aaa").await, AccountStatus::Active);
        assert_eq!(status("bbb").await, AccountStatus::Suspended, "that was suspended by itself");
        assert!(!engine.usage(&world.root, name).await.unwrap().suspended);
        // Neither an administrator nor nobody is suspended so.
        for (who, status) in [("root", 409), ("nobody", 404), ("aaa", 404)] {
            let refused = engine.suspend_reseller(&world.root, who, None, how("users.suspend")).await;
            assert_eq!(refused.unwrap_err().into_problem().status, status, "{who}");
        }
        // Brought back before it was the accounts' turn: they were never suspended.
        engine.suspend_reseller(&world.root, name, None, how("users.suspend")).await.unwrap();
        engine.unsuspend_reseller(&world.root, name, how("users.unsuspend")).await.unwrap();
        world.go_on().await;
        assert_eq!(status("aaa").await, AccountStatus::Active);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_05_ten_thousand_accounts_are_cheap_and_one_more_is_too_many() {
    on_every_database(async |world| {
        let names: Vec<String> = (0..10_001).map(|n| format!("acc{n}")).collect();
        let many = json!({"action": "suspend", "accounts": names});
        assert_eq!(fields(&world.bulk(&world.root, many, how("bulk.start")).await.unwrap_err()), ["accounts"]);
        let begun = Instant::now();
        let bulk =
            world.bulk(&world.root, json!({"action": "suspend", "accounts": names[..10_000]}), how("bulk.start")).await;
        let bulk = bulk.unwrap();
        let accepted = begun.elapsed();
        assert_eq!(bulk.pending, 10_000);
        // One transaction's worth is gone on with at a time, so that others come in between.
        let begun = Instant::now();
        assert!(world.engine().advance_bulks().await.unwrap());
        let one = begun.elapsed();
        assert_eq!(world.engine().bulk(&world.root, bulk.id).await.unwrap().pending, 9_950);
        println!("10,000 accounts written down in {accepted:?}; 50 gone through in {one:?}");
        // Who asked is gone by the next turn: the rest is refused, and it ends.
        let id = world.root.user_id;
        world.engine().db().write(move |tx| tx.suspend_user(id, None, jiff::Timestamp::now())).await.unwrap();
        world.go_on().await;
        let done = world.engine().bulk(&world.root, bulk.id).await.unwrap();
        assert_eq!((done.refused, done.state), (10_000, BulkState::Incomplete));
    })
    .await;
}
