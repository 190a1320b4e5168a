//! The store against a real SQLite file.

use crate::accounts::NewAccount;
use crate::audit::{NewAudit, chain};
use crate::jobs::NewJob;
use crate::users::StoredUser;
use crate::{Db, Scope, StoreError};
use jiff::{SignedDuration, Timestamp};
use wcp360_types::api::account::AccountFilter;
use wcp360_types::api::audit::AuditFilter;
use wcp360_types::api::job::{JobFilter, JobState};
use wcp360_types::{AccountId, Domain, JobId, Role, UserId, Username};

async fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&dir.path().join("state.db")).await.unwrap();
    (dir, db)
}

fn user(name: &str, role: Role) -> StoredUser {
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

fn account(name: &str, owner: UserId) -> NewAccount {
    NewAccount {
        id: AccountId::new(),
        username: Username::parse(name).unwrap(),
        owner_id: owner,
        package: "starter".parse().unwrap(),
        primary_domain: Domain::parse(&format!("{name}.test")).unwrap(),
        contact_email: None,
    }
}

fn job(account: &NewAccount) -> NewJob {
    NewJob {
        id: JobId::new(),
        operation: "accounts.create",
        account_id: account.id,
        account: account.username.clone(),
        owner_id: account.owner_id,
        actor: "root".into(),
        request_id: "r".into(),
        payload: "{}".into(),
        steps: &["prepare", "apply"],
    }
}

#[tokio::test]
async fn sec_01_a_scope_hides_what_is_outside() {
    let (_dir, db) = open().await;
    let now = Timestamp::now();
    let (r1, r2) = (user("one", Role::Reseller), user("two", Role::Reseller));
    let mut tx = db.begin().await.unwrap();
    let (a1, a2) = (account("aaa", r1.id), account("bbb", r2.id));
    for u in [&r1, &r2] {
        tx.insert_user(u, now).await.unwrap();
    }
    for a in [&a1, &a2] {
        tx.reserve_account(a, JobId::new(), now).await.unwrap();
        tx.insert_job(&job(a), now).await.unwrap();
    }
    tx.commit().await.unwrap();
    for (scope, seen) in
        [(Scope::All, 2), (Scope::Owner(r1.id), 1), (Scope::Account(a2.id), 1), (Scope::Account(AccountId::new()), 0)]
    {
        assert_eq!(db.accounts(scope, &AccountFilter::default(), 10, None).await.unwrap().items.len(), seen);
        assert_eq!(db.jobs(scope, &JobFilter::default(), 10, None).await.unwrap().items.len(), seen);
    }
    assert!(db.account(Scope::Owner(r1.id), &a2.username).await.unwrap().is_none());
    assert!(db.account(Scope::Owner(r2.id), &a2.username).await.unwrap().is_some());
}

#[tokio::test]
async fn web_01_overlaps_with_other_accounts_are_found() {
    let (_dir, db) = open().await;
    let now = Timestamp::now();
    let owner = user("own", Role::Admin);
    let (a, b) = (account("aaa", owner.id), account("bbb", owner.id));
    let mut tx = db.begin().await.unwrap();
    tx.insert_user(&owner, now).await.unwrap();
    tx.reserve_account(&a, JobId::new(), now).await.unwrap();
    tx.reserve_account(&b, JobId::new(), now).await.unwrap();
    for (name, hit) in [
        ("aaa.test", true),
        ("x.aaa.test", true),
        ("y.x.aaa.test", true),
        ("test.aaa", false),
        ("zaaa.test", false),
        ("bbb.test", false),
        ("x.bbb.test", false),
    ] {
        let found = tx.foreign_overlap(b.id, &Domain::parse(name).unwrap()).await.unwrap();
        assert_eq!(found.is_some(), hit, "{name}");
    }
    // A name above somebody's name is refused as well.
    let sub = account("ccc", owner.id);
    let sub = NewAccount { primary_domain: Domain::parse("shop.big.test").unwrap(), ..sub };
    tx.reserve_account(&sub, JobId::new(), now).await.unwrap();
    assert!(tx.foreign_overlap(b.id, &Domain::parse("big.test").unwrap()).await.unwrap().is_some());
    let again =
        tx.reserve_domain(b.id, &a.primary_domain, wcp360_types::manifest::DomainKind::Addon, JobId::new()).await;
    assert!(matches!(again, Err(StoreError::Taken("domain"))));
}

#[tokio::test]
async fn eng_03_one_account_in_order_and_leases_are_fenced() {
    let (_dir, db) = open().await;
    let now = Timestamp::now();
    let owner = user("own", Role::Admin);
    let (a, b) = (account("aaa", owner.id), account("bbb", owner.id));
    let mut tx = db.begin().await.unwrap();
    let (first, second, other) = (job(&a), job(&a), job(&b));
    for j in [&first, &second, &other] {
        tx.insert_job(j, now).await.unwrap();
    }
    tx.commit().await.unwrap();
    let lease = SignedDuration::from_secs(30);
    let one = db.lease_job(now, lease).await.unwrap().unwrap();
    let two = db.lease_job(now, lease).await.unwrap().unwrap();
    assert_eq!((one.id, two.id), (first.id, other.id), "the account's second job waits for its first");
    assert!(db.lease_job(now, lease).await.unwrap().is_none());
    // The lease runs out; another worker takes over, and the first one can't write any more.
    let later = now + SignedDuration::from_secs(31);
    let taken = db.lease_job(later, lease).await.unwrap().unwrap();
    assert_eq!(taken.id, first.id);
    let mut tx = db.begin().await.unwrap();
    assert!(matches!(tx.begin_step(&one, 0, later).await, Err(StoreError::LeaseLost)));
    tx.finish_job(&taken, JobState::Succeeded, None, None, later).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.lease_job(later, lease).await.unwrap().unwrap().id, second.id);
    for lines in [vec!["a".to_owned(), "b".to_owned()], vec![], vec!["c".to_owned(); 501]] {
        let mut tx = db.begin().await.unwrap();
        tx.log_job(first.id, Some("apply"), &lines, later).await.unwrap();
        tx.commit().await.unwrap();
    }
    let log = db.job_log(first.id, 0).await.unwrap();
    assert_eq!(log.iter().map(|line| line.seq).collect::<Vec<_>>(), (1..=503).collect::<Vec<_>>());
    assert_eq!((log[1].message.as_str(), log[2].message.as_str()), ("b", "c"));
}

#[tokio::test]
async fn sec_06_the_chain_can_be_recomputed() {
    let (_dir, db) = open().await;
    for n in 0..5 {
        let mut tx = db.begin().await.unwrap();
        let detail = format!("entry {n}");
        let new = NewAudit {
            actor: "root",
            source: "local",
            action: "accounts.create",
            target: Some("alice"),
            owner: None,
            outcome: "started",
            detail: Some(&detail),
            request_id: "r",
            job: None,
        };
        tx.append_audit(&new, Timestamp::now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut previous = String::new();
    for entry in db.audit_after(0).await.unwrap() {
        assert_eq!(entry.hash, chain(&previous, &entry));
        previous = entry.hash;
    }
    let about_alice = AuditFilter { target: Some("alice".into()), ..Default::default() };
    let page = db.audit(Scope::All, &about_alice, 2, None).await.unwrap();
    assert_eq!(page.items.iter().map(|e| e.seq).collect::<Vec<_>>(), [5, 4]);
    let next = db.audit(Scope::All, &AuditFilter::default(), 2, page.next_cursor.as_deref()).await.unwrap();
    assert_eq!(next.items.iter().map(|e| e.seq).collect::<Vec<_>>(), [3, 2]);
}
