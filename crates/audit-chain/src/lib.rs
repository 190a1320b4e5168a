//! The audit trail as data: what is hashed and signed, how it is written to files, and how all that is verified (SEC-06).
//!
//! One crate for the panel that writes the trail and for the command line that verifies a file far away from the panel. No
//! database, no network. The form is described in `docs/decisions/0009-audit-chain.md`, so that others can verify it too.

mod canonical;
mod checkpoint;
mod csv;
mod file;
mod hex;
mod key;
mod line;
mod verify;

pub use canonical::{Fields, hash, hash_of};
pub use checkpoint::Checkpoint;
pub use csv::{CsvReader, csv_line};
pub use file::{FileError, verify_file};
pub use key::{KeyError, PublicKey, SigningKey};
pub use line::{End, FORMAT, Head, LineError, Record, entry_line, json_line, parse_line};
pub use verify::Verifier;

/// The operation under which the trail records a key: the entry's target is the public key.
pub const KEY_ACTION: &str = "audit.key";

#[cfg(test)]
mod tests;
