//! Drift: what differs from what the manifests say, and what to do about it (ENG-07).

use crate::manifest::{AuditReference, ManifestSet};
use crate::{JobId, Revision, Username};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest diff in an answer, in bytes; what is longer is cut at a line.
pub const MAX_DIFF: usize = 16 * 1024;

/// How a thing differs from what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftWhat {
    /// It should be there and is not.
    Missing,
    /// It is there, but not as it should be.
    Changed,
    /// It is there and nothing asks for it.
    Extra,
}

/// What a thing is, for policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftClass {
    /// Linux user and group.
    User,
    /// Directories of the account: that they are there, owners, modes.
    Tree,
    /// Text configuration that is rendered.
    Config,
    /// Units: enabled, started, their sockets, their files.
    Unit,
    /// Links and directories that nginx finds sites by, and the sites' server blocks.
    Web,
    /// Certificates and their keys; their content is never shown.
    Key,
    /// The manifests themselves.
    Manifests,
}

/// What can be done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepairAction {
    /// Make it what the manifests say. What is [`DriftWhat::Extra`] is moved to the quarantine.
    Repair,
    /// Accept what was found until what is rendered changes. Only modes of directories and content of text configuration.
    /// Ordinary changes of the account leave it alone as well.
    Adopt,
    /// Don't report it, and don't repair it after a boot, until it changes. An ordinary change of the account may.
    Ignore,
}

/// One property that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// Which: `mode`, `owner`, `target`, `uid`, `content`, …
    pub field: String,
    /// As it should be.
    pub wanted: String,
    /// As it is.
    pub found: String,
}

/// Where what should be there comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftOrigin {
    /// The manifest, e.g. `services.json`; absent for things of the node.
    pub manifest: Option<String>,
    /// The template, e.g. `php/pool.conf`, if it is rendered from one.
    pub template: Option<String>,
    /// The revision of the manifests it was rendered from.
    pub revision: Option<Revision>,
    /// The release whose templates were used.
    pub release: String,
}

/// What is known of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// When its content changed last.
    pub modified: Timestamp,
    /// User id of its owner.
    pub uid: u32,
    /// Group id of its owner.
    pub gid: u32,
    /// The owner's name, if the number has one.
    pub owner: Option<String>,
    /// Permissions, in octal digits.
    pub mode: String,
    /// Size in bytes.
    pub size: u64,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftItem {
    /// Kind and name, e.g. `file:/etc/wcp360/php/alice/8.2.conf`; names it in a request to repair.
    pub key: String,
    /// The part of the key before the colon.
    pub kind: String,
    /// How it differs.
    pub what: DriftWhat,
    /// For policy.
    pub class: DriftClass,
    /// In words.
    pub summary: String,
    /// What differs, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// For text: a unified diff from what should be there to what is; at most [`MAX_DIFF`] bytes. Never of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Whether the diff was cut.
    #[serde(default)]
    pub diff_cut: bool,
    /// Where what should be there comes from.
    pub origin: DriftOrigin,
    /// What was found, if anything was.
    pub found: Option<Found>,
    /// Names what was found: an action that carries it is refused if it has changed since.
    pub digest: String,
    /// What may be done about it.
    pub actions: Vec<RepairAction>,
}

/// Whether an account's manifests are what was applied last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ManifestsState {
    /// They are.
    Same,
    /// They were edited, and are valid: `pick-up` converges to them. What was applied last goes on running.
    Edited {
        /// Their revision, for picking them up.
        revision: Revision,
        /// They themselves.
        manifests: Box<ManifestSet>,
        /// A unified diff from what was applied last; at most [`MAX_DIFF`] bytes.
        diff: String,
    },
    /// They can't be used. What was applied last goes on running.
    Refused {
        /// The file.
        file: String,
        /// The field, if it is one.
        field: Option<String>,
        /// Why, and what to do.
        error: String,
    },
    /// They were removed by hand. What was applied last goes on running.
    Missing,
}

