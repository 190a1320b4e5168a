//! One call of one operation: what handlers get and give.

use crate::handlers::system::NodeFacts;
use crate::ws::Sockets;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use wcp360_api::Operation;
use wcp360_engine::audit::About;
use wcp360_engine::service::JobRequest;
use wcp360_engine::{BulkOutcome, Caller, Engine, EngineError, Origin, Outcome};
use wcp360_types::api::job::DryRun;
use wcp360_types::api::page::PageQuery;
use wcp360_types::{Problem, Revision};

/// What all calls share.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) sockets: Sockets,
    pub(crate) node: NodeFacts,
}

/// A call whose caller was authenticated and holds the operation's permission.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) operation: &'static Operation,
    pub(crate) origin: Origin,
    pub(crate) params: HashMap<String, String>,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) caller: Option<Caller>,
    pub(crate) note: AuditNote,
    /// Of a WebSocket's handshake.
    pub(crate) upgrade: Option<WebSocketUpgrade>,
}

/// What a handler adds to the call's audit entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditNote(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    target: Option<String>,
    caller: Option<Caller>,
    about: Option<About>,
}

impl AuditNote {
    /// Names what the call is about, where the path does not.
    pub(crate) fn target(&self, target: impl Display) {
        self.0.lock().expect("no panic while noting").target = Some(target.to_string());
    }

    /// Names who it was that logged in.
    pub(crate) fn by(&self, caller: &Caller) {
        self.0.lock().expect("no panic while noting").caller = Some(caller.clone());
    }

    /// Names whose account it is about.
    pub(crate) fn concerns(&self, about: About) {
        self.0.lock().expect("no panic while noting").about = Some(about);
    }

    pub(crate) fn about(&self) -> About {
        self.0.lock().expect("no panic while noting").about.clone().unwrap_or(About::Other)
    }

    pub(crate) fn read(&self) -> Option<String> {
        self.0.lock().expect("no panic while noting").target.clone()
    }

    pub(crate) fn caller(&self) -> Option<Caller> {
        self.0.lock().expect("no panic while noting").caller.clone()
    }
}

/// What a handler answers.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Reply {
    /// An answer with a JSON body.
    pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let text = serde_json::to_vec(body).expect("plain data has a JSON form");
        Self { status, headers, body: Body::from(text) }
    }

    /// 200 with a JSON body.
    pub(crate) fn ok<T: Serialize>(body: &T) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 201 with a JSON body.
    pub(crate) fn created<T: Serialize>(body: &T) -> Self {
        Self::json(StatusCode::CREATED, body)
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Body::empty() }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn into_response(self) -> http::Response<Body> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// How every handler ends.
pub(crate) type Answer = Result<Reply, EngineError>;

impl Call {
    pub(crate) fn engine(&self) -> &Engine {
        &self.app.engine
    }

