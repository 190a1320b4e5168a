//! What happens around every handler: identify, authorise, record, call, answer.

use crate::authenticate::{authenticate, session_of};
use crate::call::{Answer, App, AuditNote, Call};
use crate::limits::Quotas;
use crate::listen::Arrival;
use crate::record::{self, record};
use axum::body::Body;
use axum::body::HttpBody as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tracing::Instrument;
use wcp360_api::{Access, Effect, Method, Operation, Permission};
use wcp360_engine::{Caller, EngineError, Origin};
use wcp360_types::api::session::Audience;
use wcp360_types::{Problem, RequestId};

/// A handler of one operation.
pub(crate) type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// As large as most are; of larger ones only so many are read at a time, so that nobody takes the memory with them.
const SMALL_BODY: u64 = 16 * 1024;
static LARGE_BODIES: Semaphore = Semaphore::const_new(32);
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers one request for one operation.
pub(crate) async fn dispatch(
    app: Arc<App>,
    operation: &'static Operation,
    handler: Handler,
    request: Request<Body>,
) -> Response<Body> {
    let begun = Instant::now();
    let request_id = RequestId::new().to_string();
    let source = source_of(&request);
    let span = tracing::info_span!("request", request_id, operation = operation.id, source);
    let origin = Origin { source, request_id: request_id.clone() };
    let quotas = Quotas::default();
    let mut response = async {
        match answer(app, operation, handler, request, origin, &quotas).await {
            Ok(response) => response,
            Err(problem) => {
                let mut problem = problem;
                problem.request_id = Some(request_id.clone());
                tracing::info!(status = problem.status, code = problem.code(), detail = problem.detail, "refused");
                self::problem(problem)
            }
        }
    }
    .instrument(span.clone())
    .await;
    quotas.write(response.headers_mut());
    add_headers(&mut response, &request_id);
    let status = response.status().as_u16();
    let seconds = begun.elapsed().as_secs_f64();
    metrics::counter!("wcp360_http_requests_total", "operation" => operation.id, "status" => status.to_string())
        .increment(1);
    metrics::histogram!("wcp360_http_request_seconds", "operation" => operation.id).record(seconds);
    span.in_scope(|| tracing::info!(status, milliseconds = seconds * 1000.0, "answered"));
    response
}

