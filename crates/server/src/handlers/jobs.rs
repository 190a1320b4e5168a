//! Jobs.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::job::{JobFilter, JobLogQuery, ResolveJob, UndoJob};
use wcp360_types::api::page::Page;
use wcp360_types::{JobId, Problem};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter: JobFilter = call.query()?;
    let scope = call.caller()?.scope();
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.jobs(scope, &filter, limit, cursor.as_deref())).await?))
}

pub(crate) async fn show(call: Call) -> Answer {
    let id: JobId = call.param("job")?;
    let job = call.engine().job(call.caller()?, id).await?;
    Ok(Reply::ok(&job.ok_or_else(|| Problem::not_found("job", id))?))
}

pub(crate) async fn log(call: Call) -> Answer {
    let id: JobId = call.param("job")?;
    let query: JobLogQuery = call.query()?;
    let scope = call.caller()?.scope();
    let lines = call.engine().db().read(move |tx| match tx.job(scope, id)? {
        Some(_) => tx.job_log(id, query.after.unwrap_or(0)).map(Some),
        None => Ok(None),
    });
    let items = lines.await?.ok_or_else(|| Problem::not_found("job", id))?;
    Ok(Reply::ok(&Page { items, next_cursor: None }))
}

pub(crate) async fn artifacts(call: Call) -> Answer {
    let items = call.engine().job_artifacts(call.caller()?, call.param("job")?).await?;
    Ok(Reply::ok(&Page { items, next_cursor: None }))
}

pub(crate) async fn cancel(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().cancel_job(call.caller()?, call.param("job")?).await?))
}

pub(crate) async fn retry(call: Call) -> Answer {
    let outcome = call.engine().retry_job(call.caller()?, call.param("job")?, call.job_request()?).await?;
    call.outcome(outcome)
}

pub(crate) async fn undo(call: Call) -> Answer {
    let request: UndoJob = call.maybe_body()?;
    let outcome = call.engine().undo_job(call.caller()?, call.param("job")?, request, call.job_request()?).await?;
    call.outcome(outcome)
}

pub(crate) async fn resolve(call: Call) -> Answer {
    let request: ResolveJob = call.body()?;
    Ok(Reply::ok(&call.engine().resolve_job(call.caller()?, call.param("job")?, request).await?))
}
