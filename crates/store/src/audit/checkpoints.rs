//! Signatures over the chain, and verifying it where it is stored.

use crate::db::{Row, Value, params};
use crate::row::columns;
use crate::{StoreError, Tx};
use wcp360_audit_chain::{Checkpoint, Fields, KEY_ACTION, Verifier};
use wcp360_types::api::audit::AuditKeyRecord;

impl Tx<'_> {
    /// Keeps a checkpoint; one of the same key at the same position stays.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_checkpoint(&mut self, made: &Checkpoint) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_checkpoints (seq, key_id, hash, at, signature) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT DO NOTHING";
        self.execute(sql, params![made.seq, &made.key, &made.hash, made.at, &made.signature])?;
        Ok(())
    }

    /// Checkpoints after a position and up to another, in order.
    pub fn checkpoints_between(&mut self, after: u64, until: u64) -> Result<Vec<Checkpoint>, StoreError> {
        let sql = "SELECT seq, key_id, hash, at, signature FROM audit_checkpoints WHERE seq > $1 AND seq <= $2 \
                   ORDER BY seq, key_id";
        self.query(sql, params![after, until])?.iter().map(checkpoint).collect()
    }

    /// The last checkpoint.
    pub fn last_checkpoint(&mut self) -> Result<Option<Checkpoint>, StoreError> {
        let sql = "SELECT seq, key_id, hash, at, signature FROM audit_checkpoints ORDER BY seq DESC LIMIT 1";
        self.query_opt(sql, &[])?.as_ref().map(checkpoint).transpose()
    }

    /// The keys that the trail names, oldest first, at most 1000.
    pub fn audit_keys(&mut self) -> Result<Vec<AuditKeyRecord>, StoreError> {
        let sql = "SELECT seq, at, target FROM audit WHERE action = $1 AND outcome = 'succeeded' AND target IS NOT NULL \
                   ORDER BY seq LIMIT 1000";
        let rows = self.query(sql, params![KEY_ACTION])?;
        rows.iter()
            .map(|row| {
                let c = columns("audit", row);
                Ok(AuditKeyRecord { public_key: c.text("target")?, seq: c.count("seq")?, at: c.time("at")? })
            })
            .collect()
    }

    /// Feeds a verifier with the next `limit` entries after a position, and with their checkpoints; where to go on.
    ///
    /// Rows are taken as they are stored: what no parser would take is found to be altered, not refused.
    pub fn verify_audit(&mut self, verifier: &mut Verifier, after: u64, limit: u32) -> Result<Option<u64>, StoreError> {
        let sql = format!("{} WHERE seq > $1 ORDER BY seq LIMIT $2", super::ENTRY);
        let rows = self.query(&sql, params![after, limit])?;
        let mut last = after;
        let mut held = Vec::new().into_iter().peekable();
        for (position, row) in rows.iter().enumerate() {
            let Some(fields) = fields(row) else {
                verifier.unreadable("the database", "a column has another type than entries have");
                return Ok(None);
            };
            if position == 0 {
                let until = rows.last().and_then(fields_seq).unwrap_or(fields.seq);
                held = self.checkpoints_between(after, until)?.into_iter().peekable();
            }
            last = fields.seq;
            verifier.entry(&fields);
            while let Some(made) = held.next_if(|made| made.seq <= last) {
                verifier.checkpoint(&made);
            }
        }
        if verifier.is_decided() || rows.len() < limit as usize {
            // Those of entries that are gone.
            for made in self.checkpoints_between(last, u64::MAX)?.iter().take(1) {
                verifier.checkpoint(made);
            }
            return Ok(None);
        }
        Ok(Some(last))
    }
}

fn checkpoint(row: &Row) -> Result<Checkpoint, StoreError> {
    let c = columns("audit_checkpoints", row);
    Ok(Checkpoint {
        seq: c.count("seq")?,
        hash: c.text("hash")?,
        at: c.time("at")?,
        key: c.text("key_id")?,
        signature: c.text("signature")?,
    })
}

fn fields_seq(row: &Row) -> Option<u64> {
    match row.values.first() {
        Some(Value::Integer(seq)) => u64::try_from(*seq).ok(),
        _ => None,
    }
}

/// The columns in the order of [`super::ENTRY`], by position: names would cost more than the hash.
fn fields(row: &Row) -> Option<Fields<'_>> {
    let text = |position: usize| match row.values.get(position) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let maybe = |position: usize| match row.values.get(position) {
        Some(Value::Null) => Some(None),
        Some(Value::Text(text)) => Some(Some(text.as_str())),
        _ => None,
    };
    let Some(Value::Integer(at)) = row.values.get(1) else { return None };
    Some(Fields {
        seq: fields_seq(row)?,
        at: *at,
        actor: text(2)?,
        on_behalf: maybe(3)?,
        source: text(4)?,
        action: text(5)?,
        target: maybe(6)?,
        owner: maybe(7)?,
        account: maybe(8)?,
        outcome: text(9)?,
        detail: maybe(10)?,
        before: maybe(11)?,
        after: maybe(12)?,
        request_id: text(13)?,
        job: maybe(14)?,
        previous: text(15)?,
        hash: text(16)?,
    })
}
