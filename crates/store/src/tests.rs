//! The store against a real SQLite file, and against PostgreSQL where `WCP360_TEST_POSTGRES` names one.

mod identity;

use crate::accounts::NewAccount;
use crate::jobs::{NewJob, Request, Subject};
use crate::users::StoredUser;
use crate::{Db, Scope, StoreError, Tx};
use jiff::{SignedDuration, Timestamp};
use wcp360_types::api::account::AccountFilter;
use wcp360_types::api::job::{JobFilter, JobState};
use wcp360_types::{AccountId, Domain, JobId, Role, UserId, Username};

/// Runs a test on every database at hand. On PostgreSQL each test gets a schema of its own.
pub(crate) async fn on_every_database<F, Fut>(test: F)
where
    F: Fn(Db) -> Fut,
    Fut: Future<Output = ()>,
{
    let dir = tempfile::tempdir().unwrap();
    test(Db::open_sqlite(&dir.path().join("state.db")).await.unwrap()).await;
    if let Ok(url) = std::env::var("WCP360_TEST_POSTGRES") {
        test(postgres(&url).await).await;
    }
}

async fn postgres(url: &str) -> Db {
    let schema = format!("t{}", uuid::Uuid::now_v7().simple());
    let (url, create) = (url.to_owned(), format!("CREATE SCHEMA {schema}"));
    let scoped = format!("{url}{}options=-csearch_path%3D{schema}", if url.contains('?') { "&" } else { "?" });
    tokio::task::spawn_blocking(move || {
        postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&create).unwrap();
    })
    .await
    .unwrap();
    Db::open_postgres(&scoped).await.unwrap()
}

pub(crate) fn user(name: &str, role: Role) -> StoredUser {
    StoredUser {
        id: UserId::new(),
        username: name.into(),
        role,
        account_id: None,
        suspended: false,
        password_hash: None,
        max_accounts: None,
    }
}

pub(crate) fn account(name: &str, owner: UserId) -> NewAccount {
    NewAccount {
        id: AccountId::new(),
        username: Username::parse(name).unwrap(),
        owner_id: owner,
        package: "starter".parse().unwrap(),
        package_version: 1,
        primary_domain: Domain::parse(&format!("{name}.test")).unwrap(),
        contact_email: None,
    }
}

pub(crate) fn job(account: &NewAccount) -> NewJob {
    NewJob {
        id: JobId::new(),
        request: Request {
            operation: "accounts.create".into(),
            actor: "root".into(),
            actor_id: None,
            source: "local".into(),
            request_id: "r".into(),
            payload: "{}".into(),
        },
        subject: Subject {
            lane: account.id.to_string(),
            tenant: account.id.to_string(),
            account_id: Some(account.id),
            account: Some(account.username.clone()),
            owner_id: account.owner_id,
        },
        steps: &["prepare", "apply"],
        priority: 0,
        undoes: None,
        schedule: None,
    }
}

/// One transaction that must succeed.
pub(crate) async fn write<T: Send + 'static>(
    db: &Db,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    db.write(work).await.unwrap()
}

pub(crate) async fn read<T: Send + 'static>(
    db: &Db,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    db.read(work).await.unwrap()
}

