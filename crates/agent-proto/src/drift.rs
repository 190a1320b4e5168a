//! Drift: what differs from what the manifests say, and what to do about it (ENG-07).
//!
//! | method and path | request | answer |
//! |---|---|---|
//! | `GET /v1/accounts/{name}/drift` | | [`AccountDrift`] |
//! | `POST /v1/accounts/{name}/repair` | [`RepairRequest`] | [`Repaired`] |
//! | `POST /v1/accounts/{name}/pick-up` | [`PickUpRequest`] | [`Converged`](crate::Converged) |
//! | `POST /v1/drift/scan` | [`ScanRequest`] | [`ScanPage`] |
//! | `GET /v1/node/drift` | | [`NodeDrift`] |
//! | `POST /v1/node/repair` | [`NodeRepairRequest`] | [`NodeRepaired`] |

use serde::{Deserialize, Serialize};
pub use wcp360_types::api::drift::*;
use wcp360_types::manifest::AuditReference;
use wcp360_types::{OperationId, Revision, Username};

/// Asks to act on differences of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairRequest {
    /// Names this request: sending it twice does it once and gives the same answer.
    pub operation: OperationId,
    /// What to do; a key may come once.
    pub items: Vec<RepairItem>,
    /// Who caused it.
    pub audit: AuditReference,
}

/// The answer to a [`RepairRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// One for each item of the request, in its order.
    pub items: Vec<RepairedItem>,
    /// How many differences are left that are not accepted.
    pub left: u32,
}

/// Asks to converge to manifests that were edited by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PickUpRequest {
    /// Names this request: sending it twice does it once and gives the same answer.
    pub operation: OperationId,
    /// The revision of the edited manifests that was decided upon.
    pub revision: Revision,
    /// Who caused it.
    pub audit: AuditReference,
}

/// Asks to compare all accounts with their manifests, page by page. Nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanRequest {
    /// Go on behind this account; absent: from the beginning.
    #[serde(default)]
    pub after: Option<Username>,
    /// How many accounts to look at, 1 to 5,000; absent: 1,000.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// An account that can't be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanError {
    /// The account.
    pub account: Username,
    /// Why.
    pub error: String,
}

/// One page of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPage {
    /// How many accounts were compared.
    pub compared: u32,
    /// Accounts that are being changed at this moment, and were left out.
    pub busy: Vec<Username>,
    /// Those that are not healthy.
    pub drifted: Vec<AccountDrift>,
    /// Those that can't be compared.
    pub errors: Vec<ScanError>,
    /// Go on behind this one; absent: that was all.
    pub next: Option<Username>,
}

/// Asks to repair things of the node. There is no adopting and no ignoring here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRepairRequest {
    /// Names this request in the log; doing it twice does nothing twice.
    pub operation: OperationId,
    /// Which; empty: all that differ.
    pub keys: Vec<String>,
    /// Who caused it.
    pub audit: AuditReference,
}

/// The answer to a [`NodeRepairRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRepaired {
    /// What became of each.
    pub items: Vec<RepairedItem>,
    /// What differs still.
    pub left: u32,
}
