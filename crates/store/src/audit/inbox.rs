//! Recording, and giving what was recorded its place in the chain.

use crate::db::{Param, params};
use crate::row::{columns, to_json};
use crate::{Lock, Scope, StoreError, Tx};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wcp360_audit_chain::hash_of;
use wcp360_types::api::audit::AuditEntry;
use wcp360_types::{AccountId, JobId, Revision, UserId, Username};

/// Longer texts are cut: what people type ends up here too. Characters.
const LONGEST_DETAIL: usize = 2000;
const LONGEST_NAME: usize = 256;

/// Something to be recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NewAudit {
    /// Who.
    pub actor: String,
    /// For whom, if the actor acts as somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf: Option<String>,
    /// From where.
    pub source: String,
    /// The operation.
    pub action: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The reseller who may read the entry too. Unless given, found by the job or the account, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The account whose client may read it too. Found by the job, if there is one and no owner is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// `started`, `accepted`, `succeeded`, `refused`, `failed` or `cancelled`.
    pub outcome: String,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The revision of what it is about, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Revision>,
    /// And after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Revision>,
    /// The request.
    pub request_id: String,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
}

/// An entry in the inbox.
#[derive(Serialize, Deserialize)]
struct Received {
    /// Milliseconds since 1970.
    at: i64,
    #[serde(flatten)]
    entry: NewAudit,
}

impl Tx<'_> {
    /// Records an entry: it is in the trail if this transaction is committed.
    ///
    /// # Errors
    /// The database's: then the caller must not go on with what it wanted to record.
    pub fn append_audit(&mut self, new: &NewAudit, now: Timestamp) -> Result<(), StoreError> {
        let mut entry = new.clone();
        if let Some(job) = entry.job.filter(|_| entry.account.is_none() && entry.owner.is_none()) {
            let sql = "SELECT id, account_id, owner_id FROM jobs WHERE id = $1";
            if let Some(row) = self.query_opt(sql, params![job])? {
                let c = columns("jobs", &row);
                entry.account = c.maybe_parsed("account_id")?;
                entry.owner = c.maybe_parsed("owner_id")?;
            }
        }
        if let Some(account) = entry.account.filter(|_| entry.owner.is_none()) {
            let row = self.query_opt("SELECT id, owner_id FROM accounts WHERE id = $1", params![account])?;
            entry.owner = row.map(|row| columns("accounts", &row).parsed("owner_id")).transpose()?;
        }
        let received = Received { at: now.as_millisecond(), entry };
        // Version 7: in the order of recording, as far as clocks tell.
        let id = uuid::Uuid::now_v7().to_string();
        self.execute("INSERT INTO audit_inbox (id, entry) VALUES ($1, $2)", params![id, to_json(&received)])?;
        Ok(())
    }

    /// Records an entry that names an account as its target, so that those who may see that account see the entry too. Only
    /// if the one who acts reaches it: what somebody tried with a foreign name is not told to its owner.
    ///
    /// # Errors
    /// As [`Tx::append_audit`].
    pub fn append_audit_about(
        &mut self,
        new: &NewAudit,
        reach: Scope,
        account: &Username,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut entry = new.clone();
        if let Some((id, owner)) = self.account_owner(reach, account)? {
            entry.account = Some(id);
            entry.owner = Some(owner);
        }
        self.append_audit(&entry, now)
    }

    /// The identifiers of an account in a scope and of its owner.
    ///
    /// # Errors
    /// The database's.
    pub fn account_owner(&mut self, scope: Scope, name: &Username) -> Result<Option<(AccountId, UserId)>, StoreError> {
        let sql =
            format!("SELECT id, owner_id FROM accounts WHERE username = $2 AND {}", scope.condition("id", "owner_id"));
        let row = self.query_opt(&sql, params![scope.key(), name.as_str()])?;
        row.map(|row| {
            let c = columns("accounts", &row);
            Ok((c.parsed("id")?, c.parsed("owner_id")?))
        })
        .transpose()
    }

    /// Gives waiting entries their place in the chain; how many. At most `limit` at a time.
    ///
    /// # Errors
    /// The database's.
    pub fn chain_audit(&mut self, limit: u32) -> Result<u64, StoreError> {
        let take = "DELETE FROM audit_inbox WHERE id IN (SELECT id FROM audit_inbox ORDER BY id LIMIT $1) \
                    RETURNING id, entry";
        self.lock(Lock::Audit)?;
        let rows = self.query(take, params![limit])?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut waiting = Vec::with_capacity(rows.len());
        for row in &rows {
            let c = columns("audit_inbox", row);
            let received: Received = c.json("entry")?;
            let at = Timestamp::from_millisecond(received.at).map_err(|e| c.corrupt("entry", e))?;
            waiting.push((c.text("id")?, at, received.entry));
        }
        waiting.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut seq, mut previous) = self.audit_end()?.unwrap_or_default();
        let mut entries = Vec::with_capacity(waiting.len());
        for (_, at, entry) in waiting {
            seq += 1;
            let entry = placed(entry, seq, at, previous);
            previous = entry.hash.clone();
            entries.push(entry);
        }
        self.insert_entries(&entries)?;
        Ok(entries.len() as u64)
    }

    /// Whether entries wait for their place.
    ///
    /// # Errors
    /// The database's.
    pub fn has_unchained_audit(&mut self) -> Result<bool, StoreError> {
        Ok(self.query_opt("SELECT id FROM audit_inbox LIMIT 1", &[])?.is_some())
    }

    /// Position and hash of the last entry of the chain.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_end(&mut self) -> Result<Option<(u64, String)>, StoreError> {
        let row = self.query_opt("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", &[])?;
        row.map(|row| {
            let c = columns("audit", &row);
            Ok((c.count("seq")?, c.text("hash")?))
        })
        .transpose()
    }

    /// The hash of an entry of the chain.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_hash(&mut self, seq: u64) -> Result<Option<String>, StoreError> {
        let row = self.query_opt("SELECT hash FROM audit WHERE seq = $1", params![seq])?;
        row.map(|row| columns("audit", &row).text("hash")).transpose()
    }

    fn insert_entries(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let mut left = entries;
        while !left.is_empty() {
            // Powers of two: a handful of statements, which stay prepared.
            let many = (1 << left.len().ilog2()).min(MOST_ROWS);
            let (now, later) = left.split_at(many);
            let rows: Vec<String> = (0..many).map(|row| placeholders(row * COLUMNS)).collect();
            let sql = format!(
                "INSERT INTO audit (seq, at, actor, on_behalf, source, action, target, owner_id, account_id, outcome, \
                 detail, before, after, request_id, job, previous, hash) VALUES {}",
                rows.join(", ")
            );
            let values: Vec<Param> = now.iter().flat_map(values).collect();
            self.execute(&sql, &values)?;
            left = later;
        }
        Ok(())
    }
}

