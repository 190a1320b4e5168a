//! The agent's socket: HTTP/1.1 with JSON, for core alone.
//!
//! Whoever connects is asked of the kernel (`SO_PEERCRED`) before a byte is read: root and the panel's user may speak.

mod drift;

use crate::bootstrap::Bootstrap;
use crate::engine::Engine;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use wcp360_agent_proto::{
    AgentError, AgentErrorCode, ConvergeRequest, MAX_BODY, NodeInfo, OperationsRequest, OwnerRequest, PlanRequest,
    ServiceState, Verified, VerifyRoot,
};
use wcp360_types::Username;

/// How many requests are worked on at the same time; others wait.
const PARALLEL: usize = 48;
/// Services whose state `GET /v1/node` reports.
const SERVICES: &[&str] = &["nginx.service", "wcp360-core.service"];

/// What the handlers share.
pub struct App {
    engine: Arc<Engine>,
    bootstrap: Bootstrap,
    slots: Semaphore,
}

impl App {
    /// Handlers for `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        let bootstrap = Bootstrap::new(Arc::clone(engine.fs()));
        Self { engine, bootstrap, slots: Semaphore::new(PARALLEL) }
    }
}

/// The routes of [`wcp360_agent_proto`].
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/node", get(node))
        .route("/v1/accounts", get(accounts))
        .route("/v1/accounts/{name}", get(account))
        .route("/v1/accounts/{name}/plan", post(plan))
        .route("/v1/accounts/{name}/converge", post(converge))
        .route("/v1/accounts/{name}/owner", post(set_owner))
        .route("/v1/operations", post(operations))
        .merge(drift::routes())
        .route("/v1/bootstrap/verify-root", post(verify_root))
        .route("/v1/bootstrap/seal", post(seal))
        .fallback(async || answer::<()>(Err(AgentError::new(AgentErrorCode::NotFound, "there is no such request"))))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

/// Accepts connections of root and of one other user.
pub struct CheckedListener {
    listener: UnixListener,
    allowed: u32,
}

impl CheckedListener {
    /// Lets root and `allowed` in.
    pub fn new(listener: UnixListener, allowed: u32) -> Self {
        Self { listener, allowed }
    }
}

impl axum::serve::Listener for CheckedListener {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == 0 || peer.uid() == self.allowed => return (stream, address),
                    Ok(peer) => {
                        tracing::warn!(uid = peer.uid(), pid = peer.pid(), "refused on the agent's socket");
                    }
                    Err(error) => tracing::warn!(%error, "a connection of unknown origin was refused"),
                },
                Err(error) => {
                    // Out of descriptors, most likely: some will be closed.
                    tracing::error!(%error, "can't accept");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn answer<T: Serialize>(result: Result<T, AgentError>) -> Response {
    let (status, body) = match &result {
        Ok(value) => (200, serde_json::to_vec(value)),
        Err(error) => (error.status(), serde_json::to_vec(error)),
    };
    let mut response = Response::new(Body::from(body.unwrap_or_default()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn invalid(message: String) -> AgentError {
    AgentError::new(AgentErrorCode::Invalid, message)
}

/// A request's body, or why there is none: too large, or cut off.
type Received = Result<Bytes, BytesRejection>;

fn read(body: Received) -> Result<Bytes, AgentError> {
    body.map_err(|e| invalid(format!("the body can't be read: {}; it may have {MAX_BODY} bytes", e.body_text())))
}

fn parse<T: DeserializeOwned>(body: Received) -> Result<T, AgentError> {
    let body = &read(body)?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body))
        .map_err(|e| invalid(format!("{}: {}", e.path(), e.inner())))
}

/// Runs what may block where it may.
async fn blocking<T: Send + 'static>(
    app: Arc<App>,
    work: impl FnOnce(&App) -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    let failed = |message: String| AgentError::new(AgentErrorCode::Failed, message);
    let slot = app.slots.acquire().await.map_err(|e| failed(e.to_string()))?;
    let shared = Arc::clone(&app);
    let result = tokio::task::spawn_blocking(move || work(&shared)).await;
    drop(slot);
    result.map_err(|e| failed(format!("the agent has a defect: {e}; see /var/log/wcp360/agent.log")))?
}

fn username(name: &str) -> Result<Username, AgentError> {
    Username::parse(name).map_err(|e| invalid(format!("username: {e}")))
}

async fn node(State(app): State<Arc<App>>) -> Response {
    answer(
        blocking(app, |app| {
            let services = app.engine.services();
            let state = |unit: &&str| match services.status(unit) {
                Ok(status) => ServiceState { unit: (*unit).into(), active: status.active, state: status.state },
                Err(error) => ServiceState { unit: (*unit).into(), active: false, state: error.reason },
            };
            let initialized = app.bootstrap.is_initialized();
            Ok(NodeInfo {
                version: env!("CARGO_PKG_VERSION").into(),
                system_initialized: initialized.map_err(|e| AgentError::new(AgentErrorCode::Failed, e.to_string()))?,
                service_backend: services.name().into(),
                php_versions: app.engine.facts().php_versions.clone(),
                services: SERVICES.iter().map(state).collect(),
                unfinished_operations: app.engine.unfinished(),
            })
        })
        .await,
    )
}

async fn accounts(State(app): State<Arc<App>>) -> Response {
    answer(blocking(app, |app| app.engine.accounts()).await)
}

async fn account(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    answer(blocking(app, move |app| app.engine.account(&username(&name)?)).await)
}

async fn plan(State(app): State<Arc<App>>, Path(name): Path<String>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            let request: PlanRequest = parse(body)?;
            app.engine.plan(&username(&name)?, &request)
        })
        .await,
    )
}

async fn converge(State(app): State<Arc<App>>, Path(name): Path<String>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            let started = std::time::Instant::now();
            let request: ConvergeRequest = parse(body)?;
            let result = app.engine.converge(&username(&name)?, &request);
            tracing::info!(
                account = name,
                operation = %request.operation,
                job = %request.audit.job,
                action = request.audit.action,
                actor = request.audit.actor,
                millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                error = result.as_ref().err().map(|e| e.message.as_str()),
                "converge"
            );
            result
        })
        .await,
    )
}

async fn set_owner(State(app): State<Arc<App>>, Path(name): Path<String>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            let request: OwnerRequest = parse(body)?;
            let result = app.engine.set_owner(&username(&name)?, &request);
            tracing::info!(
                account = name,
                operation = %request.operation,
                job = %request.audit.job,
                actor = request.audit.actor,
                owner = %request.owner,
                error = result.as_ref().err().map(|e| e.message.as_str()),
                "owner"
            );
            result
        })
        .await,
    )
}

async fn operations(State(app): State<Arc<App>>, body: Received) -> Response {
    answer(blocking(app, move |app| app.engine.operations(&parse::<OperationsRequest>(body)?)).await)
}

async fn verify_root(State(app): State<Arc<App>>, body: Received) -> Response {
    answer(
        blocking(app, move |app| {
            // The parser's message could quote the password.
            let request: VerifyRoot =
                serde_json::from_slice(&read(body)?).map_err(|_| invalid("give an object with \"password\"".into()))?;
            Ok(Verified { ok: app.bootstrap.verify_root(&request.password)? })
        })
        .await,
    )
}

async fn seal(State(app): State<Arc<App>>) -> Response {
    answer(
        blocking(app, |app| {
            app.bootstrap.seal().map_err(|e| AgentError::new(AgentErrorCode::Failed, e.to_string()))?;
            Ok(Verified { ok: true })
        })
        .await,
    )
}