#[tokio::test]
async fn sec_01_a_scope_hides_what_is_outside() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let (r1, r2) = (user("one", Role::Reseller), user("two", Role::Reseller));
        let (a1, a2) = (account("aaa", r1.id), account("bbb", r2.id));
        let (u, a) = ([r1.clone(), r2.clone()], [a1.clone(), a2.clone()]);
        write(&db, move |tx| {
            for u in &u {
                tx.insert_user(u, now)?;
            }
            for a in &a {
                tx.reserve_account(a, JobId::new(), now)?;
                tx.insert_job(&job(a), now)?;
            }
            Ok(())
        })
        .await;
        for (scope, seen) in [
            (Scope::All, 2),
            (Scope::Owner(r1.id), 1),
            (Scope::Account(a2.id), 1),
            (Scope::Account(AccountId::new()), 0),
        ] {
            let accounts = read(&db, move |tx| tx.accounts(scope, &AccountFilter::default(), 10, None)).await;
            let jobs = read(&db, move |tx| tx.jobs(scope, &JobFilter::default(), 10, None)).await;
            assert_eq!((accounts.items.len(), jobs.items.len()), (seen, seen));
        }
        let name = a2.username.clone();
        read(&db, move |tx| {
            assert!(tx.account(Scope::Owner(r1.id), &name)?.is_none());
            assert!(tx.account(Scope::Owner(r2.id), &name)?.is_some());
            Ok(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn web_01_overlaps_with_other_accounts_are_found() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let owner = user("own", Role::Admin);
        write(&db, move |tx| {
            let (a, b) = (account("aaa", owner.id), account("bbb", owner.id));
            tx.insert_user(&owner, now)?;
            tx.reserve_account(&a, JobId::new(), now)?;
            tx.reserve_account(&b, JobId::new(), now)?;
            for (name, hit) in [
                ("aaa.test", true),
                ("x.aaa.test", true),
                ("y.x.aaa.test", true),
                ("test.aaa", false),
                ("zaaa.test", false),
                ("bbb.test", false),
                ("x.bbb.test", false),
            ] {
                let found = tx.foreign_overlap(b.id, &Domain::parse(name).unwrap())?;
                assert_eq!(found.is_some(), hit, "{name}");
            }
            // A name above somebody's name is refused as well.
            let sub = account("ccc", owner.id);
            let sub = NewAccount { primary_domain: Domain::parse("shop.big.test").unwrap(), ..sub };
            tx.reserve_account(&sub, JobId::new(), now)?;
            assert!(tx.foreign_overlap(b.id, &Domain::parse("big.test").unwrap())?.is_some());
            let again =
                tx.reserve_domain(b.id, &a.primary_domain, wcp360_types::manifest::DomainKind::Addon, JobId::new());
            assert!(matches!(again, Err(StoreError::Taken("domain"))));
            // The transaction goes on after it, on every database.
            tx.set_setting("x", "y")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn eng_03_one_account_in_order_and_leases_are_fenced() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let (a, b) = (account("aaa", UserId::new()), account("bbb", UserId::new()));
        let jobs = [job(&a), job(&a), job(&b)];
        let [first, second, other] = [jobs[0].id, jobs[1].id, jobs[2].id];
        write(&db, move |tx| jobs.iter().try_for_each(|job| tx.insert_job(job, now))).await;
        let lease = SignedDuration::from_secs(30);
        let one = write(&db, move |tx| tx.lease_job(now, lease)).await.unwrap();
        let two = write(&db, move |tx| tx.lease_job(now, lease)).await.unwrap();
        assert_eq!((one.id, two.id), (first, other), "the account's second job waits for its first");
        assert!(write(&db, move |tx| tx.lease_job(now, lease)).await.is_none());
        // The lease runs out; another worker takes over, and the first one can't write any more.
        let later = now + SignedDuration::from_secs(31);
        assert_eq!(write(&db, move |tx| tx.wake_due(later)).await, 2);
        let taken = write(&db, move |tx| tx.lease_job(later, lease)).await.unwrap();
        assert_eq!(taken.id, first);
        let late = db.write(move |tx| tx.save_steps(one.id, one.lease_token, &one.steps, later)).await;
        assert!(matches!(late, Err(StoreError::LeaseLost)));
        write(&db, move |tx| tx.finish_job(&taken, &taken.steps, JobState::Succeeded, None, later)).await;
        let next = write(&db, move |tx| Ok([tx.lease_job(later, lease)?, tx.lease_job(later, lease)?])).await;
        let mut next: Vec<_> = next.into_iter().flatten().map(|job| job.id).collect();
        next.sort();
        assert_eq!(next, [second, other]);
        for lines in [vec!["a".to_owned(), "b".to_owned()], vec![], vec!["c".to_owned(); 501]] {
            write(&db, move |tx| tx.log_job(first, Some("apply"), &lines, later)).await;
        }
        let log = read(&db, move |tx| tx.job_log(first, 0)).await;
        assert_eq!(log.iter().map(|line| line.seq).collect::<Vec<_>>(), (1..=503).collect::<Vec<_>>());
        assert_eq!((log[1].message.as_str(), log[2].message.as_str()), ("b", "c"));
    })
    .await;
}

#[tokio::test]
async fn eng_03_tenants_take_turns_whoever_queues_how_much() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let big = UserId::new();
        write(&db, move |tx| {
            for number in 0..50 {
                let mut job = job(&account(&format!("big{number}"), big));
                job.subject.tenant = "big".into();
                job.subject.account = Some(format!("big{number}").parse().unwrap());
                tx.insert_job(&job, now)?;
            }
            for number in 0..2 {
                let mut job = job(&account(&format!("small{number}"), big));
                job.subject.tenant = "small".into();
                tx.insert_job(&job, now)?;
            }
            let mut urgent = job(&account("urgent", big));
            urgent.subject.tenant = "big".into();
            urgent.priority = 10;
            tx.insert_job(&urgent, now)
        })
        .await;
        let order = write(&db, move |tx| {
            let mut order = Vec::new();
            while let Some(job) = tx.lease_job(now, SignedDuration::from_secs(30))? {
                order.push((job.subject.tenant.clone(), job.subject.account.clone().unwrap().to_string()));
            }
            Ok(order)
        })
        .await;
        assert_eq!(order.len(), 53);
        assert_eq!(order[0].1, "urgent");
        let small: Vec<usize> = (0..53).filter(|n| order[*n].0 == "small").collect();
        assert!(small[1] <= 4, "the small tenant's jobs came at {small:?}");
    })
    .await;
}