/// Columns of an entry.
const COLUMNS: usize = 17;
/// Rows of one statement: far below the parameters that both databases allow.
const MOST_ROWS: usize = 64;

fn placeholders(after: usize) -> String {
    let numbers: Vec<String> = (1..=COLUMNS).map(|n| format!("${}", after + n)).collect();
    format!("({})", numbers.join(", "))
}

fn values(entry: &AuditEntry) -> [Param; COLUMNS] {
    [
        entry.seq.into(),
        entry.at.into(),
        (&entry.actor).into(),
        entry.on_behalf.as_deref().into(),
        (&entry.source).into(),
        (&entry.action).into(),
        entry.target.as_deref().into(),
        entry.owner.into(),
        entry.account.into(),
        (&entry.outcome).into(),
        entry.detail.as_deref().into(),
        entry.before.as_ref().map(Revision::as_str).into(),
        entry.after.as_ref().map(Revision::as_str).into(),
        (&entry.request_id).into(),
        entry.job.into(),
        (&entry.previous).into(),
        (&entry.hash).into(),
    ]
}

/// The entry at its place, with its hash.
fn placed(new: NewAudit, seq: u64, at: Timestamp, previous: String) -> AuditEntry {
    let name = |text: String| clean(&text, LONGEST_NAME);
    let maybe = |text: Option<String>| text.map(|text| clean(&text, LONGEST_NAME)).filter(|text| !text.is_empty());
    let mut entry = AuditEntry {
        seq,
        at,
        actor: name(new.actor),
        on_behalf: maybe(new.on_behalf),
        source: name(new.source),
        action: name(new.action),
        target: maybe(new.target),
        owner: new.owner,
        account: new.account,
        outcome: name(new.outcome),
        detail: new.detail.map(|text| clean(&text, LONGEST_DETAIL)).filter(|text| !text.is_empty()),
        before: new.before,
        after: new.after,
        request_id: name(new.request_id),
        job: new.job,
        previous,
        hash: String::new(),
    };
    entry.hash = hash_of(&entry);
    entry
}

/// Text of bounded length, without what PostgreSQL can't store.
fn clean(text: &str, longest: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(longest).collect()
}
