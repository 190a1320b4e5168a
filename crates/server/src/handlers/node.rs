//! The node as a whole: drift, the index, maintenance.

use crate::call::{Answer, Call, Reply};
use wcp360_engine::Outcome;
use wcp360_types::Username;
use wcp360_types::api::drift::{Reconcile, RepairDrift, RepairNode};
use wcp360_types::api::job::Job;
use wcp360_types::api::maintenance::Maintenance;

fn queued(call: &Call, job: Job) -> Answer {
    call.outcome(Outcome::Queued(Box::new(job)))
}

pub(crate) async fn drift(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().drift_report().await?))
}

pub(crate) async fn reconcile(call: Call) -> Answer {
    let request: Reconcile = call.maybe_body()?;
    let job = call.engine().reconcile(call.caller()?, request, call.job_request()?).await?;
    queued(&call, job)
}

pub(crate) async fn account_drift(call: Call) -> Answer {
    let name: Username = call.param("account")?;
    Ok(Reply::ok(&call.engine().account_drift(call.caller()?, &name).await?))
}

pub(crate) async fn repair_account(call: Call) -> Answer {
    let request: RepairDrift = call.maybe_body()?;
    let name: Username = call.param("account")?;
    let job = call.engine().repair_account(call.caller()?, &name, request, call.job_request()?).await?;
    queued(&call, job)
}

pub(crate) async fn pick_up(call: Call) -> Answer {
    let name: Username = call.param("account")?;
    let job = call.engine().pick_up(call.caller()?, &name, call.job_request()?).await?;
    queued(&call, job)
}

pub(crate) async fn node_drift(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().node_drift().await?))
}

pub(crate) async fn repair_node(call: Call) -> Answer {
    let request: RepairNode = call.maybe_body()?;
    let job = call.engine().repair_node(call.caller()?, request, call.job_request()?).await?;
    queued(&call, job)
}

pub(crate) async fn rebuild_index(call: Call) -> Answer {
    let job = call.engine().rebuild_index(call.caller()?, call.job_request()?).await?;
    queued(&call, job)
}

pub(crate) async fn maintenance(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().maintenance().await?))
}

pub(crate) async fn set_maintenance(call: Call) -> Answer {
    let request: Maintenance = call.body()?;
    Ok(Reply::ok(&call.engine().set_maintenance(request).await?))
}
