//! The audit trail.

use crate::call::{Answer, Call, Reply};
use axum::body::Body;
use http::{HeaderMap, StatusCode};
use std::convert::Infallible;
use wcp360_types::api::audit::{AuditExport, AuditFilter, AuditFormat};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter: AuditFilter = call.query()?;
    Ok(Reply::ok(&call.engine().audit().entries(call.caller()?, filter, limit, cursor).await?))
}

pub(crate) async fn export(call: Call) -> Answer {
    let filter: AuditFilter = call.query()?;
    let how: AuditExport = call.query()?;
    let (kind, name) = match how.format {
        AuditFormat::Jsonl => ("application/x-ndjson", "audit.jsonl"),
        AuditFormat::Csv => ("text/csv; charset=utf-8", "audit.csv"),
    };
    let parts = call.engine().audit().export(call.caller()?, filter, how).await?;
    let stream = futures_util::stream::unfold(parts, async |mut parts| {
        let part = parts.recv().await?;
        Some((Ok::<_, Infallible>(part), parts))
    });
    let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Body::from_stream(stream) };
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(reply.header(http::header::CONTENT_TYPE, kind).header(http::header::CONTENT_DISPOSITION, &disposition))
}

pub(crate) async fn key(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().audit().public_key().await?))
}

pub(crate) async fn rotate_key(call: Call) -> Answer {
    let origin = &call.origin;
    Ok(Reply::ok(&call.engine().audit().rotate_key(call.caller()?, &origin.source, &origin.request_id).await?))
}

pub(crate) async fn verify(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().audit().verify().await?))
}

pub(crate) async fn compare(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().compare_audit().await?))
}
