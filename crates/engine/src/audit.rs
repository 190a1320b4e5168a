//! The auditor: appends to the trail and mirrors it into `audit.json` (SEC-06).

use crate::EngineError;
use jiff::Timestamp;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use tokio::sync::{Mutex, Notify};
use wcp360_store::audit::NewAudit;
use wcp360_store::{Db, Scope};
use wcp360_types::api::audit::{AuditEntry, AuditFilter};
use wcp360_types::api::page::Page;

/// Entries that get their place in the chain in one transaction.
const CHAINED_AT_ONCE: u32 = 200;

/// Appends to the audit trail.
#[derive(Debug)]
pub struct Auditor {
    db: Db,
    /// The mirror and the last position in it.
    mirror: Mutex<(PathBuf, u64)>,
    behind: Notify,
}

impl Auditor {
    /// An auditor whose mirror is `path`: one JSON entry per line, continued where it ends.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn open(db: Db, path: &Path) -> Result<Self, EngineError> {
        let last = last_position(path);
        let auditor = Self { db, mirror: Mutex::new((path.to_owned(), last)), behind: Notify::new() };
        auditor.mirror().await?;
        Ok(auditor)
    }

    /// Appends one entry in a transaction of its own.
    ///
    /// # Errors
    /// It could not be recorded: then what it is about must not happen.
    pub async fn record(&self, entry: NewAudit) -> Result<(), EngineError> {
        self.db.write(move |tx| tx.append_audit(&entry, Timestamp::now())).await?;
        self.mirror_soon();
        Ok(())
    }

    /// Has the mirror brought up to date, without waiting for it.
    pub fn mirror_soon(&self) {
        self.behind.notify_one();
    }

    /// Entries in a scope, newest first, with those that were recorded a moment ago.
    ///
    /// # Errors
    /// The database's.
    pub async fn entries(
        &self,
        scope: Scope,
        filter: AuditFilter,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<AuditEntry>, EngineError> {
        self.mirror().await?;
        Ok(self.db.read(move |tx| tx.audit(scope, &filter, limit, cursor.as_deref())).await?)
    }

    /// Keeps the mirror up to date for as long as it is polled.
    pub async fn keep_mirroring(&self) {
        loop {
            self.behind.notified().await;
            if let Err(error) = self.mirror().await {
                tracing::error!(%error, "the audit mirror is behind");
            }
        }
    }

    /// Gives what was recorded its place in the chain and brings the mirror up to date. A mirror that can't be written is reported and caught up later.
    ///
    /// # Errors
    /// The database's.
    pub async fn mirror(&self) -> Result<(), EngineError> {
        let mut mirror = self.mirror.lock().await;
        while self.db.write(|tx| tx.chain_audit(CHAINED_AT_ONCE)).await? == u64::from(CHAINED_AT_ONCE) {}
        loop {
            let after = mirror.1;
            let entries = self.db.read(move |tx| tx.audit_after(after)).await?;
            let Some(last) = entries.last().map(|e| e.seq) else { return Ok(()) };
            if let Err(error) = append(&mirror.0, &entries) {
                tracing::error!(%error, path = %mirror.0.display(), "the audit mirror can't be written");
                return Ok(());
            }
            mirror.1 = last;
        }
    }
}

fn append(path: &Path, entries: &[AuditEntry]) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(&lines)
}

/// The position of the last whole entry in the mirror; 0 if there is none.
fn last_position(path: &Path) -> u64 {
    let Ok(file) = std::fs::File::open(path) else { return 0 };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str::<AuditEntry>(&line).ok()).last().map_or(0, |e| e.seq)
}
