//! The audit trail at its size after years: chaining, verifying, searching.

use crate::stats::millis;
use crate::{folder, line};
use anyhow::{Result, ensure};
use jiff::Timestamp;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::time::Instant;
use wcp360_audit_chain::{PublicKey, Verifier, verify_file};
use wcp360_engine::audit::{AuditFiles, Auditor};
use wcp360_engine::events::Events;
use wcp360_store::audit::{NewAudit, Wanted};
use wcp360_store::{Db, Scope, StoreError};
use wcp360_types::api::audit::AuditFilter;
use wcp360_types::{RequestId, UserId};

/// Entries that are recorded in one transaction.
const TOGETHER: u64 = 2000;
/// Whose entries they are.
const OWNERS: u64 = 100;

pub(crate) async fn measure(name: &str, db: Db, dir: &Path, entries: u64) -> Result<()> {
    let dir = folder(dir, &format!("audit {name}"))?;
    let files =
        AuditFiles { mirror: dir.join("audit.json"), position: dir.join("audit.position"), key: dir.join("audit.key") };
    let auditor = Auditor::open(db.clone(), &files, Events::default()).await?;
    let owners: Vec<UserId> = (0..OWNERS).map(|_| UserId::new()).collect();
    let begun = Instant::now();
    for batch in 0..entries / TOGETHER {
        let owners = owners.clone();
        db.write(move |tx| {
            for number in batch * TOGETHER..(batch + 1) * TOGETHER {
                tx.append_audit(&entry(number, owners[(number % OWNERS) as usize]), Timestamp::now())?;
            }
            Ok::<_, StoreError>(())
        })
        .await?;
        auditor.mirror().await?;
    }
    let rate = entries as f64 / begun.elapsed().as_secs_f64();
    line(&format!("audit entries recorded, chained, signed and mirrored, {name}"), &format!("{rate:.0}/s"), "", "");

    let begun = Instant::now();
    let found = auditor.verify().await?;
    ensure!(found.ok && found.entries >= entries, "{found:?}");
    let figure = format!("{:.1} s", begun.elapsed().as_secs_f64());
    line(&format!("audit trail verified, {} entries in the database, {name}", found.entries), &figure, "", "< 10 s");

    let key: PublicKey = auditor.public_key().await?.public_key.parse()?;
    let begun = Instant::now();
    let found = verify_file(BufReader::with_capacity(256 * 1024, File::open(&files.mirror)?), Verifier::new([key]))?;
    ensure!(found.ok && found.entries >= entries, "{found:?}");
    let figure = format!("{:.1} s", begun.elapsed().as_secs_f64());
    let size = std::fs::metadata(&files.mirror)?.len() / 1024 / 1024;
    line(&format!("audit.json verified, {} entries, {size} MiB", found.entries), &figure, "", "< 10 s");
    search(name, &db, owners[7]).await?;
    std::io::stdout().flush()?;
    Ok(())
}

async fn search(name: &str, db: &Db, owner: UserId) -> Result<()> {
    let text = |text: &str| Some(text.to_owned());
    let since = Timestamp::now() - jiff::SignedDuration::from_hours(24);
    for (what, scope, filter) in [
        ("newest", Scope::All, AuditFilter::default()),
        ("of one target", Scope::All, AuditFilter { target: text("account77"), ..Default::default() }),
        ("of one reseller", Scope::Owner(owner), AuditFilter::default()),
        ("a reseller's refusals", Scope::Owner(owner), AuditFilter { outcome: text("refused"), ..Default::default() }),
        (
            "by the beginning of the operation",
            Scope::All,
            AuditFilter { action: text("accounts."), ..Default::default() },
        ),
        ("since yesterday", Scope::All, AuditFilter { since: Some(since), ..Default::default() }),
        ("with a text that is nowhere", Scope::All, AuditFilter { text: text("nowhere"), ..Default::default() }),
    ] {
        let wanted = Wanted { filter, ..Wanted::default() };
        let begun = Instant::now();
        let page = db.read(move |tx| tx.audit(scope, &wanted, 100, None)).await?;
        let figure = format!("{}, {} entries", millis(begun.elapsed()), page.items.len());
        line(&format!("a page of the audit trail, {what}, {name}"), &figure, "", "");
    }
    Ok(())
}

fn entry(number: u64, owner: UserId) -> NewAudit {
    NewAudit {
        actor: format!("reseller{}", number % OWNERS),
        source: format!("2001:db8::{:x}", number % 500),
        action: ["accounts.create", "domains.add", "tokens.create", "session.login"][(number % 4) as usize].into(),
        target: Some(format!("account{}", number % 5000)),
        owner: Some(owner),
        outcome: if number.is_multiple_of(20) { "refused" } else { "succeeded" }.into(),
        detail: number
            .is_multiple_of(3)
            .then(|| format!("the domain \"name{number}.example.com\" is taken; choose another name")),
        request_id: RequestId::new().to_string(),
        ..NewAudit::default()
    }
}
