//! What every call leaves in the audit trail (SEC-06).
//!
//! Of a change of somebody known: that it was begun, before anything happens, and how it ended. Of others, whose calls cost
//! nothing and come from anywhere: what succeeded, always, and what was refused, within bounds.

use crate::call::{App, AuditNote};
use std::collections::HashMap;
use wcp360_api::Operation;
use wcp360_engine::audit::{About, Beginning, By};
use wcp360_engine::{Caller, EngineError, Origin};
use wcp360_store::audit::NewAudit;
use wcp360_types::Problem;

/// Records how far an operation got.
///
/// # Errors
/// It could not be recorded.
pub(crate) async fn record(
    app: &App,
    operation: &Operation,
    origin: &Origin,
    caller: Option<&Caller>,
    note: &AuditNote,
    outcome: &str,
    detail: Option<&str>,
) -> Result<(), Problem> {
    let entry = NewAudit {
        actor: "-".to_owned(),
        source: origin.source.clone(),
        action: operation.id.to_owned(),
        target: note.read(),
        outcome: outcome.to_owned(),
        detail: detail.map(str::to_owned),
        request_id: origin.request_id.clone(),
        ..NewAudit::default()
    };
    let audit = app.engine.audit();
    let done = match caller {
        Some(caller) => audit.record_for(caller, entry, note.about()).await,
        None => audit.record(entry).await,
    };
    done.map_err(EngineError::into_problem)
}

/// Records that somebody known begins a change, before anything happens. Of who was refused it again and again, one entry stands
/// for all that follows, until something succeeds.
///
/// # Errors
/// It could not be recorded.
pub(crate) async fn beginning(
    app: &App,
    operation: &Operation,
    origin: &Origin,
    caller: &Caller,
    note: &AuditNote,
) -> Result<(), Problem> {
    const MORE: &str =
        "was refused often; further refusals are counted, and of what comes next only successes are recorded";
    let audit = app.engine.audit();
    match audit.beginning(caller, operation.id) {
        Beginning::Covered => Ok(()),
        Beginning::This => record(app, operation, origin, Some(caller), note, "started", None).await,
        Beginning::ThisAndMore => {
            record(app, operation, origin, Some(caller), note, "started", Some(MORE)).await?;
            audit.stands(caller, operation.id);
            Ok(())
        }
    }
}

/// Records a refusal, unless there were too many; that it can't be recorded does not turn the answer around.
pub(crate) async fn refusal(
    app: &App,
    operation: &Operation,
    origin: &Origin,
    caller: Option<&Caller>,
    note: &AuditNote,
    problem: &Problem,
) {
    let by = caller.map_or(By::Stranger(&origin.source), By::Known);
    if !app.engine.audit().admits_refusal(by, operation.id, problem.code()) {
        return;
    }
    let outcome = if problem.status < 500 { "refused" } else { "failed" };
    if let Err(problem) = record(app, operation, origin, caller, note, outcome, Some(&problem.detail)).await {
        tracing::error!(detail = problem.detail, "a refusal could not be recorded");
    }
}

/// What an operation is about, by its path or its body.
pub(crate) fn about(operation: &Operation, params: &HashMap<String, String>, target: Option<&str>) -> About {
    let account = |name: &str| name.parse().map_or(About::Other, About::Account);
    if let Some(name) = params.get("account").or_else(|| params.get("user")) {
        return account(name);
    }
    if let Some(job) = params.get("job") {
        return job.parse().map_or(About::Other, About::Job);
    }
    match target {
        Some(name) if operation.path == "/accounts" => account(name),
        _ => About::Other,
    }
}
