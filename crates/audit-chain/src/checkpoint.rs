//! Checkpoints: signatures over the chain's state at a position. Because every hash holds all before it, one signature holds
//! the whole trail up to there.

use crate::canonical::push;
use crate::key::{PublicKey, SigningKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A signed statement: up to entry `seq`, the trail is the one that leads to `hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The last entry it holds.
    pub seq: u64,
    /// That entry's hash.
    pub hash: String,
    /// When it was signed, to the millisecond.
    pub at: Timestamp,
    /// The id of the key.
    pub key: String,
    /// The Ed25519 signature, hexadecimal.
    pub signature: String,
}

impl Checkpoint {
    /// Signs the state of the chain.
    pub fn sign(key: &SigningKey, seq: u64, hash: &str, at: Timestamp) -> Self {
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        let mut made = Self { seq, hash: hash.to_owned(), at, key: key.public().id(), signature: String::new() };
        made.signature = key.sign(&made.message());
        made
    }

    /// Whether the signature is this key's.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.key == key.id() && key.verifies(&self.message(), &self.signature)
    }

    /// What is signed, in the form of [`crate::hash`]: `wcp360-audit-checkpoint-1`, key, seq, hash, milliseconds.
    fn message(&self) -> String {
        let mut text = String::from("wcp360-audit-checkpoint-1\n");
        push(&mut text, Some(&self.key));
        push(&mut text, Some(&self.seq.to_string()));
        push(&mut text, Some(&self.hash));
        push(&mut text, Some(&self.at.as_millisecond().to_string()));
        text
    }
}
