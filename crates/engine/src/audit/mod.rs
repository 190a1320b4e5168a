//! The auditor: records, chains, signs, mirrors into `audit.json`, verifies and exports (SEC-06).

mod chaining;
mod compare;
mod export;
mod flood;
mod key;
mod mirror;
mod refusals;
mod search;
mod verify;

pub use export::Parts;
pub use flood::{Beginning, By};

use crate::events::Events;
use crate::{Caller, EngineError};
use chaining::Turn;
use flood::Flood;
use jiff::Timestamp;
use mirror::Mirror;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore};
use wcp360_audit_chain::{KEY_ACTION, SigningKey};
use wcp360_store::audit::NewAudit;
use wcp360_store::{Db, StoreError};
use wcp360_types::api::event::AlertSeverity;
use wcp360_types::{JobId, Problem, Username};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(5);

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An account, by name.
    Account(Username),
    /// A job.
    Job(JobId),
    /// Something else.
    Other,
}

/// Where the trail's files are.
#[derive(Debug, Clone)]
pub struct AuditFiles {
    /// The mirror, one JSON object per line.
    pub mirror: PathBuf,
    /// How far the mirror is written.
    pub position: PathBuf,
    /// The key that signs.
    pub key: PathBuf,
}

/// Keeps the audit trail.
#[derive(Debug)]
pub struct Auditor {
    db: Db,
    events: Events,
    key_file: PathBuf,
    key: RwLock<Arc<SigningKey>>,
    mirror: Mutex<Mirroring>,
    behind: Notify,
    flood: Flood,
    /// One verification at a time: it reads everything.
    verifying: Semaphore,
}

/// What one at a time may do: chain, sign and mirror.
#[derive(Debug)]
struct Mirroring {
    mirror: Mirror,
    /// Whether the trail does not hold any more what was signed last. Nothing is signed then until somebody has looked.
    rewritten: bool,
    /// The last entry that was told to who listens.
    told: u64,
}

impl Auditor {
    /// An auditor with these files; makes the key if there is none.
    ///
    /// # Errors
    /// The database can't be read; the key can't be read or made.
    pub async fn open(db: Db, files: &AuditFiles, events: Events) -> Result<Self, EngineError> {
        let key = key::load_or_make(&files.key).map_err(|error| unusable(&files.key, &error))?;
        let end = db.read(|tx| tx.audit_end()).await?;
        let mirroring = Mirroring {
            mirror: Mirror::open(&files.mirror, &files.position),
            rewritten: false,
            told: end.map_or(0, |(seq, _)| seq),
        };
        let auditor = Self {
            db,
            events,
            key_file: files.key.clone(),
            key: RwLock::new(Arc::new(key)),
            mirror: Mutex::new(mirroring),
            behind: Notify::new(),
            flood: Flood::default(),
            verifying: Semaphore::new(1),
        };
        auditor.name_key().await?;
        auditor.mirror().await?;
        Ok(auditor)
    }

    /// The trail names every key that signs it, before it does, so that who trusts one can trust the next.
    async fn name_key(&self) -> Result<(), EngineError> {
        let public = self.key().public().to_string();
        let known = self.db.read(|tx| tx.audit_keys()).await?;
        if !known.iter().any(|key| key.public_key == public) {
            let detail = "this key signs the checkpoints of the audit trail";
            self.note(KEY_ACTION, Some(&public), "succeeded", Some(detail)).await?;
        }
        Ok(())
    }

