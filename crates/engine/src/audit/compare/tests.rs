//! Books and trails that differ, and that don't.

use super::*;
use wcp360_agent_proto::{OperationKind, OperationPosition};
use wcp360_store::Db;
use wcp360_store::audit::NewAudit;
use wcp360_types::OperationId;
use wcp360_types::manifest::AuditReference;

struct World {
    db: Db,
    _dir: tempfile::TempDir,
    operations: Vec<OperationSummary>,
}

fn revision(n: u32) -> Option<Revision> {
    Some(Revision::of(&n))
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&dir.path().join("state.db")).await.unwrap();
        let mut world = Self { db, _dir: dir, operations: Vec::new() };
        world.entry("panel.start", "panel", "local", "succeeded", None, (None, None)).await;
        // What is remembered begins with somebody's operation.
        world.done("first", 1, 2).await;
        std::thread::sleep(std::time::Duration::from_millis(2));
        world
    }

    async fn entry(
        &mut self,
        action: &str,
        target: &str,
        source: &str,
        outcome: &str,
        job: Option<JobId>,
        (before, after): (Option<Revision>, Option<Revision>),
    ) {
        let entry = NewAudit {
            actor: "root".into(),
            source: source.into(),
            action: action.into(),
            target: Some(target.into()),
            outcome: outcome.into(),
            request_id: "r".into(),
            job,
            before,
            after,
            ..NewAudit::default()
        };
        let write = move |tx: &mut Tx<'_>| {
            tx.append_audit(&entry, Timestamp::now())?;
            tx.chain_audit(100)
        };
        self.db.write(write).await.unwrap();
    }

    fn operation(&mut self, account: &str, job: JobId, action: &str, (before, after): (u32, u32)) {
        // Jobs know their time to the millisecond; what they do takes longer than here.
        std::thread::sleep(std::time::Duration::from_millis(2));
        let byte = self.operations.len() as u64;
        self.operations.push(OperationSummary {
            position: OperationPosition { file: 1, byte },
            operation: OperationId::new(),
            account: account.parse().unwrap(),
            kind: OperationKind::Change,
            audit: AuditReference { action: action.into(), actor: "root".into(), job },
            before: revision(before),
            after: revision(after),
            outcome: OperationOutcome::Done,
            at: Timestamp::now(),
        });
    }

    /// A change as it should be.
    async fn done(&mut self, account: &str, before: u32, after: u32) -> JobId {
        let job = JobId::new();
        self.entry("domains.add", account, "local", "accepted", Some(job), (None, None)).await;
        self.operation(account, job, "domains.add", (before, after));
        let revisions = (revision(before), revision(after));
        self.entry("domains.add", account, "job", "succeeded", Some(job), revisions).await;
        job
    }

    async fn compare(&self) -> AuditComparison {
        let begin = self.db.read(|tx| tx.audit_begin()).await.unwrap().map(|(_, at)| at);
        let mut comparing = Comparing { until: Timestamp::now(), begin, ..Comparing::default() };
        let operations = self.operations.clone();
        comparing = self.db.read(move |tx| comparing.operations(tx, operations)).await.unwrap();
        let mut after = Some(0);
        while let Some(from) = after {
            (comparing, after) = self.db.read(move |tx| comparing.entries(tx, from)).await.unwrap();
        }
        comparing.found
    }

    async fn only(&self) -> AuditDifference {
        let mut found = self.compare().await;
        assert_eq!((found.differences, found.first.len()), (1, 1), "{found:?}");
        found.first.remove(0)
    }
}

#[tokio::test]
async fn sec_06_books_that_agree_are_told_so() {
    let mut world = World::new().await;
    world.done("alice", 1, 2).await;
    // One that failed and was taken back, one that failed, was tried anew and ended well, and one that is under way.
    let job = JobId::new();
    world.entry("domains.add", "alice", "local", "accepted", Some(job), (None, None)).await;
    world.operation("alice", job, "domains.add", (2, 3));
    world.operation("alice", job, "domains.add", (3, 2));
    world.entry("domains.add", "alice", "job", "failed", Some(job), (None, None)).await;
    world.operation("alice", job, "domains.add", (2, 4));
    world.entry("domains.add", "alice", "job", "succeeded", Some(job), (revision(2), revision(4))).await;
    let job = JobId::new();
    world.entry("jobs.retry", "alice", "local", "accepted", Some(job), (None, None)).await;
    world.operation("alice", job, "domains.add", (4, 5));
    let found = world.compare().await;
    assert_eq!((found.differences, found.operations, found.entries), (0, 6, 2), "{found:?}");
    assert_eq!(found.since.map(|since| since.as_millisecond()), Some(world.operations[0].at.as_millisecond()));
}

#[tokio::test]
async fn sec_06_what_the_trail_does_not_know_is_named() {
    let mut world = World::new().await;
    let job = JobId::new();
    world.operation("alice", job, "accounts.suspend", (1, 2));
    let found = world.only().await;
    assert_eq!((found.kind, found.job, found.seq), (AuditDifferenceKind::Unrecorded, job, None));
    assert_eq!((found.account.as_deref(), found.action.as_str()), (Some("alice"), "accounts.suspend"));
    assert_eq!(found.operation, Some(world.operations[1].operation));
    // Somebody else's job does not cover it.
    world.operations.pop();
    let job = world.done("bob", 1, 2).await;
    world.operation("alice", job, "domains.add", (1, 2));
    assert_eq!(world.only().await.kind, AuditDifferenceKind::Unrecorded);
    // Nor does a job of the account cover another action, or another result.
    world.operations.pop();
    world.operation("bob", job, "accounts.delete", (1, 2));
    let found = world.only().await;
    assert_eq!(found.kind, AuditDifferenceKind::Different);
    assert!(found.detail.contains("domains.add by root"), "{found:?}");
    world.operations.pop();
    world.operation("bob", job, "domains.add", (2, 9));
    assert_eq!(world.only().await.kind, AuditDifferenceKind::Different);
}

#[tokio::test]
async fn sec_06_what_the_agent_did_not_do_is_named() {
    let mut world = World::new().await;
    let job = JobId::new();
    world.entry("domains.add", "alice", "local", "accepted", Some(job), (None, None)).await;
    world.entry("domains.add", "alice", "job", "succeeded", Some(job), (revision(1), revision(2))).await;
    let found = world.only().await;
    assert_eq!((found.kind, found.job, found.seq), (AuditDifferenceKind::NotDone, job, Some(5)));
    world.operation("alice", job, "domains.add", (1, 9));
    let found = world.compare().await;
    assert!(found.first.iter().all(|one| one.kind == AuditDifferenceKind::Different), "{found:?}");
    assert_eq!(found.differences, 2, "seen from both sides");
}

#[tokio::test]
async fn sec_06_what_is_older_than_the_trail_is_counted_apart() {
    let mut world = World::new().await;
    let mut old = world.operations[0].clone();
    old.at = "2020-01-01T00:00:00Z".parse().unwrap();
    old.audit.job = JobId::new();
    world.operations.insert(0, old);
    let found = world.compare().await;
    assert_eq!((found.differences, found.before_trail, found.operations), (0, 1, 2), "{found:?}");
}
