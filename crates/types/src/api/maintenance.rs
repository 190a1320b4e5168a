//! Maintenance mode (PLT-08).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether only administrators may change something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// Whether it is on. Sites are served all the same, and everybody may look.
    pub enabled: bool,
    /// What resellers and clients are told: at most 200 characters.
    #[schemars(length(max = 200))]
    pub message: String,
}
