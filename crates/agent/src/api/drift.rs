//! Requests about drift: see [`wcp360_agent_proto::drift`].

use super::{App, Received, answer, blocking, parse, username};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use std::sync::Arc;
use wcp360_agent_proto::{
    AgentError, ListRequest, NodeRepairRequest, PickUpRequest, RepairOutcome, RepairRequest, RepairedItem, ScanRequest,
};
use wcp360_types::OperationId;
use wcp360_types::manifest::AuditReference;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/accounts/list", post(list))
        .route("/v1/accounts/{name}/drift", get(drift))
        .route("/v1/accounts/{name}/repair", post(repair))
        .route("/v1/accounts/{name}/pick-up", post(pick_up))
        .route("/v1/drift/scan", post(scan))
        .route("/v1/node/drift", get(node_drift))
        .route("/v1/node/repair", post(node_repair))
}

async fn list(State(app): State<Arc<App>>, body: Received) -> Response {
    answer(blocking(app, move |app| app.engine.list(&parse::<ListRequest>(body)?)).await)
}

async fn drift(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    answer(blocking(app, move |app| app.engine.drift(&username(&name)?)).await)
}

async fn repair(State(app): State<Arc<App>>, Path(name): Path<String>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            let request: RepairRequest = parse(body)?;
            let result = app.engine.repair_items(&username(&name)?, &request);
            log(&name, request.operation, &request.audit, result.as_ref().map(|repaired| &repaired.items));
            result
        })
        .await,
    )
}

async fn pick_up(State(app): State<Arc<App>>, Path(name): Path<String>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            let request: PickUpRequest = parse(body)?;
            let result = app.engine.pick_up(&username(&name)?, &request);
            tracing::info!(
                account = name,
                operation = %request.operation,
                job = %request.audit.job,
                actor = request.audit.actor,
                error = result.as_ref().err().map(|e| e.message.as_str()),
                "edited manifests picked up"
            );
            result
        })
        .await,
    )
}

async fn scan(State(app): State<Arc<App>>, body: Received) -> Response {
    answer(blocking(app, move |app| app.engine.scan(&parse::<ScanRequest>(body)?)).await)
}

async fn node_drift(State(app): State<Arc<App>>) -> Response {
    answer(blocking(app, |app| app.engine.node_drift()).await)
}

async fn node_repair(State(app): State<Arc<App>>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            let request: NodeRepairRequest = parse(body)?;
            let result = app.engine.node_repair(&request);
            log("", request.operation, &request.audit, result.as_ref().map(|repaired| &repaired.items));
            result
        })
        .await,
    )
}

fn log(account: &str, operation: OperationId, audit: &AuditReference, result: Result<&Vec<RepairedItem>, &AgentError>) {
    let with = |wanted: RepairOutcome| {
        let items = result.iter().flat_map(|items| items.iter());
        items.filter(|item| item.outcome == wanted).map(|item| item.key.as_str()).collect::<Vec<_>>()
    };
    tracing::info!(
        account,
        %operation,
        job = %audit.job,
        actor = audit.actor,
        done = ?with(RepairOutcome::Done),
        failed = ?with(RepairOutcome::Failed),
        error = result.err().map(|e| e.message.as_str()),
        "repair"
    );
}
