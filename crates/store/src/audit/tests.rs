//! The trail in both databases.

use super::{NewAudit, Wanted};
use crate::db::params;
use crate::tests::{account, job, on_every_database, read, write};
use crate::{Db, Scope, Tx};
use jiff::{SignedDuration, Timestamp};
use wcp360_audit_chain::{Checkpoint, KEY_ACTION, SigningKey, Verifier, hash_of};
use wcp360_types::api::audit::{AuditFaultKind, AuditFilter, AuditVerification};
use wcp360_types::{JobId, UserId};

fn about(action: &str, target: &str) -> NewAudit {
    NewAudit {
        actor: "root".into(),
        source: "local".into(),
        action: action.into(),
        target: Some(target.into()),
        outcome: "succeeded".into(),
        request_id: "r".into(),
        ..NewAudit::default()
    }
}

async fn record(db: &Db, entries: Vec<NewAudit>) {
    write(db, move |tx| {
        for entry in &entries {
            tx.append_audit(entry, Timestamp::now())?;
        }
        while tx.chain_audit(100)? == 100 {}
        Ok(())
    })
    .await;
}

async fn seqs(db: &Db, scope: Scope, wanted: Wanted) -> Vec<u64> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let (wanted, from) = (wanted.clone(), cursor.take());
        let page = read(db, move |tx| tx.audit(scope, &wanted, 3, from.as_deref())).await;
        found.extend(page.items.iter().map(|e| e.seq));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

fn filter(filter: AuditFilter) -> Wanted {
    Wanted { filter, ..Wanted::default() }
}

fn key() -> SigningKey {
    SigningKey::from_seed([7; 32]).unwrap()
}

async fn verify(db: &Db) -> AuditVerification {
    read(db, |tx| {
        let mut verifier = Verifier::new([key().public()]);
        let mut after = Some(0);
        while let Some(from) = after {
            after = tx.verify_audit(&mut verifier, from, 7)?;
        }
        Ok(verifier.finish())
    })
    .await
}

#[tokio::test]
async fn sec_06_entries_are_chained_once_and_in_order() {
    on_every_database(async |db| {
        for n in 0..5 {
            let entry = NewAudit { detail: Some(format!("entry {n}")), ..about("accounts.create", "alice") };
            write(&db, move |tx| tx.append_audit(&entry, Timestamp::now())).await;
        }
        assert_eq!(write(&db, |tx| tx.chain_audit(3)).await, 3);
        assert_eq!(write(&db, |tx| tx.chain_audit(3)).await, 2);
        assert_eq!(write(&db, |tx| tx.chain_audit(3)).await, 0);
        let mut previous = String::new();
        for entry in read(&db, |tx| tx.audit_after(0)).await {
            assert_eq!(entry.previous, previous);
            assert_eq!(entry.hash, hash_of(&entry));
            previous = entry.hash;
        }
        assert_eq!(seqs(&db, Scope::All, Wanted::default()).await, [5, 4, 3, 2, 1]);
    })
    .await;
}

#[tokio::test]
async fn sec_06_what_strangers_type_is_bounded_and_storable() {
    on_every_database(async |db| {
        let mut entry = about("session.login", &"\0é'; DROP TABLE audit; --".repeat(500));
        entry.detail = Some("\0".repeat(10) + &"x".repeat(100_000));
        record(&db, vec![entry, about("", "")]).await;
        let kept = read(&db, |tx| tx.audit_after(0)).await;
        assert_eq!(kept[0].target.as_ref().unwrap().chars().count(), 256);
        assert_eq!(kept[0].detail.as_ref().unwrap().len(), 2000);
        assert_eq!(kept[1].target, None);
        assert_eq!(verify(&db).await.entries, 2);
    })
    .await;
}

#[tokio::test]
async fn sec_06_filters_find_what_fits_all_of_them() {
    on_every_database(async |db| {
        let mut entries =
            vec![about("accounts.create", "alice"), about("accounts.delete", "bob"), about("users.create", "alice")];
        entries[1].outcome = "refused".into();
        entries[1].actor = "sam".into();
        entries[2].source = "192.0.2.1".into();
        entries[2].detail = Some("100% of_it \\ Done".into());
        record(&db, entries).await;
        let only = async |wanted: AuditFilter| seqs(&db, Scope::All, filter(wanted)).await;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(only(AuditFilter { target: text("alice"), ..Default::default() }).await, [3, 1]);
        assert_eq!(only(AuditFilter { action: text("accounts."), ..Default::default() }).await, [2, 1]);
        assert_eq!(only(AuditFilter { action: text("accounts"), ..Default::default() }).await, [0u64; 0]);
        assert_eq!(only(AuditFilter { outcome: text("refused"), ..Default::default() }).await, [2]);
        assert_eq!(only(AuditFilter { actor: text("sam"), ..Default::default() }).await, [2]);
        assert_eq!(only(AuditFilter { source: text("192.0.2.1"), ..Default::default() }).await, [3]);
        assert_eq!(only(AuditFilter { text: text("DONE"), ..Default::default() }).await, [3]);
        assert_eq!(only(AuditFilter { text: text("100%"), ..Default::default() }).await, [3]);
        assert_eq!(only(AuditFilter { text: text("of_it \\"), ..Default::default() }).await, [3]);
        assert_eq!(only(AuditFilter { text: text("ofxit"), ..Default::default() }).await, [0u64; 0]);
        assert_eq!(only(AuditFilter { target: text("alice"), text: text("done"), ..Default::default() }).await, [3]);
        let now = Timestamp::now();
        let hour = SignedDuration::from_hours(1);
        assert_eq!(only(AuditFilter { since: Some(now - hour), ..Default::default() }).await, [3, 2, 1]);
        assert_eq!(only(AuditFilter { since: Some(now + hour), ..Default::default() }).await, [0u64; 0]);
        assert_eq!(only(AuditFilter { until: Some(now - hour), ..Default::default() }).await, [0u64; 0]);
        assert_eq!(only(AuditFilter { tenant: text("bob"), ..Default::default() }).await, [2], "a name that is gone");
    })
    .await;
}

