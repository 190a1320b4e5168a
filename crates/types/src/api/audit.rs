//! The audit trail.

use crate::{AccountId, JobId, OperationId, Revision, UserId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Position in the trail, from 1, without gaps.
    pub seq: u64,
    /// When, to the millisecond.
    pub at: Timestamp,
    /// Who: a login name, `panel` for the panel itself, `-` for somebody unknown.
    pub actor: String,
    /// For whom, if the actor acts as somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf: Option<String>,
    /// From which address; `local` for the machine itself.
    pub source: String,
    /// The operation, e.g. `accounts.create`.
    pub action: String,
    /// What it was about, e.g. an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Identifier of whose it is: the account's owner, or who acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Identifier of the account it was about: a name may be given again, this one never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// `started`, `accepted`, `succeeded`, `refused`, `failed` or `cancelled`.
    pub outcome: String,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The revision of the account before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Revision>,
    /// The revision of the account after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Revision>,
    /// The request.
    pub request_id: String,
    /// The job, if one came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The hash of the entry before, empty for the first one.
    pub previous: String,
    /// SHA-256 over this entry and with it all before, hexadecimal.
    pub hash: String,
}

/// Filters of the audit trail. All that are given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditFilter {
    /// Only entries from this moment on, e.g. `2026-11-01T00:00:00Z`.
    pub since: Option<Timestamp>,
    /// Only entries before this moment.
    pub until: Option<Timestamp>,
    /// Only entries by this login.
    pub actor: Option<String>,
    /// Only entries of this operation, or of all operations that begin so, if it ends with a dot: `accounts.`
    pub action: Option<String>,
    /// Only entries about this account, or what else it names.
    pub target: Option<String>,
    /// Only entries about this account, also by its owner, or about all that belongs to this reseller.
    pub tenant: Option<String>,
    /// Only entries that ended so, e.g. `refused`.
    pub outcome: Option<String>,
    /// Only entries from this address.
    pub source: Option<String>,
    /// Only entries whose detail holds this text, in any case of letters.
    pub text: Option<String>,
}

/// A form in which the trail can be taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditFormat {
    /// A JSON object per line, as `audit.json`.
    #[default]
    Jsonl,
    /// A table for spreadsheets; cells that one would take for a formula begin with an apostrophe.
    Csv,
}

/// How the trail is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditExport {
    /// The form; `jsonl` if absent.
    pub format: AuditFormat,
    /// Only entries after this position.
    pub after: Option<u64>,
}

/// The keys that sign the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKey {
    /// The key's short name.
    pub id: String,
    /// The public key (Ed25519), hexadecimal: keep it where the panel can't change it, and verify with `--key`.
    pub public_key: String,
    /// All keys that the trail names, oldest first.
    pub all: Vec<AuditKeyRecord>,
    /// The last checkpoint that was signed, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_through: Option<u64>,
}

/// A key as the trail records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKeyRecord {
    /// The public key, hexadecimal.
    pub public_key: String,
    /// The entry that names it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
}

/// What is wrong with a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditFaultKind {
    /// The entry's content is not what was hashed.
    Altered,
    /// The entry is missing.
    Removed,
    /// The entry is not where it belongs, or there twice.
    Reordered,
    /// Entries were replaced and hashed anew: the chain is whole, but not the one that was signed.
    Rewritten,
    /// The end is missing.
    Truncated,
    /// What stands there is no entry.
    Unreadable,
    /// A checkpoint's signature is not its key's.
    BadSignature,
    /// A checkpoint is signed by a key that nobody vouches for.
    UnknownKey,
    /// No checkpoint holds any of it.
    Unsigned,
}

/// The first thing that is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditFault {
    /// What.
    pub kind: AuditFaultKind,
    /// The first entry that is concerned.
    pub seq: u64,
    /// The last entry that may be, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// In words.
    pub detail: String,
}

/// What became of verifying a trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerification {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many entries were looked at.
    pub entries: u64,
    /// Position of the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Position of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// The last one's hash: who notes it down can tell later whether the trail is still the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_hash: Option<String>,
    /// Whether the entries follow each other; of a selection each is checked by itself only.
    pub chained: bool,
    /// Checkpoints that were checked.
    pub checkpoints: u64,
    /// Up to which entry a trusted key signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_through: Option<u64>,
    /// Entries after that: held by the chain, and signed by the next checkpoint.
    pub unsigned: u64,
    /// What is wrong first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<AuditFault>,
    /// What else one should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
}

/// How the agent's books and the trail differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditDifferenceKind {
    /// The agent did something that the trail does not know: entries are gone, or somebody asked the agent past the panel.
    Unrecorded,
    /// The trail says that a job changed an account, and the agent did nothing for it.
    NotDone,
    /// Both know the job, and the agent made something else of the account than the trail says.
    Different,
}

/// One difference between the agent's books and the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditDifference {
    /// What.
    pub kind: AuditDifferenceKind,
    /// When the agent began it, or when the trail says that it ended.
    pub at: Timestamp,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The operation as it was asked for, e.g. `accounts.create`.
    pub action: String,
    /// Who asked for it.
    pub actor: String,
    /// The job.
    pub job: JobId,
    /// The agent's name for what it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The entry of the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// In words.
    pub detail: String,
}

/// What became of comparing the trail with the agent's books.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditComparison {
    /// Whether they agree.
    pub ok: bool,
    /// Operations of the agent that were looked for in the trail.
    pub operations: u64,
    /// Entries of the trail that were looked for in the agent's books.
    pub entries: u64,
    /// From when on: the agent remembers 30 days, and at most 50,000 operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Operations of the agent from before the trail begins: of a database that was lost.
    pub before_trail: u64,
    /// How many differences there are.
    pub differences: u64,
    /// The first 100 of them.
    pub first: Vec<AuditDifference>,
    /// How long it took.
    pub milliseconds: u64,
}
