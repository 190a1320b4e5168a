//! Schedules: what holds them back, and what ends them.

use super::{World, from, on_every_database};
use crate::caller::Caller;
use serde_json::json;
use wcp360_store::{Scope, StoreError};
use wcp360_types::ScheduleId;
use wcp360_types::api::job::{Job, JobFilter};
use wcp360_types::api::schedule::Schedule;
use wcp360_types::api::token::CreateToken;

impl World {
    async fn schedule(&self, caller: &Caller, account: &str, change: serde_json::Value) -> Schedule {
        let request = from(json!({"name": "s", "account": account, "change": change, "cron": "* * * * *"}));
        self.engine().create_schedule(caller, request).await.unwrap()
    }

    /// Lets the time of the next schedule come, `times` times.
    async fn minutes(&self, times: usize) {
        for _ in 0..times {
            let at = self.engine().db().read(|tx| tx.next_schedule(false)).await.unwrap().unwrap();
            self.engine().run_schedules(at).await.unwrap();
        }
    }

    async fn look_at(&self, id: ScheduleId) -> Schedule {
        self.engine().db().read(move |tx| tx.schedule(Scope::All, id)).await.unwrap().unwrap()
    }

    async fn jobs(&self) -> Vec<Job> {
        let all =
            self.engine().db().read::<_, StoreError, _>(|tx| tx.jobs(Scope::All, &JobFilter::default(), 1000, None));
        all.await.unwrap().items
    }
}

#[tokio::test]
async fn eng_03_a_schedule_that_is_always_refused_ends() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        world.account(&sam, json!({"username": "one", "primary_domain": "one.test"})).await;
        let schedule = world.schedule(&sam, "one", json!({"operation": "accounts.unsuspend"})).await;
        world.minutes(9).await;
        assert!(world.look_at(schedule.id).await.next_run.is_some());
        world.minutes(1).await;
        let ended = world.look_at(schedule.id).await;
        assert_eq!(ended.next_run, None);
        assert!(ended.last_error.unwrap().contains("10 times in a row"));
    })
    .await;
}

#[tokio::test]
async fn sec_03_a_schedule_ends_with_the_token_it_was_made_with() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        world.account(&sam, json!({"username": "one", "primary_domain": "one.test"})).await;
        let origin = crate::Origin { source: "local".into(), request_id: "r".into() };
        let wanted =
            CreateToken { name: "t".into(), password: None, expires_in_days: None, scopes: None, networks: None };
        let token = world.engine().create_token(&origin, &sam, wanted).await.unwrap();
        let by_token = world.engine().by_token(&token.secret, &origin, false).await.unwrap();
        let schedule = world.schedule(&by_token, "one", json!({"operation": "accounts.suspend"})).await;
        world.engine().revoke_token(&sam, None, token.token.id).await.unwrap();
        let before = world.jobs().await.len();
        world.minutes(1).await;
        assert_eq!(world.jobs().await.len(), before);
        assert!(world.look_at(schedule.id).await.last_error.unwrap().contains("revoked"));
    })
    .await;
}

#[tokio::test]
async fn eng_09_maintenance_holds_back_what_others_scheduled() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        for name in ["one", "two"] {
            world.account(&sam, json!({"username": name, "primary_domain": format!("{name}.test")})).await;
        }
        let theirs = world.schedule(&sam, "one", json!({"operation": "accounts.suspend"})).await;
        world.schedule(&world.root, "two", json!({"operation": "accounts.suspend"})).await;
        let bulk = from(json!({"action": "suspend", "accounts": ["one"]}));
        world.engine().start_bulk(&sam, bulk, super::how("bulk.start")).await.unwrap();
        let before = world.jobs().await.len();
        world.engine().set_maintenance(from(json!({"enabled": true}))).await.unwrap();
        world.minutes(1).await;
        assert!(!world.engine().advance_bulks().await.unwrap(), "nothing to do for now");
        let jobs = world.jobs().await;
        assert_eq!((jobs.len() - before, jobs[0].account.as_ref().unwrap().as_str()), (1, "two"));
        assert_eq!(world.look_at(theirs.id).await.last_run, None, "it is due still");
        world.engine().set_maintenance(from(json!({"enabled": false}))).await.unwrap();
        assert!(world.engine().advance_bulks().await.unwrap());
        world.minutes(1).await;
        assert!(world.look_at(theirs.id).await.last_run.is_some());
        assert_eq!(world.jobs().await.iter().filter(|job| job.account.as_ref().unwrap().as_str() == "one").count(), 3);
    })
    .await;
}

