//! People who can log in.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::account::SuspendAccount;
use wcp360_types::api::reseller::ResellerLimits;
use wcp360_types::api::user::{CreateUser, SetPassword};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let scope = call.caller()?.scope();
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.users(scope, limit, cursor.as_deref())).await?))
}

pub(crate) async fn create(call: Call) -> Answer {
    let request: CreateUser = call.body()?;
    Ok(Reply::created(&call.engine().create_user(&call.origin, call.caller()?, request).await?))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let name: String = call.param("user")?;
    call.engine().delete_user(call.caller()?, &name).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn set_password(call: Call) -> Answer {
    let name: String = call.param("user")?;
    let request: SetPassword = call.body()?;
    call.engine().set_password(&call.origin, call.caller()?, &name, request).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn sessions(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let name: String = call.param("user")?;
    Ok(Reply::ok(&call.engine().sessions(call.caller()?, Some(&name), limit, cursor).await?))
}

pub(crate) async fn revoke_session(call: Call) -> Answer {
    let name: String = call.param("user")?;
    let id = call.param("session")?;
    call.engine().revoke_session(call.caller()?, Some(&name), id).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn end_sessions(call: Call) -> Answer {
    let name: String = call.param("user")?;
    call.engine().revoke_sessions(call.caller()?, Some(&name)).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn logins(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter = call.query()?;
    let name: String = call.param("user")?;
    Ok(Reply::ok(&call.engine().logins(call.caller()?, Some(&name), filter, limit, cursor).await?))
}

pub(crate) async fn tokens(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let name: String = call.param("user")?;
    Ok(Reply::ok(&call.engine().tokens(call.caller()?, Some(&name), limit, cursor).await?))
}

pub(crate) async fn revoke_token(call: Call) -> Answer {
    let name: String = call.param("user")?;
    let id = call.param("token")?;
    call.engine().revoke_token(call.caller()?, Some(&name), id).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn usage(call: Call) -> Answer {
    let name: String = call.param("user")?;
    Ok(Reply::ok(&call.engine().usage(call.caller()?, &name).await?))
}

pub(crate) async fn limits(call: Call) -> Answer {
    let name: String = call.param("user")?;
    Ok(Reply::ok(&call.engine().reseller_limits(call.caller()?, &name).await?))
}

pub(crate) async fn set_limits(call: Call) -> Answer {
    let limits: ResellerLimits = call.body()?;
    let name: String = call.param("user")?;
    Ok(Reply::ok(&call.engine().set_reseller_limits(call.caller()?, &name, limits).await?))
}

pub(crate) async fn suspend(call: Call) -> Answer {
    let request: SuspendAccount = call.maybe_body()?;
    let (name, how): (String, _) = (call.param("user")?, call.job_request()?);
    let outcome = call.engine().suspend_reseller(call.caller()?, &name, request.reason, how).await?;
    call.bulk_outcome(outcome)
}

pub(crate) async fn unsuspend(call: Call) -> Answer {
    let (name, how): (String, _) = (call.param("user")?, call.job_request()?);
    let outcome = call.engine().unsuspend_reseller(call.caller()?, &name, how).await?;
    call.bulk_outcome(outcome)
}
