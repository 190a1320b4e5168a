//! Listening to what happens.

use crate::call::{Answer, Call, Reply};
use crate::ws::{Session, check_topics};
use wcp360_types::Problem;
use wcp360_types::api::event::{Listen, Topic};

pub(crate) async fn listen(mut call: Call) -> Answer {
    let listen: Listen = call.query()?;
    let named = listen.topics.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty());
    let topics: Result<Vec<Topic>, _> = named.map(str::parse).collect();
    let topics = topics.map_err(|error| Problem::invalid("topics", error.to_string()))?;
    let caller = call.caller()?.clone();
    check_topics(&call.app, &caller, &topics).await?;
    let Some(upgrade) = call.upgrade.take() else {
        let detail = "This is a WebSocket; connect with a WebSocket client, or read /jobs and /audit instead.";
        return Err(Problem::new(426, "upgrade-required", "A WebSocket is needed", detail).into());
    };
    let place = call.app.sockets.place(caller.user_id)?;
    let response = Session::begin(&call, caller, place, topics, listen.after.as_deref()).upgrade(upgrade);
    let (parts, body) = response.into_parts();
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}