    fn key(&self) -> Arc<SigningKey> {
        self.key.read().expect("no panic while reading").clone()
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

    /// Appends one entry about what a caller does, visible to those whose account it is about, as far as the caller reaches
    /// it, or else to the caller.
    ///
    /// # Errors
    /// As [`Auditor::record`].
    pub async fn record_for(&self, caller: &Caller, mut entry: NewAudit, about: About) -> Result<(), EngineError> {
        entry.actor.clone_from(&caller.username);
        entry.account = caller.account_id;
        entry.owner = Some(caller.user_id).filter(|_| caller.account_id.is_none() && !caller.is_admin());
        let scope = caller.scope();
        self.db
            .write(move |tx| {
                let now = Timestamp::now();
                match &about {
                    About::Account(name) => return tx.append_audit_about(&entry, scope, name, now),
                    About::Job(id) if tx.job(scope, *id)?.is_some() => {
                        entry.job = Some(*id);
                        (entry.account, entry.owner) = (None, None);
                    }
                    _ => {}
                }
                tx.append_audit(&entry, now)
            })
            .await?;
        self.mirror_soon();
        Ok(())
    }

    /// Records what the panel does by itself.
    ///
    /// # Errors
    /// As [`Auditor::record`].
    pub async fn note(
        &self,
        action: &str,
        target: Option<&str>,
        outcome: &str,
        detail: Option<&str>,
    ) -> Result<(), EngineError> {
        self.record(by_panel(action, target, outcome, detail)).await
    }

    /// Has the mirror brought up to date, without waiting for it.
    pub fn mirror_soon(&self) {
        self.behind.notify_one();
    }

    /// Keeps chain, checkpoints and mirror up to date for as long as it is polled.
    pub async fn keep_mirroring(&self) {
        loop {
            tokio::select! {
                () = self.behind.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            if let Err(error) = self.summarise(false).await {
                tracing::error!(%error, "how many refusals there were is in this log and not in the audit trail");
            }
            if let Err(error) = self.mirror().await {
                tracing::error!(%error, "the audit mirror is behind");
            }
        }
    }

    /// Gives what was recorded its place in the chain and brings the mirror up to date. A mirror that can't be written is
    /// reported and caught up later.
    ///
    /// # Errors
    /// The database's.
    pub async fn mirror(&self) -> Result<(), EngineError> {
        self.catch_up(false).await
    }

    /// As [`Auditor::mirror`], with a checkpoint at the very end.
    ///
    /// # Errors
    /// The database's.
    pub async fn sign(&self) -> Result<(), EngineError> {
        self.catch_up(true).await
    }

    async fn catch_up(&self, sign: bool) -> Result<(), EngineError> {
        let mut at = self.mirror.lock().await;
        loop {
            let turn = Turn {
                key: self.key(),
                known: at.mirror.position.reached(),
                anchor: at.mirror.position.anchor.clone(),
                told: at.rewritten,
                sign,
            };
            // Most calls find nothing to do, and need not wait for whoever is writing.
            let (waiting, end) =
                self.db.read(|tx| Ok::<_, StoreError>((tx.has_unchained_audit()?, tx.audit_end()?))).await?;
            let end = end.map_or(0, |(seq, _)| seq);
            if !waiting && end >= turn.known && !turn.is_due(end, Timestamp::now()) {
                break;
            }
            let known = turn.known;
            let done = self.db.write(move |tx| turn.chain(tx)).await?;
            if let Some(shorter) = done.shorter {
                self.truncated(&mut at, known, shorter);
            }
            if done.rewritten && !at.rewritten {
                self.rewritten(known);
            }
            at.rewritten = done.rewritten;
            if let Some(made) = done.made
                && let Err(error) = at.mirror.signed(made)
            {
                tracing::error!(%error, "what was signed last can't be noted");
            }
            if !done.more {
                break;
            }
        }
        self.write_mirror(&mut at).await
    }

    fn truncated(&self, at: &mut Mirroring, known: u64, shorter: u64) {
        let message = format!(
            "The audit trail had reached entry {known}, and ended with entry {shorter}: its end was taken away, or an older \
             database was put back. What is missing is in audit.json."
        );
        tracing::error!("{message}");
        self.events.alert(AlertSeverity::Critical, message);
        at.told = at.told.min(shorter);
        if let Err(error) = at.mirror.restart(shorter) {
            tracing::error!(%error, "how far audit.json is written can't be noted");
        }
    }

    fn rewritten(&self, known: u64) {
        let message = format!(
            "The audit trail up to entry {known} is not the one that was signed: somebody changed the database. Nothing is \
             signed any more; \"wcp360 audit verify\" names the entry, audit.json holds what was there."
        );
        tracing::error!("{message}");
        self.events.alert(AlertSeverity::Critical, message);
    }

    /// Writes lines until there are no more.
    async fn write_mirror(&self, at: &mut Mirroring) -> Result<(), EngineError> {
        loop {
            let after = at.mirror.position.seq;
            let held = at.mirror.position.held;
            let is_new = at.mirror.is_new();
            let (entries, checkpoints, keys) = self
                .db
                .read(move |tx| {
                    let entries = tx.audit_after(after)?;
                    let last = entries.last().map_or(after, |e| e.seq);
                    let keys = if is_new { tx.audit_keys()? } else { Vec::new() };
                    Ok::<_, StoreError>((entries, tx.checkpoints_between(held, last)?, keys))
                })
                .await?;
            for entry in entries.iter().filter(|e| e.seq > at.told) {
                self.events.audit(entry);
            }
            at.told = at.told.max(entries.last().map_or(0, |e| e.seq));
            if entries.is_empty() && checkpoints.is_empty() {
                return Ok(());
            }
            let mut names: Vec<String> = keys.into_iter().map(|key| key.public_key).collect();
            let own = self.key().public().to_string();
            if !names.contains(&own) {
                names.push(own);
            }
            if let Err(error) = at.mirror.append(&entries, &checkpoints, &names) {
                tracing::error!(%error, path = %at.mirror.path().display(), "the audit mirror can't be written");
                return Ok(());
            }
        }
    }
}

fn by_panel(action: &str, target: Option<&str>, outcome: &str, detail: Option<&str>) -> NewAudit {
    NewAudit {
        actor: "panel".into(),
        source: "local".into(),
        action: action.into(),
        target: target.map(str::to_owned),
        outcome: outcome.into(),
        detail: detail.map(str::to_owned),
        request_id: "-".into(),
        ..NewAudit::default()
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> EngineError {
    tracing::error!(%error, path = %path.display(), "the key of the audit trail can't be used");
    let detail = format!(
        "The key of the audit trail, {}, can't be used: {error}. Put the right one back from a backup; to begin with a new \
         one, move it away.",
        path.display()
    );
    Problem::new(500, "audit-key", "The audit trail can't be signed", detail).into()
}
