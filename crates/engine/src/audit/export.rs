//! Exports: the trail, or a part of it, as a stream that needs little memory however long it is.

use super::Auditor;
use super::search::resolve;
use crate::{Caller, EngineError};
use std::time::Duration;
use tokio::sync::mpsc;
use wcp360_audit_chain::{Checkpoint, End, FORMAT, Head, csv_line, json_line};
use wcp360_store::audit::Wanted;
use wcp360_store::{Db, Scope, StoreError};
use wcp360_types::api::audit::{AuditExport, AuditFilter, AuditFormat};

/// Entries per part.
const PART: u32 = 1000;
/// Who does not take a part for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The parts of an export. One that ends without its end line was broken off.
pub type Parts = mpsc::Receiver<String>;

impl Auditor {
    /// Exports what a caller may see, in order. The whole trail of an administrator comes with its checkpoints and can be
    /// verified; of a selection every entry can be checked by itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn export(&self, caller: &Caller, filter: AuditFilter, how: AuditExport) -> Result<Parts, EngineError> {
        let scope = caller.scope();
        let chained = scope == Scope::All && filter == AuditFilter::default();
        if chained {
            self.sign().await?;
        }
        let after = how.after.unwrap_or(0);
        let (wanted, last, keys) = self
            .db
            .read(move |tx| {
                let last = tx.audit_end()?.map_or(0, |(seq, _)| seq);
                Ok::<_, StoreError>((resolve(tx, scope, filter)?, last, tx.audit_keys()?))
            })
            .await?;
        let note = (!chained).then(|| {
            "This is a selection of entries, so it can't be verified that none is missing; each one's own hash can."
                .to_owned()
        });
        let keys = keys.into_iter().map(|key| key.public_key).collect();
        let head = Head { format: FORMAT.into(), keys, chained, ends: true, note };
        let (send, parts) = mpsc::channel(2);
        let writer = Writer { db: self.db.clone(), send, format: how.format, chained };
        tokio::spawn(async move {
            if let Err(error) = writer.write(head, scope, wanted, after, last).await {
                tracing::warn!(%error, "an export of the audit trail was broken off");
            }
        });
        Ok(parts)
    }
}

struct Writer {
    db: Db,
    send: mpsc::Sender<String>,
    format: AuditFormat,
    chained: bool,
}

impl Writer {
    async fn write(
        &self,
        head: Head,
        scope: Scope,
        wanted: Wanted,
        mut after: u64,
        last: u64,
    ) -> Result<(), StoreError> {
        let mut part = match self.format {
            AuditFormat::Csv => csv_line("columns", &()),
            AuditFormat::Jsonl => String::new(),
        };
        part += &self.line("head", &head);
        let (mut entries, mut end) = (0, None);
        loop {
            let (wish, chained, from) = (wanted.clone(), self.chained, after);
            let (found, next, checkpoints) = self
                .db
                .read(move |tx| {
                    let (found, next) = tx.audit_between(scope, &wish, from, last, PART)?;
                    let until = found.last().map_or(from, |e| e.seq);
                    let made = if chained { tx.checkpoints_between(from, until)? } else { Vec::new() };
                    Ok::<_, StoreError>((found, next, made))
                })
                .await?;
            let mut held = checkpoints.iter().peekable();
            for entry in &found {
                part += &self.line("entry", entry);
                while let Some(made) = held.next_if(|made: &&Checkpoint| made.seq <= entry.seq) {
                    part += &self.line("checkpoint", made);
                }
            }
            entries += found.len() as u64;
            end = found.last().map(|e| e.seq).or(end);
            if next.is_none() {
                part += &self.line("end", &End { entries, last: end });
            }
            let sent = tokio::time::timeout(PATIENCE, self.send.send(std::mem::take(&mut part))).await;
            match (sent, next) {
                (Ok(Ok(())), Some(next)) => after = next,
                (Ok(Ok(())), None) => return Ok(()),
                _ => return Err(StoreError::Database("nobody takes it".into())),
            }
        }
    }

    fn line<T: serde::Serialize>(&self, kind: &str, value: &T) -> String {
        match self.format {
            AuditFormat::Jsonl => json_line(kind, value),
            AuditFormat::Csv => csv_line(kind, value),
        }
    }
}
