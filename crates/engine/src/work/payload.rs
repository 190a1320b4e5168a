//! What a job carries, and what its steps leave behind for later ones.

use crate::change::Change;
use serde::{Deserialize, Serialize};
use wcp360_types::api::drift::RepairItem;
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{OperationId, Revision};

/// The payload of a job: which workflow, and about what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "workflow", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Payload {
    /// A change of one account.
    Account {
        /// The change.
        change: Change,
        /// The revision that the caller saw (`If-Match`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<Revision>,
        /// For a job that takes back another: the operation whose permission it needs, which is the other's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
    },
    /// Acts on differences of one account.
    Repair {
        /// What to do about which; empty: repair all that differs.
        items: Vec<RepairItem>,
    },
    /// Converges an account to manifests that were edited by hand.
    PickUp {
        /// Their revision, as it was decided upon.
        revision: Revision,
    },
    /// Tells the agent whose the account is.
    Owner {},
    /// Repairs things of the node.
    RepairNode {
        /// Which; empty: all that differ.
        keys: Vec<String>,
    },
    /// Compares all accounts with their manifests.
    Reconcile {
        /// Only say what differs.
        report_only: bool,
    },
    /// Makes the index from the manifests.
    Rebuild {},
    /// Nothing: what a job costs by itself, for benchmarks and tests.
    Nothing {},
}

impl Payload {
    /// The steps, in order.
    ///
    /// Of a change of an account `prepare` fixes from what to what, so that repeating `apply` after a crash asks for the same
    /// thing; `apply` converges the machine; `verify` asks nginx.
    pub(crate) fn steps(&self) -> &'static [&'static str] {
        match self {
            Payload::Account { .. } => &[PREPARE, APPLY, VERIFY],
            Payload::Repair { .. } | Payload::RepairNode { .. } => &[REPAIR],
            Payload::PickUp { .. } => &[PICK_UP],
            Payload::Owner {} => &[NOTE_OWNER],
            Payload::Reconcile { .. } => &[COMPARE],
            Payload::Rebuild {} => &[REBUILD],
            Payload::Nothing {} => &["nothing"],
        }
    }
}

pub(crate) const PREPARE: &str = "prepare";
pub(crate) const APPLY: &str = "apply";
pub(crate) const VERIFY: &str = "verify";

/// Steps of the other workflows, whose whole effect is one request to the agent or one look at it.
pub(crate) const REPAIR: &str = "repair";
pub(crate) const PICK_UP: &str = "pick-up";
pub(crate) const NOTE_OWNER: &str = "note-owner";
pub(crate) const COMPARE: &str = "compare";
pub(crate) const REBUILD: &str = "rebuild";

/// What `prepare` leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prepared {
    /// Names the request to the agent.
    pub(crate) operation: OperationId,
    /// From what.
    pub(crate) before: Option<ManifestSet>,
    /// To what.
    pub(crate) desired: Option<ManifestSet>,
}

/// What `apply` leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// The manifests as published.
    pub(crate) after: Option<ManifestSet>,
    /// What was changed.
    pub(crate) plan: wcp360_types::plan::Plan,
}
