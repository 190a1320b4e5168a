//! One connection that listens.
//!
//! It has a position in the ring of events and no queue of its own. Who it belongs to is asked again all the time: a login
//! that is over, or that has other rights than it began with, ends it within a second.

use super::Place;
use crate::authenticate::authenticate;
use crate::call::{App, Call};
use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Response};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use wcp360_api::Permission;
use wcp360_engine::events::{Events, Listening, Lost, Position, Stored};
use wcp360_engine::{Caller, Origin};
use wcp360_types::api::event::{FromPanel, ToPanel, Topic};
use wcp360_types::api::session::Audience;
use wcp360_types::{Problem, Role};

/// How often it is asked who this is.
const RECHECK: Duration = Duration::from_millis(600);
/// How often the client is asked whether it is there, and how long it may be silent.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
/// Who does not take a message for so long is too slow,
const SLOW: Duration = Duration::from_secs(10);
/// and gets so long to be told so.
const FAREWELL: Duration = Duration::from_secs(5);
/// Messages of a client: bytes of one, and how many in a time.
const LARGEST: usize = 4096;
const MOST_MESSAGES: u32 = 30;
const MESSAGES_IN: Duration = Duration::from_secs(10);
/// Topics of one connection.
const MOST_TOPICS: usize = 64;
/// Events that are taken out of the ring at once.
const AT_ONCE: usize = 64;

/// Why a connection ends: RFC 6455, 7.4, and numbers of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    code: u16,
    reason: &'static str,
}

const fn end(code: u16, reason: &'static str) -> End {
    End { code, reason }
}

const GONE: End = end(1000, "");
const STOPPING: End = end(1001, "the panel stops; connect again in a moment");
const TOO_MUCH: End = end(1008, "too many messages");
const TOO_LARGE: End = end(1009, "the message is too large");
const OVER: End = end(4001, "the login is over; log in and connect again");
const CHANGED: End = end(4003, "your rights changed; connect again");
const TOO_SLOW: End = end(4008, "too slow: events come faster than they are taken");
const SILENT: End = end(4009, "no answer to pings");

/// Refuses topics that a caller may not listen to; of jobs that are not there for the caller too.
///
/// # Errors
/// 403, 404, or 422 for too many.
pub(crate) async fn check_topics(app: &App, caller: &Caller, topics: &[Topic]) -> Result<(), Problem> {
    if topics.len() > MOST_TOPICS {
        return Err(Problem::invalid("topics", format!("use {MOST_TOPICS} at most")));
    }
    for topic in topics {
        let permission = match topic {
            Topic::Jobs | Topic::Job(_) => Permission::JobsRead,
            Topic::Accounts => Permission::AccountsRead,
            Topic::Alerts => Permission::EventsRead,
            Topic::Audit => Permission::AuditRead,
        };
        if !caller.may(permission) {
            let name = permission.as_str();
            let detail = format!("The topic \"{topic}\" needs the permission \"{name}\", which you don't have.");
            return Err(Problem::forbidden(detail));
        }
        if let Topic::Job(id) = *topic {
            let scope = caller.scope();
            let found = app.engine.db().read(move |tx| tx.job(scope, id)).await;
            if found.map_err(|error| wcp360_engine::EngineError::from(error).into_problem())?.is_none() {
                return Err(Problem::not_found("job", id));
            }
        }
    }
    Ok(())
}

/// A connection.
pub(crate) struct Session {
    app: Arc<App>,
    events: Events,
    headers: HeaderMap,
    origin: Origin,
    caller: Caller,
    topics: BTreeSet<Topic>,
    position: Position,
    /// Whether events are missing before `position`.
    missed: bool,
    stopping: watch::Receiver<bool>,
    _place: Place,
    _listening: Listening,
}

impl Session {
    /// A connection of somebody who may listen to these topics.
    pub(crate) fn begin(call: &Call, caller: Caller, place: Place, topics: Vec<Topic>, after: Option<&str>) -> Self {
        let events = call.engine().events().clone();
        // From here on events are made.
        let listening = events.listen();
        let mut session = Self {
            app: call.app.clone(),
            headers: call.headers.clone(),
            origin: call.origin.clone(),
            caller,
            topics: topics.into_iter().collect(),
            position: events.now(),
            missed: false,
            stopping: call.app.sockets.stopping(),
            events,
            _place: place,
            _listening: listening,
        };
        if let Some(after) = after {
            session.go_to(after);
        }
        session
    }

