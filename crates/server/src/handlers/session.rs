//! Sessions.

use crate::authenticate::{SESSION_COOKIE, session_of};
use crate::call::{Answer, Call, Reply};
use wcp360_engine::identity::Attempt;
use wcp360_types::api::session::{Login, MintJwt};

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

pub(crate) async fn login(call: Call) -> Answer {
    let login: Login = call.body()?;
    call.note.target(login.username.chars().take(64).collect::<String>());
    let user_agent = call.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    let attempt = Attempt {
        user_agent: user_agent.unwrap_or_default().to_owned(),
        session: session_of(&call.headers).map(str::to_owned),
    };
    let (caller, session) = call.engine().log_in(&call.origin, attempt, login).await?;
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

pub(crate) async fn jwt(call: Call) -> Answer {
    let request: MintJwt = call.maybe_body()?;
    Ok(Reply::created(&call.engine().mint_jwt(call.caller()?, &request)?))
}
