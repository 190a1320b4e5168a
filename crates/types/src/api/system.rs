//! Health.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentHealth {
    /// `database`, `agent`, `nginx` …
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What is wrong and what to do, or a fact such as a version.
    pub detail: String,
}

/// How the panel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether everything works.
    pub ok: bool,
    /// Version of core.
    pub version: String,
    /// Whether the first administrator exists.
    pub system_initialized: bool,
    /// The parts.
    pub components: Vec<ComponentHealth>,
}
