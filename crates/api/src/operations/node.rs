//! The node as a whole: drift, the index, maintenance.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{drift, job, maintenance};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("drift.show", Get, "/drift", "What the last comparison with the manifests found")
            .needs(P::DriftRead)
            .gives::<drift::DriftReport>(200)
            .columns(&["at", "compared", "drifted", "busy"]),
        op("drift.reconcile", Post, "/drift/reconcile", "Compare all accounts with their manifests now")
            .about("What is found is repaired, adopted, ignored or reported by class, as the node's settings say.")
            .needs(P::DriftManage)
            .maybe_body::<drift::Reconcile>()
            .starts::<job::Job>(),
        op("accounts.drift", Get, "/accounts/{account}/drift", "How an account differs from its manifests")
            .needs(P::DriftRead)
            .gives::<drift::AccountDrift>(200)
            .columns(&["key", "what", "class", "summary"]),
        op("accounts.repair", Post, "/accounts/{account}/repair", "Repair, adopt or ignore differences of an account")
            .needs(P::DriftManage)
            .maybe_body::<drift::RepairDrift>()
            .starts::<job::Job>(),
        op("accounts.pick-up", Post, "/accounts/{account}/pick-up", "Apply manifests that were edited by hand")
            .needs(P::DriftManage)
            .starts::<job::Job>(),
        op("node.drift", Get, "/node/drift", "How the node itself differs from what it should be")
            .needs(P::DriftRead)
            .gives::<drift::NodeDrift>(200),
        op("node.repair", Post, "/node/repair", "Repair what differs on the node itself")
            .needs(P::DriftManage)
            .maybe_body::<drift::RepairNode>()
            .starts::<job::Job>(),
        op("index.rebuild", Post, "/index/rebuild", "Make the index of accounts from the manifests")
            .about("Accounts that can't be read are named in the job's log and change nothing.")
            .needs(P::DriftManage)
            .starts::<job::Job>(),
        op("maintenance.show", Get, "/maintenance", "Whether there is maintenance")
            .needs(P::SelfManage)
            .gives::<maintenance::Maintenance>(200),
        op("maintenance.set", Put, "/maintenance", "Switch maintenance on or off")
            .about("While it is on, resellers and clients can look but not change anything. Sites are served as ever.")
            .needs(P::MaintenanceManage)
            .body::<maintenance::Maintenance>()
            .gives::<maintenance::Maintenance>(200),
    ]
}
