//! Changes of many accounts at once.

use crate::call::{Answer, Call, Reply};
use wcp360_types::BulkId;
use wcp360_types::api::bulk::StartBulk;

pub(crate) async fn start(call: Call) -> Answer {
    let request: StartBulk = call.body()?;
    let outcome = call.engine().start_bulk(call.caller()?, request, call.job_request()?).await?;
    call.bulk_outcome(outcome)
}

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let scope = call.caller()?.scope();
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.bulks(scope, limit, cursor.as_deref())).await?))
}

pub(crate) async fn show(call: Call) -> Answer {
    let id: BulkId = call.param("bulk")?;
    Ok(Reply::ok(&call.engine().bulk(call.caller()?, id).await?))
}

pub(crate) async fn accounts(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let id: BulkId = call.param("bulk")?;
    Ok(Reply::ok(&call.engine().bulk_items(call.caller()?, id, limit, cursor).await?))
}