    /// Answers the handshake; the rest runs by itself.
    pub(crate) fn upgrade(self, upgrade: WebSocketUpgrade) -> Response<Body> {
        upgrade
            .max_message_size(LARGEST)
            .max_frame_size(LARGEST)
            .write_buffer_size(16 * 1024)
            .max_write_buffer_size(16 * 1024 * 1024)
            .on_upgrade(|socket| self.run(socket))
    }

    /// Goes back to a position, if what followed it is still there.
    fn go_to(&mut self, text: &str) {
        let there = text.parse::<Position>().and_then(|mut position| {
            self.events.read(&mut position, 0)?;
            Ok(position)
        });
        match there {
            Ok(position) => self.position = position,
            Err(Lost) => {
                self.position = self.events.now();
                self.missed = true;
            }
        }
    }

    async fn run(mut self, socket: WebSocket) {
        let (sink, stream) = socket.split();
        let mut recheck = interval(RECHECK);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut line = Line { sink, recheck };
        let mut hearing = Hearing { stream, heard: Instant::now(), window: Instant::now(), count: 0 };
        let Err(end) = self.converse(&mut line, &mut hearing).await;
        tracing::debug!(user = self.caller.username, code = end.code, reason = end.reason, "stops listening");
        let farewell = async {
            let frame = CloseFrame { code: end.code, reason: end.reason.into() };
            if line.sink.send(Message::Close(Some(frame))).await.is_ok() {
                // Until the client has closed too; what it still says is not heard.
                while let Some(Ok(_)) = hearing.stream.next().await {}
            }
        };
        let patience = if end == TOO_SLOW { FAREWELL } else { Duration::from_secs(1) };
        let _ = timeout(patience, farewell).await;
    }

