//! The keys that seal what must be read back (SEC-10).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keys in use and how far a rotation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretsStatus {
    /// Identifier of the key that new values are sealed with.
    pub current: String,
    /// All keys, oldest first. While a rotation is under way there are two or more.
    pub keys: Vec<SealingKey>,
    /// Values that are still to be sealed anew with the current key.
    pub pending: u64,
}

/// A key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SealingKey {
    /// Identifier.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many values it seals.
    pub values: u64,
}
