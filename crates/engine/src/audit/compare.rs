//! Comparing the trail with what the agent, which is root, noted of its own work: what was done without an entry, and what
//! an entry says that was not done (SEC-06).

use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use std::collections::HashMap;
use std::time::Instant;
use wcp360_agent_proto::{OperationOutcome, OperationSummary, OperationsRequest};
use wcp360_store::audit::Wanted;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::audit::{AuditComparison, AuditDifference, AuditDifferenceKind, AuditEntry, AuditFilter};
use wcp360_types::api::event::AlertSeverity;
use wcp360_types::{JobId, Problem, Revision};

/// Operations, and entries, per transaction: others get their turn in between.
const AT_ONCE: u32 = 1000;
/// Differences that are told one by one.
const TOLD: usize = 100;

impl Engine {
    /// Compares the trail with the agent's books, as far back as the agent remembers.
    ///
    /// # Errors
    /// The database's or the agent's; 409 while the trail is being looked through already.
    pub async fn compare_audit(&self) -> Result<AuditComparison, EngineError> {
        let busy =
            || Problem::conflict("The trail is being looked through at this moment; ask again when that is done.");
        let _one = self.inner.audit.verifying.try_acquire().map_err(|_| busy())?;
        let began = Instant::now();
        let db = &self.inner.db;
        let mut comparing = Comparing { until: Timestamp::now(), ..Comparing::default() };
        comparing.begin = db.read(|tx| tx.audit_begin()).await?.filter(|(seq, _)| *seq == 1).map(|(_, at)| at);
        let mut request = OperationsRequest { after: None, limit: Some(AT_ONCE) };
        loop {
            let page = self.inner.agent.operations(&request).await?;
            // What these are about was recorded before they began; now it has its place too.
            self.inner.audit.mirror().await?;
            comparing = db.read(move |tx| comparing.operations(tx, page.operations)).await?;
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        let mut after = comparing.found.since.map(|_| 0);
        while let Some(from) = after {
            (comparing, after) = db.read(move |tx| comparing.entries(tx, from)).await?;
        }
        let mut found = comparing.found;
        found.ok = found.differences == 0;
        found.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(first) = found.first.first() {
            let message = format!(
                "The audit trail and the agent's books differ in {} places; the first one: {}.",
                found.differences, first.detail
            );
            tracing::error!("{message}");
            self.inner.events.alert(AlertSeverity::Critical, message);
        }
        Ok(found)
    }
}

/// A comparison under way.
#[derive(Debug)]
struct Comparing {
    found: AuditComparison,
    /// Entries after this moment may be about what the agent had not done when it was asked.
    until: Timestamp,
    /// When the trail begins, if its beginning is there.
    begin: Option<Timestamp>,
    /// What the agent made of accounts, by job: revisions.
    done: HashMap<JobId, Vec<Option<Revision>>>,
}

impl Default for Comparing {
    fn default() -> Self {
        Self { found: AuditComparison::default(), until: Timestamp::UNIX_EPOCH, begin: None, done: HashMap::new() }
    }
}

impl Comparing {
    /// Looks for what the agent did in the trail.
    fn operations(mut self, tx: &mut Tx<'_>, operations: Vec<OperationSummary>) -> Result<Self, StoreError> {
        for operation in operations {
            // To the millisecond, as jobs and entries know their time.
            let at = Timestamp::from_millisecond(operation.at.as_millisecond()).unwrap_or(operation.at);
            self.found.since.get_or_insert(at);
            self.found.operations += 1;
            let job = operation.audit.job;
            if operation.outcome == OperationOutcome::Done {
                self.done.entry(job).or_default().push(operation.after.clone());
            }
            if self.begin.is_some_and(|begin| operation.at < begin) {
                self.found.before_trail += 1;
                continue;
            }
            let mut entries = tx.audit_of_job(job)?;
            entries.retain(|entry| entry.target.as_deref() == Some(operation.account.as_str()));
            if entries.is_empty() {
                // Of jobs that the panel makes by itself only the end is recorded.
                let open = tx
                    .job(Scope::All, job)?
                    .is_some_and(|job| !job.state.is_final() && job.account.as_ref() == Some(&operation.account));
                if !open {
                    let what = "the agent did this, and the trail has no entry of the job about this account";
                    self.tell(differs(AuditDifferenceKind::Unrecorded, &operation, what.into()));
                }
            } else if let Some(why) = contradiction(&operation, &entries) {
                self.tell(differs(AuditDifferenceKind::Different, &operation, why));
            }
        }
        Ok(self)
    }

