//! Requests and answers.
//!
//! | method and path | request | answer |
//! |---|---|---|
//! | `GET /v1/node` | | [`NodeInfo`] |
//! | `GET /v1/accounts` | | `Vec<`[`AccountSummary`]`>` |
//! | `POST /v1/accounts/list` | [`ListRequest`] | [`ListPage`] |
//! | `GET /v1/accounts/{name}` | | [`AccountRecord`] |
//! | `POST /v1/accounts/{name}/plan` | [`PlanRequest`] | `Plan` |
//! | `POST /v1/accounts/{name}/converge` | [`ConvergeRequest`] | [`Converged`] |
//! | `POST /v1/accounts/{name}/owner` | [`OwnerRequest`] | [`Converged`] |
//! | `POST /v1/bootstrap/verify-root` | [`VerifyRoot`] | [`Verified`] |
//! | `POST /v1/bootstrap/seal` | | [`Verified`] |
//!
//! Drift and its repair: see [`crate::drift`]; what was done so far: see [`crate::operations`].

use serde::{Deserialize, Serialize};
use wcp360_types::manifest::{AuditReference, ManifestSet, MetaManifest, PhpVersion};
use wcp360_types::plan::Plan;
use wcp360_types::{LoginName, OperationId, Revision, Username};

/// Facts about the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Version of the agent.
    pub version: String,
    /// Whether the first administrator was created; never goes back to false.
    pub system_initialized: bool,
    /// `systemd` or `supervisor`.
    pub service_backend: String,
    /// Installed PHP versions, the default one first.
    pub php_versions: Vec<PhpVersion>,
    /// Services the panel depends on, and whether they run.
    pub services: Vec<ServiceState>,
    /// Operations that a crash interrupted and that are still being finished.
    pub unfinished_operations: u64,
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Unit name, e.g. `nginx.service`.
    pub unit: String,
    /// Whether it is active.
    pub active: bool,
    /// The state in the backend's own word.
    pub state: String,
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// Name.
    pub username: Username,
    /// Revision; absent if its manifests can't be read.
    pub revision: Option<Revision>,
    /// Why they can't be read.
    pub error: Option<String>,
}

/// An account's manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Content revision.
    pub revision: Revision,
    /// The manifests.
    pub manifests: ManifestSet,
    /// What was applied last.
    pub meta: MetaManifest,
    /// Present if the manifests on disk are not these, which were applied last: edited, refused or removed by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<crate::ManifestsState>,
}

/// Asks for all accounts' manifests, page by page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Go on behind this account; absent: from the beginning.
    #[serde(default)]
    pub after: Option<Username>,
    /// How many accounts, 1 to 2,000; absent: 500.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// One account of a list, or why its manifests can't be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedAccount {
    /// Name.
    pub username: Username,
    /// The manifests that were applied last; absent if none are known that can be used.
    pub record: Option<AccountRecord>,
    /// Why there is no record.
    pub error: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// By name.
    pub accounts: Vec<ListedAccount>,
    /// Go on behind this one; absent: that was all.
    pub next: Option<Username>,
}

/// Asks what a change would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The revision the change was made from; `None`: the account must not exist.
    pub base_revision: Option<Revision>,
    /// What the account shall be; `None`: gone.
    pub desired: Option<ManifestSet>,
    /// As in [`ConvergeRequest`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bring_back: bool,
}

/// Makes the machine what the manifests say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvergeRequest {
    /// Names this request: sending it twice does it once and gives the same answer.
    pub operation: OperationId,
    /// The revision the change was made from; `None`: the account must not exist.
    pub base_revision: Option<Revision>,
    /// What the account shall be; `None`: gone.
    pub desired: Option<ManifestSet>,
    /// `desired` is what a deleted account was, uid included: its tree and its number come back with it. Refused if the
    /// trash holds no tree of that account and uid any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bring_back: bool,
    /// Who caused it, for `meta.json` and the journal.
    pub audit: AuditReference,
    /// Whose it is, for `meta.json`; absent: whose it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<LoginName>,
}

/// Notes in `meta.json` whose an account is; nothing else changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerRequest {
    /// Names this request: sending it twice does it once and gives the same answer.
    pub operation: OperationId,
    /// Whose it is from now on.
    pub owner: LoginName,
    /// Who caused it.
    pub audit: AuditReference,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Converged {
    /// The manifests as published: with uid, gid and home directory filled in. `None` after a deletion.
    pub record: Option<AccountRecord>,
    /// What was changed.
    pub applied: Plan,
    /// Notes for the job's log.
    pub notes: Vec<String>,
}

/// Asks whether this is the password of root, through PAM. Refused once the system is initialised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRoot {
    /// The password.
    pub password: String,
}

/// A yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The answer.
    pub ok: bool,
}
