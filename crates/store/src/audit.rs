//! The audit trail: append-only and chained by hashes (SEC-06).

use crate::db::Row;
use crate::row::{columns, decode_cursor, page};
use crate::{Db, Scope, StoreError, Tx};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use wcp360_types::api::audit::{AuditEntry, AuditFilter};
use wcp360_types::api::page::Page;
use wcp360_types::{JobId, UserId};

/// Something to be recorded.
#[derive(Debug, Clone, Serialize)]
pub struct NewAudit<'a> {
    /// Who.
    pub actor: &'a str,
    /// From where.
    pub source: &'a str,
    /// The operation.
    pub action: &'a str,
    /// What it is about.
    pub target: Option<&'a str>,
    /// The reseller who may read the entry too.
    pub owner: Option<UserId>,
    /// `started`, `succeeded`, `refused` or `failed`.
    pub outcome: &'a str,
    /// More, in words.
    pub detail: Option<&'a str>,
    /// The request.
    pub request_id: &'a str,
    /// The job.
    pub job: Option<JobId>,
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

const ENTRY: &str = "SELECT seq, at, actor, source, action, target, outcome, detail, request_id, job, hash FROM audit";

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let c = columns("audit", row);
    Ok(AuditEntry {
        seq: c.count("seq")?,
        at: c.time("at")?,
        actor: c.text("actor")?,
        source: c.text("source")?,
        action: c.text("action")?,
        target: c.maybe_text("target")?,
        outcome: c.text("outcome")?,
        detail: c.maybe_text("detail")?,
        request_id: c.text("request_id")?,
        job: c.maybe_parsed("job")?,
        hash: c.text("hash")?,
    })
}

impl Tx {
    /// Appends an entry.
    ///
    /// # Errors
    /// The database's: then the caller must not go on with what it wanted to record.
    pub async fn append_audit(&mut self, new: &NewAudit<'_>, now: Timestamp) -> Result<AuditEntry, StoreError> {
        let last = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
        let (seq, previous) = match last.fetch_optional(&mut *self.inner).await? {
            Some(row) => {
                let c = columns("audit", &row);
                (c.count("seq")?, c.text("hash")?)
            }
            None => (0, String::new()),
        };
        let mut entry = AuditEntry {
            seq: seq + 1,
            // What is stored has milliseconds; the hash must be over what can be read back.
            at: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
            actor: new.actor.into(),
            source: new.source.into(),
            action: new.action.into(),
            target: new.target.map(Into::into),
            outcome: new.outcome.into(),
            detail: new.detail.map(Into::into),
            request_id: new.request_id.into(),
            job: new.job,
            hash: String::new(),
        };
        entry.hash = chain(&previous, &entry);
        let sql = "INSERT INTO audit (seq, at, actor, source, action, target, owner_id, outcome, detail, request_id, job, \
                   hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        sqlx::query(sql)
            .bind(i64::try_from(entry.seq).unwrap_or(i64::MAX))
            .bind(now.as_millisecond())
            .bind(&entry.actor)
            .bind(&entry.source)
            .bind(&entry.action)
            .bind(&entry.target)
            .bind(new.owner.map(|id| id.to_string()))
            .bind(&entry.outcome)
            .bind(&entry.detail)
            .bind(&entry.request_id)
            .bind(entry.job.map(|id| id.to_string()))
            .bind(&entry.hash)
            .execute(&mut *self.inner)
            .await?;
        Ok(entry)
    }
}

impl Db {
    /// Entries in a scope, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(
        &self,
        scope: Scope,
        filter: &AuditFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let mut conditions = scope.condition("owner_id");
        for (position, wanted) in
            [("actor = $4", &filter.actor), ("action = $5", &filter.action), ("target = $6", &filter.target)]
        {
            let unused = format!("{} = ''", position.split(" = ").nth(1).unwrap_or_default());
            conditions += &format!(" AND {}", if wanted.is_some() { position } else { &unused });
        }
        let sql = format!("{ENTRY} WHERE seq < $2 AND {conditions} ORDER BY seq DESC LIMIT $3");
        let before = cursor.and_then(decode_cursor).and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.key())
            .bind(before)
            .bind(i64::from(limit) + 1)
            .bind(filter.actor.clone().unwrap_or_default())
            .bind(filter.action.clone().unwrap_or_default())
            .bind(filter.target.clone().unwrap_or_default())
            .fetch_all(&self.read)
            .await?;
        let entries: Result<Vec<_>, _> = rows.iter().map(entry).collect();
        Ok(page(entries?, limit, |e| e.seq.to_string()))
    }

    /// Entries after a position, oldest first, at most 1000: for the mirror file.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit_after(&self, seq: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("{ENTRY} WHERE seq > $1 ORDER BY seq LIMIT 1000");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(i64::try_from(seq).unwrap_or(i64::MAX));
        query.fetch_all(&self.read).await?.iter().map(entry).collect()
    }
}