#[tokio::test]
async fn sec_02_nobody_logs_in_to_an_account_that_is_being_deleted() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        world.account(&sam, json!({"username": "one", "primary_domain": "one.test"})).await;
        let db = world.engine().db();
        let suspended =
            async || db.read::<_, StoreError, _>(|tx| tx.user_by_name("one")).await.unwrap().unwrap().suspended;
        let name = "one".parse().unwrap();
        world.engine().suspend_account(&sam, &name, None, super::how("accounts.suspend")).await.unwrap();
        world.finish_jobs().await;
        assert!(suspended().await);
        world.engine().delete_account(&sam, &name, super::how("accounts.delete")).await.unwrap();
        assert!(suspended().await, "while its deletion is under way");
    })
    .await;
}

#[tokio::test]
async fn sec_04_more_requests_than_a_reseller_has_are_given_by_administrators_alone() {
    on_every_database(async |world| {
        let sam = world.reseller("sam").await;
        let fast = |name: &str| from(json!({"name": name, "security": {"api_requests_per_minute": 90_000}}));
        world.engine().create_package(&world.root, fast("ours")).await.unwrap();
        world.engine().create_package(&sam, fast("sams")).await.unwrap();
        for (name, package, most) in [("one", "sams", 1_800), ("two", "ours", 90_000)] {
            let account = json!({"username": name, "primary_domain": format!("{name}.test"), "package": package});
            world.account(if package == "ours" { &world.root } else { &sam }, account).await;
            let user = world.engine().db().read::<_, StoreError, _>(move |tx| tx.user_by_name(name)).await.unwrap();
            let client = Caller::new(&user.unwrap(), "session", None);
            assert_eq!(world.engine().admit_caller(&client, "203.0.113.9").await.unwrap()[0].limit, most, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn eng_03_jobs_and_keys_are_kept_for_a_time_and_an_account_waits_for_so_many() {
    on_every_database(async |world| {
        let boss = world.root.clone();
        let account = json!({"username": "one", "primary_domain": "one.test", "package": "unlimited"});
        world.account(&boss, account).await;
        let engine = world.engine();
        let name = "one".parse().unwrap();
        let ask = async |n: usize| {
            let mut how = super::how("domains.add");
            how.idempotency = Some((format!("k{n}"), "r".into()));
            engine.add_domain(&boss, &name, from(json!({"domain": format!("d{n}.one.test")})), how).await
        };
        for n in 0..50 {
            assert!(ask(n).await.is_ok(), "{n}");
        }
        assert_eq!(ask(50).await.unwrap_err().into_problem().status, 409);
        world.finish_jobs().await;
        let (done, now) = (world.jobs().await.len(), jiff::Timestamp::now());
        engine.forget_old_jobs(now + jiff::SignedDuration::from_hours(24 * 89)).await.unwrap();
        assert_eq!(world.jobs().await.len(), done, "not yet");
        ask(51).await.unwrap();
        engine.forget_old_jobs(now + jiff::SignedDuration::from_hours(24 * 91)).await.unwrap();
        assert_eq!(world.jobs().await.len(), 1, "what is not over is kept");
        // And with the keys the memory of what they were used for.
        let again = ask(51).await.unwrap_err().into_problem();
        assert_eq!(again.status, 409, "the name is reserved: it was taken for a new request");
    })
    .await;
}
