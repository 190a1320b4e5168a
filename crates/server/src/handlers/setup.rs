//! First boot.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::setup::{Setup, SetupStatus};

pub(crate) async fn status(call: Call) -> Answer {
    Ok(Reply::ok(&SetupStatus { system_initialized: call.engine().is_initialized().await? }))
}

pub(crate) async fn run(call: Call) -> Answer {
    let request: Setup = call.body()?;
    call.note.target(request.username.chars().take(64).collect::<String>());
    let done = call.engine().set_up(&call.origin, request).await?;
    Ok(Reply::created(&done))
}