#[tokio::test]
async fn eng_01_a_poisoned_row_ends_as_failed_and_the_next_job_runs() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let a = account("aaa", UserId::new());
        let (bad, good) = (job(&a), job(&a));
        let ids = (bad.id, good.id);
        write(&db, move |tx| {
            tx.insert_job(&bad, now)?;
            tx.insert_job(&good, now)?;
            tx.execute("UPDATE jobs SET steps = '{\"not\": ' WHERE id = $1", crate::db::params![bad.id])
        })
        .await;
        let leased = write(&db, move |tx| tx.lease_job(now, SignedDuration::from_secs(30))).await.unwrap();
        assert_eq!(leased.id, ids.1);
        let listed = read(&db, |tx| tx.jobs(Scope::All, &JobFilter::default(), 10, None)).await;
        assert_eq!(listed.items.iter().map(|job| job.id).collect::<Vec<_>>(), [ids.1]);
    })
    .await;
}

#[tokio::test]
async fn eng_03_a_key_makes_one_job_and_a_failed_transaction_leaves_nothing() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let (user, key) = (UserId::new(), "k");
        write(&db, move |tx| tx.remember_key(user, key, "r", JobId::new(), now)).await;
        let again: Result<(), StoreError> = db
            .write(move |tx| {
                tx.set_setting("half", "done")?;
                tx.remember_key(user, key, "r", JobId::new(), now)
            })
            .await;
        assert!(matches!(again, Err(StoreError::Taken(_))));
        assert_eq!(read(&db, |tx| tx.setting("half")).await, None);
        let panicked: Result<(), StoreError> = db
            .write(|tx| {
                tx.set_setting("half", "done")?;
                panic!("a mistake")
            })
            .await;
        assert!(panicked.is_err());
        assert_eq!(read(&db, |tx| tx.setting("half")).await, None);
        // The thread lives on.
        write(&db, |tx| tx.set_setting("whole", "done")).await;
    })
    .await;
}

#[tokio::test]
async fn eng_03_many_at_once_are_all_kept() {
    on_every_database(async |db| {
        let writes = (0..200).map(|n| {
            let db = db.clone();
            tokio::spawn(async move { write(&db, move |tx| tx.set_setting(&format!("k{n}"), "v")).await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap();
        }
        let count = read(&db, |tx| {
            let row = tx.query_one("SELECT COUNT(*) AS n FROM settings", &[])?;
            crate::row::columns("settings", &row).count("n")
        })
        .await;
        assert_eq!(count, 200);
    })
    .await;
}

#[tokio::test]
async fn plt_03_a_read_sees_one_state() {
    on_every_database(async |db| {
        db.write::<_, StoreError, _>(|tx| tx.set_setting("x", "before")).await.unwrap();
        let (looked, looks) = std::sync::mpsc::channel();
        let (written, writes) = std::sync::mpsc::channel::<()>();
        let reading = tokio::spawn({
            let db = db.clone();
            async move {
                let read = db.read::<_, StoreError, _>(move |tx| {
                    let first = tx.setting("x")?;
                    looked.send(()).unwrap();
                    writes.recv().unwrap();
                    Ok((first, tx.setting("x")?))
                });
                read.await.unwrap()
            }
        });
        tokio::task::spawn_blocking(move || looks.recv().unwrap()).await.unwrap();
        db.write::<_, StoreError, _>(|tx| tx.set_setting("x", "after")).await.unwrap();
        written.send(()).unwrap();
        let (first, second) = reading.await.unwrap();
        assert_eq!(first, second);
    })
    .await;
}

#[tokio::test]
async fn api_03_a_name_with_a_zero_in_it_is_nobodys() {
    on_every_database(async |db| {
        db.write::<_, StoreError, _>(|tx| tx.insert_user(&user("boss", Role::Root), Timestamp::now())).await.unwrap();
        for name in ["boss\0", "\0boss", "\0"] {
            assert!(db.read::<_, StoreError, _>(move |tx| tx.user_by_name(name)).await.unwrap().is_none());
        }
    })
    .await;
}
