//! What a record says: a line of JSON that is read at every start, and one that is read when it is needed.

use super::{Answer, Entry, State, Task};
use crate::fsx::FsError;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wcp360_agent_proto::{AccountRecord, AgentError, Converged, Repaired};
use wcp360_types::manifest::{AuditReference, ManifestSet, MetaManifest};
use wcp360_types::plan::Plan;
use wcp360_types::{LoginName, OperationId, Username};

/// The version of a record; another one is refused.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    v: u32,
    #[serde(flatten)]
    pub(super) kind: HeadKind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum HeadKind {
    /// The journal was opened after this boot of the machine.
    Open { boot: String },
    /// An operation is about to begin.
    Begin { operation: OperationId, account: Username, uid: Option<u32>, at: i64 },
    /// It has come further.
    Further { operation: OperationId, state: State },
    /// The effects of these are on disk.
    Checkpoint { settled: Vec<(Username, OperationId)> },
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begin: Option<Box<Begin>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Result<Answered, AgentError>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Begin {
    from: Option<ManifestSet>,
    to: Option<ManifestSet>,
    audit: AuditReference,
    started_at: Timestamp,
    created: Vec<String>,
    #[serde(default)]
    task: Task,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<LoginName>,
}

/// An answer without the manifests, which are in the first record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant)] // lives for a moment
enum Answered {
    Converged { meta: Option<MetaManifest>, applied: Plan, notes: Vec<String> },
    Repaired(Repaired),
}

fn unwritable(error: serde_json::Error) -> FsError {
    FsError::new("write", &super::log::dir(), error)
}

fn unreadable(reason: impl std::fmt::Display) -> FsError {
    FsError::new("read", &super::log::dir(), std::io::Error::other(reason.to_string()))
}

pub(super) fn encode(kind: HeadKind, body: &Body) -> Result<Vec<u8>, FsError> {
    let mut out = serde_json::to_vec(&Head { v: VERSION, kind }).map_err(unwritable)?;
    out.push(b'\n');
    serde_json::to_writer(&mut out, body).map_err(unwritable)?;
    Ok(out)
}

/// The record that says how far `entry` is.
pub(super) fn of(entry: &Entry) -> Result<Vec<u8>, FsError> {
    let operation = entry.operation;
    if entry.state == State::Applying {
        let uid = entry.to.as_ref().and_then(|set| set.account.uid);
        let kind = HeadKind::Begin { operation, account: entry.account.clone(), uid, at: entry.started_at.as_second() };
        let begin = Begin {
            from: entry.from.clone(),
            to: entry.to.clone(),
            audit: entry.audit.clone(),
            started_at: entry.started_at,
            created: entry.created.clone(),
            task: entry.task.clone(),
            owner: entry.owner.clone(),
        };
        return encode(kind, &Body { begin: Some(Box::new(begin)), answer: None });
    }
    let answer = entry.answer.clone().map(|answer| {
        answer.map(|answer| match answer {
            Answer::Converged(done) => {
                let Converged { record, applied, notes } = *done;
                Answered::Converged { meta: record.map(|record| record.meta), applied, notes }
            }
            Answer::Repaired(repaired) => Answered::Repaired(repaired),
        })
    });
    encode(HeadKind::Further { operation, state: entry.state }, &Body { begin: None, answer })
}

fn split(record: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let end = memchr::memchr(b'\n', record).ok_or("a record without an end of its first line")?;
    Ok((&record[..end], &record[end + 1..]))
}

/// What a record is about.
///
/// # Errors
/// It is of a version or a kind that this release does not know.
pub(super) fn head(record: &[u8]) -> Result<Head, String> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let (head, _) = split(record)?;
    let version: Version = serde_json::from_slice(head).map_err(|e| format!("a record can't be read: {e}"))?;
    if version.v != VERSION {
        let v = version.v;
        return Err(format!(
            "a record has version {v}, this release knows {VERSION}: install the release that wrote it"
        ));
    }
    serde_json::from_slice(head).map_err(|e| format!("a record can't be read: {e}"))
}

fn body(record: &[u8]) -> Result<Body, FsError> {
    let (_, body) = split(record).map_err(unreadable)?;
    serde_json::from_slice(body).map_err(unreadable)
}

/// An operation from its first and its last record.
pub(super) fn entry(
    operation: OperationId,
    account: &Username,
    state: State,
    first: &[u8],
    last: Option<&[u8]>,
) -> Result<Entry, FsError> {
    let begin = body(first)?.begin.ok_or_else(|| unreadable("the beginning of an operation is missing"))?;
    let answer = last.map(body).transpose()?.and_then(|body| body.answer);
    let Begin { from, to, audit, started_at, created, task, owner } = *begin;
    let record = |meta: Option<MetaManifest>| {
        meta.zip(to.clone()).map(|(meta, manifests)| AccountRecord {
            revision: manifests.revision(),
            manifests,
            meta,
            on_disk: None,
        })
    };
    let answer = answer.map(|answer| {
        answer.map(|answer| match answer {
            Answered::Converged { meta, applied, notes } => {
                Answer::Converged(Box::new(Converged { record: record(meta), applied, notes }))
            }
            Answered::Repaired(repaired) => Answer::Repaired(repaired),
        })
    });
    Ok(Entry { operation, account: account.clone(), from, to, audit, started_at, created, state, task, owner, answer })
}
