//! The audit trail.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::audit::AuditFilter;

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter: AuditFilter = call.query()?;
    Ok(Reply::ok(&call.engine().audit().entries(call.caller()?.scope(), filter, limit, cursor).await?))
}