fn add_headers(response: &mut Response<Body>, request_id: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The answer to what is no operation.
pub(crate) fn outside(mut problem: Problem) -> Response<Body> {
    let request_id = RequestId::new().to_string();
    problem.request_id = Some(request_id.clone());
    let mut response = self::problem(problem);
    add_headers(&mut response, &request_id);
    response
}

async fn answer(
    app: Arc<App>,
    operation: &'static Operation,
    handler: Handler,
    request: Request<Body>,
    origin: Origin,
    quotas: &Quotas,
) -> Result<Response<Body>, Problem> {
    let from_gateway = request.extensions().get::<Arrival>() == Some(&Arrival::Gateway);
    let (mut parts, body) = request.into_parts();
    // First, so that what is refused leaves the connection usable.
    let body = read_body(body).await?;
    let raw = RawPathParams::from_request_parts(&mut parts, &()).await;
    let params: HashMap<String, String> =
        raw.iter().flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let note = AuditNote::default();
    if let Some(target) = operation.path_parameters().next().and_then(|name| params.get(name)) {
        note.target(target.chars().take(128).collect::<String>());
    }
    note.concerns(record::about(operation, &params, None));
    let caller = match admit(&app, operation, &parts.headers, from_gateway, &origin, quotas).await {
        Ok(caller) => caller,
        Err((caller, problem)) => {
            // Nobody at all who only reads is no news.
            if caller.is_some() || operation.effect != Effect::Read || shows_something(&parts.headers) {
                record::refusal(&app, operation, &origin, caller.as_ref(), &note, &problem).await;
            }
            return Err(problem);
        }
    };
    raw.map_err(|_| Problem::bad_request("The path is not valid UTF-8."))?;
    let upgrade = match operation.success.0 {
        101 => WebSocketUpgrade::from_request_parts(&mut parts, &()).await.ok(),
        _ => None,
    };

    let call = Call {
        app: app.clone(),
        operation,
        origin: origin.clone(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        params,
        body,
        caller: caller.clone(),
        note: note.clone(),
        upgrade,
    };
    if let Some(target) = named_in_body(&call) {
        note.concerns(record::about(operation, &call.params, Some(&target)));
        note.target(target.chars().take(128).collect::<String>());
    }
    // Only what can be planned is ever only planned.
    let planned = operation.plans() && call.query.split('&').any(|part| part == "dry_run=true");
    let audited = operation.effect != Effect::Read && !planned;
    let has_jobs = matches!(operation.effect, Effect::Job | Effect::Bulk);
    // Of a job nothing happens before it is recorded as accepted, in the same transaction.
    if audited
        && !has_jobs
        && let Some(caller) = &caller
    {
        record::beginning(&app, operation, &origin, caller, &note).await?;
    }
    let begun = caller.is_some();
    let outcome = handler(call).await.map_err(EngineError::into_problem);
    if let (Ok(_), Some(caller)) = (&outcome, &caller) {
        app.engine.audit().succeeded(caller, operation.id);
    }
    // That a job was accepted is recorded together with the job.
    if audited && !(has_jobs && outcome.is_ok()) {
        let known = note.caller().or(caller);
        match &outcome {
            // Of somebody who was not known nothing is recorded yet: what can't be recorded is not given.
            Ok(_) if !begun => {
                record(&app, operation, &origin, known.as_ref(), &note, "succeeded", None).await?;
            }
            Ok(_) => {
                let done = record(&app, operation, &origin, known.as_ref(), &note, "succeeded", None).await;
                // The change is made already: an entry that can't be written must not turn the answer around.
                if let Err(problem) = done {
                    tracing::error!(detail = problem.detail, "the outcome could not be recorded");
                }
            }
            Err(problem) => record::refusal(&app, operation, &origin, known.as_ref(), &note, problem).await,
        }
    }
    Ok(outcome?.into_response())
}

/// The caller, if they may call the operation; else why not, and who it was if that is known.
async fn admit(
    app: &App,
    operation: &Operation,
    headers: &HeaderMap,
    from_gateway: bool,
    origin: &Origin,
    quotas: &Quotas,
) -> Result<Option<Caller>, (Option<Caller>, Problem)> {
    quotas.admit_address(app, operation, origin).map_err(|problem| (None, problem))?;
    let caller = authenticate(app, headers, audience(operation), origin, true).await;
    if let Ok(Some(caller)) = &caller {
        quotas.admit_caller(app, caller, origin).await.map_err(|problem| (Some(caller.clone()), problem))?;
    }
    let caller = match operation.access {
        Access::Public => caller.ok().flatten(),
        Access::Needs(permission) => {
            let nobody = || Problem::unauthenticated("Send an API token as \"Authorization: Bearer …\", or log in.");
            let caller = caller.and_then(|caller| caller.ok_or_else(nobody)).map_err(|problem| (None, problem))?;
            if !caller.may(permission) {
                let detail = format!("This needs the permission \"{}\", which you don't have.", permission.as_str());
                return Err((Some(caller), Problem::forbidden(detail)));
            }
            if let Err(problem) = refuse_changes_by_jwt(operation, permission, &caller) {
                return Err((Some(caller), problem));
            }
            let own = matches!(operation.effect, Effect::Change) && permission == Permission::SelfManage;
            if operation.effect != Effect::Read && !own {
                let open = app.engine.refuse_in_maintenance(&caller).await.map_err(EngineError::into_problem);
                open.map_err(|problem| (Some(caller.clone()), problem))?;
            }
            Some(caller)
        }
    };
    match refuse_foreign_origin(operation, caller.as_ref(), headers, from_gateway) {
        Ok(()) => Ok(caller),
        Err(problem) => Err((caller, problem)),
    }
}

/// Whether somebody tried to show who they are.
fn shows_something(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::AUTHORIZATION) || session_of(headers).is_some()
}

/// What a call is about, if its path does not say: the name in the body.
fn named_in_body(call: &Call) -> Option<String> {
    if call.operation.path_parameters().next().is_some() {
        return None;
    }
    let field = call.operation.cli.positional.first()?;
    let body: serde_json::Value = serde_json::from_slice(&call.body).ok()?;
    body.get(field)?.as_str().map(str::to_owned)
}

/// What a JWT has to be for.
fn audience(operation: &Operation) -> Audience {
    if operation.success.0 == 101 { Audience::Ws } else { Audience::Api }
}

/// A JWT is for work, not for getting more credentials: those it was minted from do that.
fn refuse_changes_by_jwt(operation: &Operation, permission: Permission, caller: &Caller) -> Result<(), Problem> {
    if caller.via == "jwt" && permission == Permission::SelfManage && operation.effect != Effect::Read {
        let detail = "A JWT can't do this; use the session or token it was minted from.";
        return Err(Problem::forbidden(detail));
    }
    Ok(())
}

/// A browser that is on another site must not make changes with the cookie it holds (CSRF).
fn refuse_foreign_origin(
    operation: &Operation,
    caller: Option<&Caller>,
    headers: &HeaderMap,
    from_gateway: bool,
) -> Result<(), Problem> {
    let by_cookie = caller.is_some_and(|c| c.via == "session") || operation.id == "session.login";
    // A handshake reads too, but what follows is read by who made it: another site's page (RFC 6455, 10.2).
    let upgrades = operation.success.0 == 101 && headers.contains_key(http::header::UPGRADE);
    if (operation.method == Method::Get && !upgrades) || !by_cookie {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    // Only the gateway is believed what the client called it.
    let forwarded = text("x-forwarded-host").filter(|_| from_gateway);
    let host = forwarded.or_else(|| text("host")).unwrap_or_default();
    let foreign = match (text("origin"), text("sec-fetch-site")) {
        (Some(origin), _) => origin.split_once("://").is_none_or(|(_, origin_host)| origin_host != host),
        (None, Some(site)) => site != "same-origin" && site != "none",
        (None, None) => upgrades,
    };
    if foreign {
        return Err(Problem::forbidden("The request came from another web site."));
    }
    Ok(())
}

async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let small = body.size_hint().upper().is_some_and(|most| most <= SMALL_BODY);
    let busy = |_| Problem::unavailable("Too many large requests at once; try again in a few seconds.");
    let _place = if small { None } else { Some(LARGE_BODIES.try_acquire().map_err(busy)?) };
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    let late = |_| Problem::bad_request("The body did not come within 10 seconds; send it at once.");
    let collected = collected.map_err(late)?.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let detail = format!("The body is larger than {} KiB; send less.", MAX_BODY / 1024);
            Problem::new(413, "too-large", "Too large", detail)
        } else {
            Problem::bad_request("The body ended early.")
        }
    })?;
    Ok(collected.to_bytes())
}

/// Who the client is: for nginx what it says, else this machine.
fn source_of(request: &Request<Body>) -> String {
    if request.extensions().get::<Arrival>() != Some(&Arrival::Gateway) {
        return "local".into();
    }
    let address = request.headers().get("x-real-ip").and_then(|v| v.to_str().ok());
    let address = address.and_then(|text| text.parse::<std::net::IpAddr>().ok());
    address.map_or_else(|| "unknown".into(), |address| address.to_canonical().to_string())
}

/// A problem as an answer (RFC 9457).
pub(crate) fn problem(problem: Problem) -> Response<Body> {
    let retry_after = problem.retry_after;
    let body = serde_json::to_vec(&problem).expect("plain data has a JSON form");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    if problem.status == 413 {
        // The rest of the body is not read.
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == 401 {
        let challenge = HeaderValue::from_static("Bearer realm=\"WCP360\"");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
    }
    response
}
