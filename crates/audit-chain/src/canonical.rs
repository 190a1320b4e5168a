//! What is hashed: an unambiguous form that does not depend on JSON, on the order of keys or on a database.
//!
//! The text `wcp360-audit-1` and a line feed, then every field in a fixed order, each as its length in bytes in decimal, a
//! colon, its bytes in UTF-8 and a line feed; an absent field is a hyphen and a line feed. No value can be taken for another
//! one's part, because its length comes first.

use crate::hex;
use ring::digest::{Context, SHA256};
use std::fmt::Write as _;
use wcp360_types::api::audit::AuditEntry;

/// The fields of an entry, borrowed as text: what was stored is hashed, not what a parser made of it.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// Position, from 1.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: &'a str,
    /// For whom.
    pub on_behalf: Option<&'a str>,
    /// From where.
    pub source: &'a str,
    /// The operation.
    pub action: &'a str,
    /// What it was about.
    pub target: Option<&'a str>,
    /// Identifier of who owns what it was about.
    pub owner: Option<&'a str>,
    /// Identifier of the account it was about.
    pub account: Option<&'a str>,
    /// How it ended.
    pub outcome: &'a str,
    /// More, in words.
    pub detail: Option<&'a str>,
    /// The revision before.
    pub before: Option<&'a str>,
    /// The revision after.
    pub after: Option<&'a str>,
    /// The request.
    pub request_id: &'a str,
    /// The job.
    pub job: Option<&'a str>,
    /// The hash of the entry before; empty for the first one.
    pub previous: &'a str,
    /// The hash that is claimed for this one.
    pub hash: &'a str,
}

/// The hash of an entry, over all its fields but the hash itself.
pub fn hash(entry: &Fields<'_>) -> String {
    let mut text = String::with_capacity(640);
    text.push_str("wcp360-audit-1\n");
    let number = entry.seq.to_string();
    let at = entry.at.to_string();
    for field in [
        Some(entry.previous),
        Some(number.as_str()),
        Some(at.as_str()),
        Some(entry.actor),
        entry.on_behalf,
        Some(entry.source),
        Some(entry.action),
        entry.target,
        entry.owner,
        entry.account,
        Some(entry.outcome),
        entry.detail,
        entry.before,
        entry.after,
        Some(entry.request_id),
        entry.job,
    ] {
        push(&mut text, field);
    }
    digest(&text)
}

/// One field in the canonical form.
pub(crate) fn push(text: &mut String, field: Option<&str>) {
    match field {
        // Writing to a String can't fail.
        Some(value) => drop(write!(text, "{}:", value.len())),
        None => text.push('-'),
    }
    text.push_str(field.unwrap_or_default());
    text.push('\n');
}

/// SHA-256, hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(text.as_bytes());
    hex::encode(context.finish().as_ref())
}

/// Identifiers of an entry as text, for as long as its fields are borrowed.
#[derive(Debug)]
pub(crate) struct Texts {
    owner: Option<String>,
    account: Option<String>,
    job: Option<String>,
}

impl Texts {
    pub(crate) fn of(entry: &AuditEntry) -> Self {
        Self {
            owner: entry.owner.map(|id| id.to_string()),
            account: entry.account.map(|id| id.to_string()),
            job: entry.job.map(|id| id.to_string()),
        }
    }

    pub(crate) fn fields<'a>(&'a self, entry: &'a AuditEntry) -> Fields<'a> {
        Fields {
            seq: entry.seq,
            at: entry.at.as_millisecond(),
            actor: &entry.actor,
            on_behalf: entry.on_behalf.as_deref(),
            source: &entry.source,
            action: &entry.action,
            target: entry.target.as_deref(),
            owner: self.owner.as_deref(),
            account: self.account.as_deref(),
            outcome: &entry.outcome,
            detail: entry.detail.as_deref(),
            before: entry.before.as_ref().map(|r| r.as_str()),
            after: entry.after.as_ref().map(|r| r.as_str()),
            request_id: &entry.request_id,
            job: self.job.as_deref(),
            previous: &entry.previous,
            hash: &entry.hash,
        }
    }
}

/// The hash of an entry as the API shows it.
pub fn hash_of(entry: &AuditEntry) -> String {
    hash(&Texts::of(entry).fields(entry))
}