#[tokio::test]
async fn sec_06_everybody_sees_the_entries_about_their_own() {
    on_every_database(async |db| {
        let (one, two) = (UserId::new(), UserId::new());
        let (a, b) = (account("aaa", one), account("bbb", two));
        let ids = (a.id, b.id);
        let made = job(&a);
        let job_id = made.id;
        write(&db, move |tx: &mut Tx<'_>| {
            let now = Timestamp::now();
            tx.reserve_account(&a, JobId::new(), now)?;
            tx.reserve_account(&b, JobId::new(), now)?;
            tx.insert_job(&made, now)?;
            // An administrator's change of aaa, the job's end, an own entry of reseller one, of aaa's client.
            tx.append_audit_about(&about("accounts.suspend", "aaa"), Scope::All, &a.username, now)?;
            tx.append_audit(&NewAudit { job: Some(job_id), ..about("accounts.suspend", "aaa") }, now)?;
            tx.append_audit(&NewAudit { owner: Some(one), ..about("tokens.create", "t") }, now)?;
            tx.append_audit(&NewAudit { account: Some(a.id), ..about("session.login", "aaa") }, now)?;
            // What two tried with one's account is two's, and not told to one.
            let tried = NewAudit { owner: Some(two), ..about("accounts.delete", "aaa") };
            tx.append_audit_about(&tried, Scope::Owner(two), &a.username, now)?;
            tx.append_audit(&about("panel.start", "core"), now)?;
            tx.chain_audit(100)
        })
        .await;
        let all = async |scope| seqs(&db, scope, Wanted::default()).await;
        assert_eq!(all(Scope::All).await, [6, 5, 4, 3, 2, 1]);
        assert_eq!(all(Scope::Owner(one)).await, [4, 3, 2, 1]);
        assert_eq!(all(Scope::Owner(two)).await, [5]);
        assert_eq!(all(Scope::Account(ids.0)).await, [4, 2, 1]);
        assert_eq!(all(Scope::Account(ids.1)).await, [0u64; 0]);
        let drill = |account, owner| Wanted {
            account,
            owner,
            filter: AuditFilter { tenant: Some("x".into()), ..Default::default() },
        };
        assert_eq!(seqs(&db, Scope::All, drill(Some(ids.0), None)).await, [4, 2, 1]);
        assert_eq!(seqs(&db, Scope::All, drill(None, Some(one))).await, [4, 3, 2, 1]);
        assert_eq!(seqs(&db, Scope::Owner(two), drill(None, Some(one))).await, [0u64; 0]);
    })
    .await;
}

#[tokio::test]
async fn sec_06_the_database_is_verified_where_it_lies() {
    on_every_database(async |db| {
        let mut entries = vec![NewAudit { target: Some(key().public().to_string()), ..about(KEY_ACTION, "") }];
        entries.extend(
            (0..39).map(|n| NewAudit { detail: Some(format!("entry {n}")), ..about("accounts.create", "alice") }),
        );
        record(&db, entries).await;
        write(&db, |tx| {
            for entry in tx.audit_after(0)?.iter().filter(|e| e.seq % 10 == 0) {
                tx.insert_checkpoint(&Checkpoint::sign(&key(), entry.seq, &entry.hash, entry.at))?;
            }
            Ok(())
        })
        .await;
        let found = verify(&db).await;
        assert!(found.ok, "{found:?}");
        assert_eq!((found.entries, found.checkpoints, found.signed_through), (40, 4, Some(40)));
        assert_eq!(read(&db, |tx| tx.audit_keys()).await.len(), 1);
        for (sql, kind, seq) in [
            ("UPDATE audit SET actor = 'mallory' WHERE seq = 17", AuditFaultKind::Altered, 17),
            ("UPDATE audit SET owner_id = NULL, account_id = 'x' WHERE seq = 17", AuditFaultKind::Altered, 17),
            ("UPDATE audit SET job = 'not a job' WHERE seq = 14", AuditFaultKind::Altered, 14),
            ("DELETE FROM audit WHERE seq = 11", AuditFaultKind::Removed, 11),
            ("DELETE FROM audit WHERE seq > 35", AuditFaultKind::Truncated, 36),
        ] {
            let undone: Result<AuditVerification, crate::StoreError> = db
                .rehearse(move |tx| {
                    tx.execute(sql, params![])?;
                    let mut verifier = Verifier::new([key().public()]);
                    let mut after = Some(0);
                    while let Some(from) = after {
                        after = tx.verify_audit(&mut verifier, from, 7)?;
                    }
                    Ok(verifier.finish())
                })
                .await;
            let fault = undone.unwrap().fault.expect(sql);
            assert_eq!((fault.kind, fault.seq), (kind, seq), "{sql}: {}", fault.detail);
        }
    })
    .await;
}