    /// Goes on until there is a reason to end.
    async fn converse(&mut self, line: &mut Line, hearing: &mut Hearing) -> Result<std::convert::Infallible, End> {
        let mut newest = self.events.newest();
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.greet(line).await?;
        loop {
            newest.borrow_and_update();
            self.catch_up(line).await?;
            let mut stopping = self.stopping.clone();
            tokio::select! {
                () = stopped(&mut stopping) => return Err(STOPPING),
                _ = line.recheck.tick() => self.recheck().await?,
                _ = newest.changed() => {}
                message = hearing.next() => {
                    if let Some(message) = message? {
                        self.answer(message, line).await?;
                    }
                }
                _ = ping.tick() => {
                    if hearing.heard.elapsed() > SILENCE {
                        return Err(SILENT);
                    }
                    self.send(line, Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    /// Whether the caller is still who it was.
    async fn recheck(&self) -> Result<(), End> {
        let Ok(Some(now)) = authenticate(&self.app, &self.headers, Audience::Ws, &self.origin, false).await else {
            return Err(OVER);
        };
        let before = &self.caller;
        let same = now.user_id == before.user_id
            && now.role == before.role
            && now.account_id == before.account_id
            && now.limited_to == before.limited_to;
        if !same || !now.may(Permission::EventsRead) {
            return Err(CHANGED);
        }
        Ok(())
    }

    /// Says what is listened to, and whether something was missed.
    async fn greet(&mut self, line: &mut Line) -> Result<(), End> {
        let topics = self.topics.iter().copied().collect();
        self.say(line, &FromPanel::Subscribed { topics, position: self.position.to_string() }).await?;
        if std::mem::take(&mut self.missed) {
            self.say(line, &FromPanel::Resync { position: self.position.to_string() }).await?;
        }
        Ok(())
    }

    /// Sends what has happened since.
    async fn catch_up(&mut self, line: &mut Line) -> Result<(), End> {
        loop {
            let Ok(found) = self.events.read(&mut self.position, AT_ONCE) else { return Err(TOO_SLOW) };
            if found.is_empty() {
                return Ok(());
            }
            for event in found {
                if let Some(text) = self.visible(&event) {
                    self.send(line, Message::Text(text.into())).await?;
                }
            }
        }
    }

    /// An event's message, if it is for this connection.
    fn visible(&self, event: &Stored) -> Option<String> {
        let wanted = event.topics.iter().any(|topic| self.topics.contains(topic));
        if !wanted || !event.audience.includes(self.caller.scope()) {
            return None;
        }
        let others = event.actor.as_ref().is_some_and(|actor| *actor != self.caller.username);
        if others && self.caller.role == Role::Client {
            // As in the list: from where others work on an account is not told to its client.
            let mut value: serde_json::Value = serde_json::from_str(&event.text).ok()?;
            *value.pointer_mut("/entry/source")? = "-".into();
            return Some(value.to_string());
        }
        Some(event.text.clone())
    }

    async fn answer(&mut self, text: String, line: &mut Line) -> Result<(), End> {
        let message: ToPanel = match serde_json::from_str(&text) {
            Ok(message) => message,
            Err(error) => return self.refuse(line, "not-understood", error.to_string()).await,
        };
        match message {
            ToPanel::Ping => self.say(line, &FromPanel::Pong).await,
            ToPanel::Unsubscribe { topics } => {
                self.topics.retain(|topic| !topics.contains(topic));
                self.greet(line).await
            }
            ToPanel::Subscribe { topics, after } => {
                let mut all = self.topics.clone();
                all.extend(topics.iter().copied());
                if all.len() > MOST_TOPICS {
                    let detail = format!("A connection has {MOST_TOPICS} topics at most.");
                    return self.refuse(line, "too-many-topics", detail).await;
                }
                if let Err(problem) = check_topics(&self.app, &self.caller, &topics).await {
                    let code = problem.code().to_owned();
                    return self.refuse(line, &code, problem.detail).await;
                }
                self.topics = all;
                if let Some(after) = after {
                    self.go_to(&after);
                }
                self.greet(line).await
            }
        }
    }

    async fn refuse(&self, line: &mut Line, code: &str, detail: String) -> Result<(), End> {
        self.say(line, &FromPanel::Error { code: code.to_owned(), detail }).await
    }

    async fn say(&self, line: &mut Line, message: &FromPanel) -> Result<(), End> {
        let text = serde_json::to_string(message).expect("plain data has a JSON form");
        self.send(line, Message::Text(text.into())).await
    }

    /// Sends, and looks meanwhile whether it still may.
    async fn send(&self, line: &mut Line, message: Message) -> Result<(), End> {
        let Line { sink, recheck } = line;
        let sending = sink.send(message);
        let too_late = sleep_until(Instant::now() + SLOW);
        tokio::pin!(sending, too_late);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent.map_err(|_| GONE),
                () = &mut too_late => return Err(TOO_SLOW),
                _ = recheck.tick() => self.recheck().await?,
            }
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// What is said, and when it is asked whether it may be.
struct Line {
    sink: SplitSink<WebSocket, Message>,
    recheck: Interval,
}

/// What is heard.
struct Hearing {
    stream: SplitStream<WebSocket>,
    /// When something was heard last.
    heard: Instant,
    /// Since when messages are counted, and how many there were.
    window: Instant,
    count: u32,
}

impl Hearing {
    /// The next message of the client; `None`: something that needs no answer.
    async fn next(&mut self) -> Result<Option<String>, End> {
        let message = match self.stream.next().await {
            None => return Err(GONE),
            Some(Err(error)) => {
                return Err(if format!("{error}").contains("too") { TOO_LARGE } else { GONE });
            }
            Some(Ok(message)) => message,
        };
        self.heard = Instant::now();
        if self.window.elapsed() > MESSAGES_IN {
            self.window = Instant::now();
            self.count = 0;
        }
        self.count += 1;
        if self.count > MOST_MESSAGES {
            return Err(TOO_MUCH);
        }
        match message {
            Message::Text(text) => Ok(Some(text.as_str().to_owned())),
            Message::Close(_) => Err(GONE),
            // Pings are answered by themselves.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => Ok(None),
        }
    }
}