/// What was accepted or is ignored, and still stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// Of which thing.
    pub key: String,
    /// [`RepairAction::Adopt`] or [`RepairAction::Ignore`].
    pub action: RepairAction,
    /// Names what it should be: when that changes, this is void.
    pub wanted: String,
    /// Names what was found: when that changes, this is void.
    pub found: String,
    /// Since when.
    pub at: Timestamp,
    /// Who decided it.
    pub audit: AuditReference,
}

/// How an account differs from its manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountDrift {
    /// The account.
    pub account: Username,
    /// What was applied last, with which the machine was compared.
    pub revision: Revision,
    /// The manifests on disk.
    pub manifests: ManifestsState,
    /// What differs, without what was accepted or is ignored. Empty, with the same manifests: healthy.
    pub items: Vec<DriftItem>,
    /// What was accepted or is ignored.
    pub accepted: Vec<Accepted>,
}

/// What to do about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairItem {
    /// Which.
    pub key: String,
    /// What.
    pub action: RepairAction,
    /// The [`DriftItem::digest`] that was decided upon; absent: whatever is found.
    #[serde(default)]
    pub digest: Option<String>,
}

/// What became of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepairOutcome {
    /// It was done.
    Done,
    /// It did not differ any more.
    Healthy,
    /// It has changed since the digest was given: look again.
    Moved,
    /// That action is not possible for it.
    Refused,
    /// It was tried and failed.
    Failed,
}

/// What became of one thing, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairedItem {
    /// Which.
    pub key: String,
    /// What was asked for.
    pub action: RepairAction,
    /// What became of it.
    pub outcome: RepairOutcome,
    /// Why, where it was not done; where something was moved to, where it was moved.
    pub message: Option<String>,
}

/// Something that was moved aside, because it kept nginx from accepting its configuration or nothing asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quarantined {
    /// Its name under `/etc/wcp360/quarantine`.
    pub name: String,
    /// What stands in the note beside it: where it was, when it was moved and why.
    pub note: String,
}

/// How the node itself differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDrift {
    /// What differs.
    pub items: Vec<DriftItem>,
    /// The generation of nginx's configuration that is current, and the one that answers.
    pub nginx_generation: Option<u64>,
    /// The generation that nginx answers with; absent if it does not run.
    pub nginx_running: Option<u64>,
    /// What is in the quarantine.
    pub quarantine: Vec<Quarantined>,
}

/// Asks to act on differences of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RepairDrift {
    /// What to do about which; empty: repair all that differs.
    pub items: Vec<RepairItem>,
}

/// Asks to repair things of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RepairNode {
    /// Which; empty: all that differ.
    pub keys: Vec<String>,
}

/// Asks to compare all accounts with their manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reconcile {
    /// Only say what differs, whatever the node's policy is.
    pub report_only: bool,
}

/// What is done about differences of a class that are found by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// Make it what the manifests say.
    Repair,
    /// Accept what was found, where that is possible; else report it.
    Adopt,
    /// Don't report it until it changes.
    Ignore,
    /// Say so and leave it alone.
    Report,
}

/// An account that differed, in the last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftedAccount {
    /// The account.
    pub account: Username,
    /// What differed, each with what is done about it.
    pub items: Vec<DriftFound>,
    /// The job that does it, if something is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Why it can't be compared, or what is the matter with its manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A difference in the last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftFound {
    /// Kind and name.
    pub key: String,
    /// In words.
    pub summary: String,
    /// What is done about it.
    pub policy: DriftPolicy,
}

/// What the last comparison of all accounts found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftReport {
    /// When; none: never yet.
    pub at: Option<Timestamp>,
    /// How many accounts were compared.
    pub compared: u64,
    /// How many were being changed at that moment, and were left out.
    pub busy: u64,
    /// How many differed.
    pub drifted: u64,
    /// The first 200 of them.
    pub accounts: Vec<DriftedAccount>,
    /// How the node itself differed.
    pub node: Vec<DriftFound>,
}
