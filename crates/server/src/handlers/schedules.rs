//! Changes that are asked for later.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::schedule::CreateSchedule;
use wcp360_types::{Problem, ScheduleId};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let scope = call.caller()?.scope();
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.schedules(scope, limit, cursor.as_deref())).await?))
}

pub(crate) async fn show(call: Call) -> Answer {
    let (scope, id): (_, ScheduleId) = (call.caller()?.scope(), call.param("schedule")?);
    let found = call.engine().db().read(move |tx| tx.schedule(scope, id)).await?;
    Ok(Reply::ok(&found.ok_or_else(|| Problem::not_found("schedule", id))?))
}

pub(crate) async fn create(call: Call) -> Answer {
    let request: CreateSchedule = call.body()?;
    call.note.target(&request.account);
    Ok(Reply::created(&call.engine().create_schedule(call.caller()?, request).await?))
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.engine().delete_schedule(call.caller()?, call.param("schedule")?).await?;
    Ok(Reply::nothing())
}
