//! The lines of `audit.json` and of exports: one JSON object each, whose `kind` comes first.

use crate::canonical::Fields;
use crate::checkpoint::Checkpoint;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wcp360_types::api::audit::AuditEntry;

/// The form of the file, as its head says.
pub const FORMAT: &str = "wcp360-audit-1";

/// A line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(pub(crate) String);

/// The beginning of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// The public keys that signed or may sign the checkpoints.
    pub keys: Vec<String>,
    /// Whether the entries follow each other without gaps. Of a selection, each entry can be checked by itself only.
    pub chained: bool,
    /// Whether the file must end with an [`End`]: exports do, `audit.json` grows for ever.
    pub ends: bool,
    /// In words: what was selected, and what that means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The end of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many entries there were.
    pub entries: u64,
    /// The last one's position.
    pub last: Option<u64>,
}

/// What a line says.
// Nearly all are entries, and one exists at a time: a box around each would only cost time.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Record<'a> {
    /// The beginning of a file.
    Head(Head),
    /// An entry.
    Entry(EntryLine<'a>),
    /// A checkpoint.
    Checkpoint(Checkpoint),
    /// The end of an export.
    End(End),
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// The rest of a line of a known kind.
fn untagged<T: DeserializeOwned>(line: &str) -> Result<T, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_str(line)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("kind");
    }
    serde_json::from_value(value)
}

/// An entry as a line has it. What is not one of our fields makes it unreadable: it would not be under the hash.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLine<'a> {
    #[serde(borrow, default, rename = "kind")]
    pub(crate) _kind: Cow<'a, str>,
    pub(crate) seq: u64,
    #[serde(borrow)]
    pub(crate) at: Cow<'a, str>,
    #[serde(skip)]
    pub(crate) millis: i64,
    #[serde(borrow)]
    pub(crate) actor: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) on_behalf: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) action: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) target: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) owner: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) outcome: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) detail: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) before: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) after: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) request_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) job: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) previous: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) hash: Cow<'a, str>,
}

impl EntryLine<'_> {
    /// Its fields.
    pub fn fields(&self) -> Fields<'_> {
        Fields {
            seq: self.seq,
            at: self.millis,
            actor: &self.actor,
            on_behalf: self.on_behalf.as_deref(),
            source: &self.source,
            action: &self.action,
            target: self.target.as_deref(),
            owner: self.owner.as_deref(),
            account: self.account.as_deref(),
            outcome: &self.outcome,
            detail: self.detail.as_deref(),
            before: self.before.as_deref(),
            after: self.after.as_deref(),
            request_id: &self.request_id,
            job: self.job.as_deref(),
            previous: &self.previous,
            hash: &self.hash,
        }
    }
}

/// Milliseconds since 1970 of a time that holds nothing finer: finer parts would not be under the hash.
pub(crate) fn millis(text: &str) -> Result<i64, LineError> {
    let at: Timestamp = text.parse().map_err(|e| LineError(format!("its time can't be read: {e}")))?;
    if at.subsec_nanosecond() % 1_000_000 != 0 {
        return Err(LineError("its time is finer than a millisecond".into()));
    }
    Ok(at.as_millisecond())
}

/// Reads a line.
///
/// # Errors
/// It is none of ours.
pub fn parse_line(line: &str) -> Result<Record<'_>, LineError> {
    let damaged = |e: serde_json::Error| LineError(format!("the line can't be read: {e}"));
    if line.starts_with("{\"kind\":\"entry\",") {
        let mut entry: EntryLine<'_> = serde_json::from_str(line).map_err(damaged)?;
        entry.millis = millis(&entry.at)?;
        return Ok(Record::Entry(entry));
    }
    let kind: Kind<'_> = serde_json::from_str(line).map_err(damaged)?;
    Ok(match kind.kind.as_ref() {
        "head" => Record::Head(untagged(line).map_err(damaged)?),
        "checkpoint" => Record::Checkpoint(untagged(line).map_err(damaged)?),
        "end" => Record::End(untagged(line).map_err(damaged)?),
        "entry" => {
            let mut entry: EntryLine<'_> = serde_json::from_str(line).map_err(damaged)?;
            entry.millis = millis(&entry.at)?;
            Record::Entry(entry)
        }
        other => return Err(LineError(format!("there is no kind of line \"{other}\""))),
    })
}

/// A head, checkpoint or end as a line, with its line feed.
pub fn json_line<T: Serialize>(kind: &str, value: &T) -> String {
    let rest = serde_json::to_string(value).expect("plain data has a JSON form");
    format!("{{\"kind\":\"{kind}\",{}\n", &rest[1..])
}

/// An entry as a line, with its line feed.
pub fn entry_line(entry: &AuditEntry) -> String {
    json_line("entry", entry)
}
