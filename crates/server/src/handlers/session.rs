//! Sessions.

use crate::call::{Answer, Call, Reply};
use crate::dispatch::SESSION_COOKIE;
use wcp360_types::api::session::Login;

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

pub(crate) async fn login(call: Call) -> Answer {
    let login: Login = call.body()?;
    call.note.target(login.username.chars().take(64).collect::<String>());
    let (caller, session) = call.engine().log_in(&call.origin.source, login).await?;
    call.note.by(&caller);
    let identity = call.engine().identity(&caller).await?;
    let cookie = format!("{SESSION_COOKIE}={session}; {ATTRIBUTES}");
    Ok(Reply::ok(&identity).header(http::header::SET_COOKIE, &cookie))
}

pub(crate) async fn show(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().identity(call.caller()?).await?))
}

pub(crate) async fn logout(call: Call) -> Answer {
    call.engine().log_out(call.caller()?).await?;
    let cookie = format!("{SESSION_COOKIE}=; {ATTRIBUTES}; Max-Age=0");
    Ok(Reply::nothing().header(http::header::SET_COOKIE, &cookie))
}
