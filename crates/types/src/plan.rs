//! Plans: what a change would do, before it does it (ENG-06).

use crate::{Revision, Username};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// It does not exist and will.
    Create,
    /// It exists and will be changed.
    Update,
    /// It exists and will be removed.
    Delete,
}

/// One resource that a change touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedResource {
    /// Kind and name, e.g. `file:/etc/wcp360/php/alice/8.2.conf` or `user:alice`.
    pub key: String,
    /// What happens to it.
    pub action: PlanAction,
    /// In words, e.g. "mode 0644 → 0640".
    pub summary: String,
    /// For text files: a unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// What a change would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The account that is changed. No plan changes more than one.
    pub account: Username,
    /// The revision the plan was made from; none if the account does not exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<Revision>,
    /// The revision after it; none if the account is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_revision: Option<Revision>,
    /// Resources that would change, in the order in which they would. Empty: the machine is as it should be.
    pub resources: Vec<PlannedResource>,
    /// Services that would be started, stopped or reloaded.
    pub services: Vec<String>,
    /// What comes back that was gone, besides what is made anew, in words: the files of a deleted account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comes_back: Vec<String>,
    /// What can't be taken back, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_loss: Vec<String>,
}
