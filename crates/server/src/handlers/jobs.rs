//! Jobs.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::job::{JobFilter, JobLogQuery};
use wcp360_types::api::page::Page;
use wcp360_types::{JobId, Problem};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter: JobFilter = call.query()?;
    Ok(Reply::ok(&call.engine().db().jobs(call.caller()?.scope(), &filter, limit, cursor.as_deref()).await?))
}

pub(crate) async fn show(call: Call) -> Answer {
    let id: JobId = call.param("job")?;
    let job = call.engine().db().job(call.caller()?.scope(), id).await?;
    Ok(Reply::ok(&job.ok_or_else(|| Problem::not_found("job", id))?))
}

pub(crate) async fn log(call: Call) -> Answer {
    let id: JobId = call.param("job")?;
    let query: JobLogQuery = call.query()?;
    if call.engine().db().job(call.caller()?.scope(), id).await?.is_none() {
        return Err(Problem::not_found("job", id).into());
    }
    let items = call.engine().db().job_log(id, query.after.unwrap_or(0)).await?;
    Ok(Reply::ok(&Page { items, next_cursor: None }))
}