    /// Looks for what the trail says that jobs made of accounts in what the agent did. Where to go on.
    fn entries(mut self, tx: &mut Tx<'_>, from: u64) -> Result<(Self, Option<u64>), StoreError> {
        let filter = AuditFilter {
            since: self.found.since,
            source: Some("job".into()),
            outcome: Some("succeeded".into()),
            ..AuditFilter::default()
        };
        let wanted = Wanted { filter, ..Wanted::default() };
        let (entries, next) = tx.audit_between(Scope::All, &wanted, from, u64::MAX, AT_ONCE)?;
        for entry in entries {
            let Some(job) = entry.job else { continue };
            // Repairs that found nothing to do, and what is not about accounts, leave nothing in the agent's books.
            let changed = entry.before.is_some() || entry.after.is_some();
            let remembered = job.made_at().is_some_and(|made| self.found.since.is_some_and(|since| made >= since));
            if !changed || !remembered || entry.at > self.until {
                continue;
            }
            self.found.entries += 1;
            let (kind, detail) = match self.done.get(&job) {
                Some(made) if made.contains(&entry.after) => continue,
                Some(_) => (AuditDifferenceKind::Different, "the agent made something else of the account"),
                None => (AuditDifferenceKind::NotDone, "the trail says that this was done, and the agent did nothing"),
            };
            self.tell(AuditDifference {
                kind,
                at: entry.at,
                account: entry.target,
                action: entry.action,
                actor: entry.actor,
                job,
                operation: None,
                seq: Some(entry.seq),
                detail: detail.into(),
            });
        }
        Ok((self, next))
    }

    fn tell(&mut self, difference: AuditDifference) {
        self.found.differences += 1;
        if self.found.first.len() < TOLD {
            self.found.first.push(difference);
        }
    }
}

fn differs(kind: AuditDifferenceKind, operation: &OperationSummary, detail: String) -> AuditDifference {
    AuditDifference {
        kind,
        at: operation.at,
        account: Some(operation.account.to_string()),
        action: operation.audit.action.clone(),
        actor: operation.audit.actor.clone(),
        job: operation.audit.job,
        operation: Some(operation.operation),
        seq: None,
        detail,
    }
}

/// What the trail says otherwise about what the agent did, if it says how the job ended.
fn contradiction(operation: &OperationSummary, entries: &[AuditEntry]) -> Option<String> {
    let ends: Vec<&AuditEntry> = entries.iter().filter(|entry| entry.source == "job").collect();
    let first = ends.first()?;
    if ends.iter().all(|end| end.action != operation.audit.action || end.actor != operation.audit.actor) {
        return Some(format!("the trail says that the job was {} by {}", first.action, first.actor));
    }
    // A job that failed once may have made something else before it was tried anew.
    let revisions = |end: &&&AuditEntry| end.before.is_some() || end.after.is_some();
    let all_succeeded = ends.iter().all(|end| end.outcome == "succeeded");
    let mut told = ends.iter().filter(revisions).peekable();
    if !all_succeeded || operation.outcome != OperationOutcome::Done || told.peek().is_none() {
        return None;
    }
    let known = told.any(|end| operation.after == end.after || operation.after == end.before);
    (!known).then(|| format!("the agent made {} of the account, the trail knows another revision", shown(operation)))
}

fn shown(operation: &OperationSummary) -> String {
    operation.after.as_ref().map_or_else(|| "nothing".into(), |revision| format!("revision {}", revision.short()))
}

#[cfg(test)]
mod tests;
