//! One's own sessions and login history.

use crate::call::{Answer, Call, Reply};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    Ok(Reply::ok(&call.engine().sessions(call.caller()?, None, limit, cursor).await?))
}

pub(crate) async fn revoke(call: Call) -> Answer {
    call.engine().revoke_session(call.caller()?, None, call.param("session")?).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn revoke_others(call: Call) -> Answer {
    call.engine().revoke_sessions(call.caller()?, None).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn logins(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter = call.query()?;
    Ok(Reply::ok(&call.engine().logins(call.caller()?, None, filter, limit, cursor).await?))
}
