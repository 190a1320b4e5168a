//! Which workflow a job is: its steps, how they are taken back, and what is said at the end.

use super::payload::{COMPARE, NOTE_OWNER, PICK_UP, Payload, REBUILD, REPAIR};
use super::run::{Done, Ending, Run, StepError, Unwound};
use super::{account, drift, index};
use crate::engine::Engine;

/// Does one step.
pub(super) async fn step(engine: &Engine, run: &Run, payload: &Payload, name: &str) -> Result<Done, StepError> {
    match (payload, name) {
        (Payload::Account { change, base, .. }, _) => account::step(engine, run, change, base.as_ref(), name).await,
        (Payload::Repair { items }, REPAIR) => drift::repair(engine, run, items).await,
        (Payload::PickUp { revision }, PICK_UP) => drift::pick_up(engine, run, revision).await,
        (Payload::Owner {}, NOTE_OWNER) => account::note_owner(engine, run).await,
        (Payload::RepairNode { keys }, REPAIR) => drift::repair_node(engine, run, keys).await,
        (Payload::Reconcile { report_only }, COMPARE) => drift::compare(engine, *report_only).await,
        (Payload::Rebuild {}, REBUILD) => index::rebuild(engine, run).await,
        (Payload::Nothing {}, _) => Ok(Done::default()),
        (_, other) => Err(StepError::Final(format!("this version does not know the step \"{other}\""))),
    }
}

/// Takes back what the job did.
pub(super) async fn unwind(engine: &Engine, run: &Run, payload: &Payload) -> Result<Unwound, StepError> {
    match payload {
        Payload::Account { .. } => account::unwind(engine, run).await,
        // Each is one request that the agent does or does not; what it did is what should be there.
        Payload::Repair { .. } | Payload::PickUp { .. } | Payload::RepairNode { .. } => {
            Ok(Unwound::Not("what was repaired stays repaired".into()))
        }
        Payload::Owner {} | Payload::Reconcile { .. } | Payload::Rebuild {} | Payload::Nothing {} => {
            Ok(Unwound::Back { notes: Vec::new(), write: None })
        }
    }
}

/// What the audit entry of the job's success says besides.
pub(super) fn ending(run: &Run, payload: &Payload) -> Ending {
    match payload {
        Payload::Account { .. } => account::ending(run),
        Payload::PickUp { .. } => drift::picked_up(run),
        _ => Ending::default(),
    }
}
