//! Errors as people and programs see them: RFC 9457 problem details.

use serde::{Deserialize, Serialize};

/// One field that was refused, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FieldError {
    /// The field as the caller named it, e.g. `primary_domain` or `limits.disk_mb`.
    pub field: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// Every kind of problem: status, code, and what the status means.
pub const KINDS: &[(u16, &str, &str)] = &[
    (400, "bad-request", "The request can't be understood"),
    (401, "unauthenticated", "Nobody known is asking"),
    (403, "forbidden", "The caller may not do this"),
    (404, "not-found", "It does not exist, or the caller may not know that it does"),
    (405, "method-not-allowed", "The path has no such method"),
    (409, "conflict", "It collides with something that exists, or comes at the wrong time"),
    (412, "precondition-failed", "It was changed since the caller read it"),
    (413, "too-large", "The body is too large"),
    (415, "unsupported-media-type", "The body is not JSON"),
    (422, "invalid", "A field holds something that can't be used, or a limit would be exceeded"),
    (422, "limit-exceeded", "A limit would be exceeded"),
    (422, "rejected", "A service's own check refuses the configuration"),
    (426, "upgrade-required", "Only a WebSocket is answered here"),
    (429, "too-many-requests", "Too many requests; `Retry-After` says when to come again"),
    (500, "internal", "Our fault; the request id finds it in the log"),
    (500, "agent-failed", "The change could not be made, and was put back"),
    (500, "audit-key", "The key of the audit trail can't be used"),
    (503, "unavailable", "A part that is needed does not answer now, or the panel is being maintained"),
];

/// The body of every error answer (`application/problem+json`, RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// A stable identifier of the kind of problem, `urn:wcp360:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// The fields at fault, if the request's content was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Finds the request in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds to wait before the request is repeated, also in the header `Retry-After` (RFC 9110, section 10.2.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem of kind `code` (kebab-case, stable), e.g. `not-found`.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        debug_assert!(KINDS.iter().any(|kind| (kind.0, kind.1) == (status, code)), "{status} {code} is not described");
        Self {
            kind: format!("urn:wcp360:problem:{code}"),
            title: title.into(),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            request_id: None,
            retry_after: None,
        }
    }

    /// 400: the request can't be read at all.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "bad-request", "The request can't be understood", detail)
    }

    /// 401: nobody known is asking.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(401, "unauthenticated", "Please log in", detail)
    }

    /// 403: the caller is known and may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "forbidden", "Not allowed", detail)
    }

    /// 404: it does not exist, or the caller may not know that it does.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(404, "not-found", "Not found", format!("There is no {what} \"{name}\"."))
    }

    /// 409: it collides with something that exists.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, "conflict", "Conflict", detail)
    }

    /// 409 that is the fault of one field, e.g. a name that is taken.
    pub fn field_conflict(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut problem = Self::conflict(format!("{field}: {message}"));
        problem.errors.push(FieldError { field: field.into(), message });
        problem
    }

    /// 412: it changed since the caller read it.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(412, "precondition-failed", "It has changed meanwhile", detail)
    }

    /// 422: one field holds something that can't be used.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut problem = Self::new(422, "invalid", "Invalid input", format!("{field}: {message}"));
        problem.errors.push(FieldError { field: field.into(), message });
        problem
    }

    /// 422: a limit of the package or reseller would be exceeded.
    pub fn limit_exceeded(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut problem = Self::new(422, "limit-exceeded", "A limit would be exceeded", message.clone());
        problem.errors.push(FieldError { field: field.into(), message });
        problem
    }

    /// 429: too many attempts; `seconds` from now they are welcome again.
    pub fn too_many_requests(seconds: u64, detail: impl Into<String>) -> Self {
        let problem = Self::new(429, "too-many-requests", "Too many requests", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// 500: our fault; the details are in the log, not here.
    pub fn internal() -> Self {
        Self::new(
            500,
            "internal",
            "Internal error",
            "Something went wrong on our side; nothing was changed. The request id finds it in the log.",
        )
    }

    /// 503: a part that is needed does not answer now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, "unavailable", "Temporarily unavailable", detail)
    }

    /// The stable code inside [`Problem::kind`].
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}
