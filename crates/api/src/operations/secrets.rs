//! The keys that seal the panel's secrets.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::secrets;

const COLUMNS: &[&str] = &["current", "pending", "keys"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("secrets.show", Get, "/secrets", "Show the sealing keys, without the keys")
            .needs(P::SecretsManage)
            .gives::<secrets::SecretsStatus>(200)
            .columns(COLUMNS),
        op("secrets.rotate", Post, "/secrets/rotate", "Replace the sealing key")
            .about(
                "Everything is sealed anew in the background; interrupted, that goes on by itself. The old key is dropped when \
                 nothing needs it. JWTs end at once. Back up the file of the keys afterwards.",
            )
            .needs(P::SecretsManage)
            .gives::<secrets::SecretsStatus>(200)
            .columns(COLUMNS),
    ]
}