    /// The caller. Handlers of public operations have none and must not ask.
    pub(crate) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(|| Problem::unauthenticated("Please log in."))
    }

    /// A parameter of the path. A value that can't exist is answered as one that does not.
    pub(crate) fn param<T: FromStr>(&self, name: &str) -> Result<T, Problem>
    where
        T::Err: Display,
    {
        let text = self.params.get(name).map(String::as_str).unwrap_or_default();
        text.parse().map_err(|_| Problem::not_found(name, text.chars().take(80).collect::<String>()))
    }

    /// The body.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let content_type =
            self.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with("application/json") {
            let detail = "Send the body as JSON, with the header Content-Type: application/json.";
            return Err(Problem::new(415, "unsupported-media-type", "Not JSON", detail));
        }
        if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&self.body)
            && let Some((field, remedy)) = wcp360_api::openapi::mismatch(self.operation, &value)
        {
            return Err(Problem::invalid(&field, remedy));
        }
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            let reason = inner.to_string();
            // Where it is in the text does not help who filled in a form.
            let reason = reason.split(" at line ").next().unwrap_or(&reason);
            match inner.classify() {
                serde_json::error::Category::Data => Problem::invalid(&field_of(&path, reason), in_words(reason)),
                _ => Problem::bad_request(format!("The body is not valid JSON: {reason}.")),
            }
        })?;
        json.end().map_err(|_| Problem::bad_request("There is something after the end of the JSON body."))?;
        Ok(value)
    }

    /// The JSON body, of which nothing to say is no body at all.
    pub(crate) fn maybe_body<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body.is_empty() { Ok(T::default()) } else { self.body() }
    }

    /// The query.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let parser = serde_urlencoded::Deserializer::new(self.query_parser());
        serde_path_to_error::deserialize(parser).map_err(|error| {
            let field = error.path().to_string();
            let reason = error.into_inner().to_string();
            let reason = if reason.contains("invalid digit") { "use a whole number" } else { &reason };
            Problem::invalid(&field, reason)
        })
    }

    fn query_parser(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// Entries per page and cursor.
    pub(crate) fn page(&self) -> Result<(u32, Option<String>), Problem> {
        let page: PageQuery = self.query()?;
        let limit = page.limit.unwrap_or(100);
        if !(1..=1000).contains(&limit) {
            return Err(Problem::invalid("limit", "use 1 to 1000"));
        }
        Ok((limit, page.cursor))
    }

    /// How a change of an account is asked for: headers and `dry_run`.
    pub(crate) fn job_request(&self) -> Result<JobRequest, Problem> {
        let dry: DryRun = self.query()?;
        // Done, where somebody asked what would be done, is the worst of answers.
        if dry.dry_run && !self.operation.plans() {
            return Err(Problem::invalid("dry_run", "this can't be planned ahead; leave it out"));
        }
        let if_match = match self.header("if-match")? {
            None => None,
            Some("*") => None,
            Some(text) => {
                let bare = text.trim_matches('"');
                Some(bare.parse::<Revision>().map_err(|e| Problem::invalid("If-Match", e.to_string()))?)
            }
        };
        if if_match.is_some() && !self.operation.if_match {
            return Err(Problem::invalid("If-Match", "this does not look at it; leave it out"));
        }
        let idempotency = match self.header("idempotency-key")? {
            None => None,
            Some(key) if (1..=128).contains(&key.len()) => Some((key.to_owned(), self.digest())),
            Some(_) => return Err(Problem::invalid("Idempotency-Key", "use 1 to 128 characters")),
        };
        Ok(JobRequest {
            operation: self.operation.id,
            origin: self.origin.clone(),
            dry_run: dry.dry_run,
            if_match,
            idempotency,
            undoes: None,
            authority: None,
            schedule: None,
            priority: 0,
        })
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        let value = self.headers.get(name).map(|v| v.to_str());
        value.transpose().map_err(|_| Problem::invalid(name, "use printable ASCII characters"))
    }

    /// What the request asks for, so that a key can't be used for two different ones.
    fn digest(&self) -> String {
        let mut params: Vec<_> = self.params.iter().collect();
        params.sort();
        let digest = Sha256::new()
            .chain_update(self.operation.id)
            .chain_update(format!("{params:?}?{}", self.query))
            .chain_update(&self.body)
            .finalize();
        digest.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// 202 with the job, or 200 with the plan.
    pub(crate) fn outcome(&self, outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Planned(plan) => Ok(Reply::ok(&plan)),
            Outcome::Queued(job) => {
                let location = format!("/api/v1/jobs/{}", job.id);
                Ok(Reply::json(StatusCode::ACCEPTED, &job).header(http::header::LOCATION, &location))
            }
        }
    }

    /// 202 with the bulk change, or 200 with what it would do.
    pub(crate) fn bulk_outcome(&self, outcome: BulkOutcome) -> Answer {
        match outcome {
            BulkOutcome::Planned(plan) => Ok(Reply::ok(&plan)),
            BulkOutcome::Started(bulk) => {
                let location = format!("/api/v1/bulk/{}", bulk.id);
                Ok(Reply::json(StatusCode::ACCEPTED, &bulk).header(http::header::LOCATION, &location))
            }
        }
    }
}

/// serde's messages as they are meant for people.
fn in_words(reason: &str) -> String {
    if reason.starts_with("missing field") {
        return "it is required; add it".into();
    }
    if let Some((_, known)) = reason.split_once("expected one of ").filter(|_| reason.starts_with("unknown field")) {
        return format!("there is no such field; the fields are {}", known.replace('`', ""));
    }
    if let Some((_, known)) = reason.split_once("expected ").filter(|_| reason.starts_with("unknown variant")) {
        return format!("there is no such value; use {}", known.replace('`', "").replace("one of ", ""));
    }
    reason.to_owned()
}

/// The field at fault: its path, or for a missing or unknown field of the body itself the name in serde's message.
fn field_of(path: &str, reason: &str) -> String {
    let named =
        reason.split('`').nth(1).filter(|_| reason.starts_with("missing field") || reason.starts_with("unknown field"));
    match (path, named) {
        (".", Some(name)) => name.to_owned(),
        (path, Some(name)) if reason.starts_with("missing field") => format!("{path}.{name}"),
        (".", None) => "body".to_owned(),
        (path, _) => path.to_owned(),
    }
}
