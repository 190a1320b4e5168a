//! The audit trail: append-only and chained by hashes (SEC-06).
//!
//! An entry is written to an inbox in the transaction of what it is about, so that neither exists without the other. Moments
//! later it gets its place in the chain; doing that one after the other, in batches, keeps changes from waiting for each
//! other.

use crate::db::{Param, Row, params};
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Lock, Scope, StoreError, Tx};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wcp360_types::api::audit::{AuditEntry, AuditFilter};
use wcp360_types::api::page::Page;
use wcp360_types::{JobId, Revision, UserId};

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
    /// The reseller or client who may read the entry too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// `started`, `accepted`, `succeeded`, `refused` or `failed`.
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

/// The hash of an entry: SHA-256 over the hash before it and the entry's JSON without its own hash.
pub fn chain(previous: &str, entry: &AuditEntry) -> String {
    let mut bare = serde_json::to_value(entry).expect("plain data has a JSON form");
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("hash");
    }
    let digest = Sha256::new().chain_update(previous).chain_update("\n").chain_update(bare.to_string()).finalize();
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

const ENTRY: &str = "SELECT seq, at, actor, on_behalf, source, action, target, outcome, detail, before, after, request_id, \
                     job, hash FROM audit";

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let c = columns("audit", row);
    Ok(AuditEntry {
        seq: c.count("seq")?,
        at: c.time("at")?,
        actor: c.text("actor")?,
        on_behalf: c.maybe_text("on_behalf")?,
        source: c.text("source")?,
        action: c.text("action")?,
        target: c.maybe_text("target")?,
        outcome: c.text("outcome")?,
        detail: c.maybe_text("detail")?,
        before: c.maybe_parsed("before")?,
        after: c.maybe_parsed("after")?,
        request_id: c.text("request_id")?,
        job: c.maybe_parsed("job")?,
        hash: c.text("hash")?,
    })
}

impl Tx<'_> {
    /// Records an entry: it is in the trail if this transaction is committed.
    ///
    /// # Errors
    /// The database's: then the caller must not go on with what it wanted to record.
    pub fn append_audit(&mut self, new: &NewAudit, now: Timestamp) -> Result<(), StoreError> {
        let received = Received { at: now.as_millisecond(), entry: new.clone() };
        // Version 7: in the order of recording, as far as clocks tell.
        let id = uuid::Uuid::now_v7().to_string();
        self.execute("INSERT INTO audit_inbox (id, entry) VALUES ($1, $2)", params![id, to_json(&received)])?;
        Ok(())
    }

    /// Gives waiting entries their place in the chain; how many. At most `limit` at a time.
    ///
    /// # Errors
    /// The database's.
    pub fn chain_audit(&mut self, limit: u32) -> Result<u64, StoreError> {
        let waiting = "SELECT id, entry FROM audit_inbox ORDER BY id LIMIT $1";
        self.lock(Lock::Audit)?;
        let rows = self.query(waiting, params![limit])?;
        if rows.is_empty() {
            return Ok(0);
        }
        let last = self.query_opt("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", &[])?;
        let (mut seq, mut previous) = match &last {
            Some(row) => {
                let c = columns("audit", row);
                (c.count("seq")?, c.text("hash")?)
            }
            None => (0, String::new()),
        };
        for row in &rows {
            let c = columns("audit_inbox", row);
            let received: Received = c.json("entry")?;
            let new = received.entry;
            seq += 1;
            let mut entry = AuditEntry {
                seq,
                at: Timestamp::from_millisecond(received.at).map_err(|e| c.corrupt("entry", e))?,
                actor: new.actor,
                on_behalf: new.on_behalf,
                source: new.source,
                action: new.action,
                target: new.target,
                outcome: new.outcome,
                detail: new.detail,
                before: new.before,
                after: new.after,
                request_id: new.request_id,
                job: new.job,
                hash: String::new(),
            };
            entry.hash = chain(&previous, &entry);
            self.insert_entry(&entry, new.owner)?;
            self.execute("DELETE FROM audit_inbox WHERE id = $1", params![c.text("id")?])?;
            previous = entry.hash;
        }
        Ok(rows.len() as u64)
    }

    fn insert_entry(&mut self, entry: &AuditEntry, owner: Option<UserId>) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (seq, at, actor, on_behalf, source, action, target, owner_id, outcome, detail, before, \
                   after, request_id, job, hash) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        let values = params![
            entry.seq,
            entry.at,
            &entry.actor,
            entry.on_behalf.as_deref(),
            &entry.source,
            &entry.action,
            entry.target.as_deref(),
            owner,
            &entry.outcome,
            entry.detail.as_deref(),
            entry.before.as_ref().map(Revision::as_str),
            entry.after.as_ref().map(Revision::as_str),
            &entry.request_id,
            entry.job,
            &entry.hash,
        ];
        self.execute(sql, values)?;
        Ok(())
    }

    /// Entries in a scope, newest first.
    ///
    /// # Errors
    /// The database's.
    pub fn audit(
        &mut self,
        scope: Scope,
        filter: &AuditFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let before = cursor.and_then(decode_cursor).and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
        let mut values = params![scope.key(), before, i64::from(limit) + 1].to_vec();
        let mut conditions = scope.condition("owner_id");
        for (column, wanted) in [("actor", &filter.actor), ("action", &filter.action), ("target", &filter.target)] {
            if let Some(text) = wanted {
                values.push(Param::from(text));
                conditions += &format!(" AND {column} = ${}", values.len());
            }
        }
        let sql = format!("{ENTRY} WHERE seq < $2 AND {conditions} ORDER BY seq DESC LIMIT $3");
        let entries: Result<Vec<_>, _> = self.query(&sql, &values)?.iter().map(entry).collect();
        Ok(page(entries?, limit, |e| e.seq.to_string()))
    }

    /// How many entries are in the chain.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_last(&mut self) -> Result<u64, StoreError> {
        let row = self.query_one("SELECT COALESCE(MAX(seq), 0) AS seq FROM audit", &[])?;
        columns("audit", &row).count("seq")
    }

    /// Entries after a position, oldest first, at most 1000: for the mirror file.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_after(&mut self, seq: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("{ENTRY} WHERE seq > $1 ORDER BY seq LIMIT 1000");
        self.query(&sql, params![seq])?.iter().map(entry).collect()
    }
}
