//! Listening to the real binary, with a real WebSocket client (ENG-09).

#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

mod panel;

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use panel::Panel;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use wcp360_store::Db;
use wcp360_store::jobs::{NewJob, Request, Subject};
use wcp360_types::{AccountId, JobId, UserId};

/// How somebody shows who they are.
#[derive(Clone)]
enum As<'a> {
    Token(&'a str),
    /// With a cookie, from a page of this origin.
    Cookie(&'a str, &'a str),
    Nobody,
}

struct Listener<S>(WebSocketStream<S>);

async fn over<S>(stream: S, query: &str, who: &As<'_>) -> Result<Listener<S>, u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("ws://panel.test/api/v1/ws?{query}").into_client_request().unwrap();
    let headers = request.headers_mut();
    let mut set = |name: &'static str, value: &str| headers.insert(name, HeaderValue::from_str(value).unwrap());
    match who {
        As::Token(token) => drop(set("authorization", &format!("Bearer {token}"))),
        As::Cookie(cookie, origin) => {
            set("cookie", cookie);
            if !origin.is_empty() {
                set("origin", origin);
            }
        }
        As::Nobody => {}
    }
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(Listener(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn listen(panel: &Panel, query: &str, who: As<'_>) -> Result<Listener<TcpStream>, u16> {
    over(TcpStream::connect(panel.address).await.unwrap(), query, &who).await
}

impl<S: AsyncRead + AsyncWrite + Unpin> Listener<S> {
    /// The next message, or the code with which the panel closed.
    async fn next(&mut self) -> Result<Value, (u16, String)> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("silence");
            match next {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.unwrap();
                    return Err((frame.code.into(), frame.reason.as_str().to_owned()));
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return Err((0, String::new())),
            }
        }
    }

    /// The next event.
    async fn event(&mut self) -> Value {
        loop {
            let message = self.next().await.expect("an event");
            if message["type"] == "event" {
                return message;
            }
        }
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }
}

/// Something that leaves an entry in the trail.
fn make_token(panel: &Panel, name: &str) {
    assert_eq!(panel.root("POST", "/tokens", &json!({"name": name}).to_string()).0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_09_only_who_may_gets_in() {
    let panel = Panel::start();
    let cookie = panel.reseller("sam");
    let code = async |query: &str, who: As<'_>| listen(&panel, query, who).await.map(|_| ()).err();
    assert_eq!(code("", As::Nobody).await, Some(401));
    assert_eq!(code("", As::Token("wcp_api_nonsense")).await, Some(401));
    assert_eq!(code("", As::Token(&panel.token)).await, None);
    // A page of another site has the cookie too.
    for origin in ["https://evil.test", "https://panel.test.evil.test", "null", ""] {
        assert_eq!(code("", As::Cookie(&cookie, origin)).await, Some(403), "{origin}");
    }
    assert_eq!(code("", As::Cookie(&cookie, "https://panel.test")).await, None);
    // Topics need their own permissions.
    let narrow = |scopes: Value| {
        let body = json!({"name": "narrow", "scopes": scopes}).to_string();
        panel.root("POST", "/tokens", &body).json()["secret"].as_str().unwrap().to_owned()
    };
    let events = narrow(json!(["events.read"]));
    assert_eq!(code("topics=alerts", As::Token(&events)).await, None);
    for topic in ["jobs", "accounts", "audit", "job:019f0000-0000-7000-8000-000000000000"] {
        assert_eq!(code(&format!("topics={topic}"), As::Token(&events)).await, Some(403), "{topic}");
    }
    assert_eq!(code("topics=jobs", As::Token(&narrow(json!(["jobs.read"])))).await, Some(403));
    assert_eq!(code("topics=nonsense", As::Token(&panel.token)).await, Some(422));
    let missing = "topics=job:019f0000-0000-7000-8000-000000000000";
    assert_eq!(code(missing, As::Token(&panel.token)).await, Some(404));
    // Not a handshake.
    assert_eq!(panel.root("GET", "/ws", "").0, 426);
    assert_eq!(panel.call("", "GET", "/ws", "").0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_09_events_come_in_order_and_go_on_from_a_position() {
    let panel = Panel::start();
    let mut one = listen(&panel, "topics=audit", As::Token(&panel.token)).await.ok().unwrap();
    assert_eq!(one.next().await.unwrap()["type"], "subscribed");
    make_token(&panel, "a");
    let mut last = 0;
    let mut position = String::new();
    while last == 0 || position.is_empty() {
        let event = one.event().await;
        assert_eq!(event["event"], "audit");
        let seq = event["entry"]["seq"].as_u64().unwrap();
        assert!(last == 0 || seq == last + 1, "{seq} after {last}");
        last = seq;
        if event["entry"]["action"] == "tokens.create" && event["entry"]["outcome"] == "succeeded" {
            position = event["position"].as_str().unwrap().to_owned();
        }
    }
    drop(one);
    // What happens meanwhile is not lost.
    make_token(&panel, "b");
    let mut two =
        listen(&panel, &format!("topics=audit&after={position}"), As::Token(&panel.token)).await.ok().unwrap();
    let event = two.event().await;
    assert_eq!(event["entry"]["seq"].as_u64().unwrap(), last + 1);
    // A position that leads nowhere.
    for after in ["nonsense", "0000000000000001-5"] {
        let query = format!("topics=audit&after={after}");
        let mut lost = listen(&panel, &query, As::Token(&panel.token)).await.ok().unwrap();
        assert_eq!(lost.next().await.unwrap()["type"], "subscribed");
        assert_eq!(lost.next().await.unwrap()["type"], "resync");
    }
    // Topics come and go; what is not understood does not end it.
    let mut talk = listen(&panel, "", As::Token(&panel.token)).await.ok().unwrap();
    assert_eq!(talk.next().await.unwrap()["topics"], json!([]));
    talk.say(json!({"type": "ping"})).await;
    assert_eq!(talk.next().await.unwrap()["type"], "pong");
    talk.say(json!({"type": "dance"})).await;
    assert_eq!(talk.next().await.unwrap()["code"], "not-understood");
    talk.say(json!({"type": "subscribe", "topics": ["audit", "alerts"]})).await;
    assert_eq!(talk.next().await.unwrap()["topics"], json!(["alerts", "audit"]));
    make_token(&panel, "c");
    assert_eq!(talk.event().await["event"], "audit");
    for _ in 0..40 {
        let _ = talk.0.send(Message::text("{}")).await;
    }
    loop {
        match talk.next().await {
            Ok(_) => {}
            Err((code, _)) => break assert_eq!(code, 1008),
        }
    }
    let mut large = listen(&panel, "", As::Token(&panel.token)).await.ok().unwrap();
    large.next().await.unwrap();
    let _ = large.0.send(Message::text("x".repeat(10_000))).await;
    assert_eq!(large.next().await.unwrap_err().0, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_09_jobs_are_told_to_those_whose_they_are() {
    let panel = Panel::start();
    let (sam, tom) = (panel.reseller("sam"), panel.reseller("tom"));
    let db = Db::open_sqlite(&panel.path("state/state.db")).await.unwrap();
    let sam_id = db.read(|tx| tx.user_by_name("sam")).await.unwrap().unwrap().id;
    let origin = "https://panel.test";
    let mut all = listen(&panel, "topics=jobs,accounts", As::Token(&panel.token)).await.ok().unwrap();
    let mut own = listen(&panel, "topics=jobs", As::Cookie(&sam, origin)).await.ok().unwrap();
    let mut other = listen(&panel, "topics=jobs,accounts,audit", As::Cookie(&tom, origin)).await.ok().unwrap();
    other.next().await.unwrap();
    // A job that nobody told this process of, as of another core on the same database.
    let job = waiting_job(sam_id);
    let id = job.id;
    db.write(move |tx| {
        let now = Timestamp::now();
        let second = jiff::SignedDuration::from_secs(1);
        tx.insert_job(&job, now)?;
        // Its next attempt is in some seconds: that is when the panel's own workers look for it.
        let leased = tx.lease_job(now, second)?.expect("the job");
        let steps = leased.steps.clone();
        tx.postpone_job(&leased, &steps, "later", now + second * 4, now)
    })
    .await
    .unwrap();
    let seen = all.event().await;
    assert_eq!((&seen["event"], &seen["job"]["id"]), (&json!("job"), &json!(id.to_string())));
    assert_eq!(own.event().await["job"]["id"], id.to_string());
    let topic = format!("topics=job:{id}");
    let mut followed = listen(&panel, &topic, As::Cookie(&sam, origin)).await.ok().unwrap();
    assert_eq!(listen(&panel, &topic, As::Cookie(&tom, origin)).await.err(), Some(404));
    db.write(move |tx| tx.log_job(id, Some("only"), &["a line".to_owned()], Timestamp::now())).await.unwrap();
    // It runs when its time has come.
    loop {
        let event = all.event().await;
        if event["event"] == "account" {
            break assert_eq!((&event["account"], &event["change"]), (&json!("alice"), &json!("changed")));
        }
    }
    let mut line = false;
    loop {
        let event = followed.event().await;
        line |= event["lines"][0]["message"] == "a line";
        if event["job"]["state"] == "succeeded" {
            break;
        }
    }
    assert!(line, "the log's line did not come");
    // The other reseller hears nothing of all that, only of its own login.
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(1500), other.event()).await {
        assert_eq!(event["entry"]["actor"], "tom", "{event}");
    }
}

/// A job that does nothing, and that nobody wakes the workers for before it is due.
fn waiting_job(owner: UserId) -> NewJob {
    let account = AccountId::new();
    NewJob {
        id: JobId::new(),
        request: Request {
            operation: "accounts.suspend".into(),
            actor: "sam".into(),
            actor_id: Some(owner),
            source: "local".into(),
            request_id: "r".into(),
            payload: json!({"workflow": "nothing"}).to_string(),
        },
        subject: Subject {
            lane: account.to_string(),
            tenant: owner.to_string(),
            account_id: Some(account),
            account: Some("alice".parse().unwrap()),
            owner_id: owner,
        },
        steps: &["only"],
        priority: 0,
        schedule: None,
        undoes: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_09_who_loses_a_right_loses_the_connection_within_a_second() {
    let panel = Panel::start();
    let origin = "https://panel.test";
    let sam = panel.reseller("sam");
    let made = panel.root("POST", "/tokens", r#"{"name": "short"}"#).json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let mut by_token = listen(&panel, "topics=audit", As::Token(secret)).await.ok().unwrap();
    let mut by_session = listen(&panel, "topics=audit", As::Cookie(&sam, origin)).await.ok().unwrap();
    let mut demoted = listen(&panel, "topics=audit", As::Cookie(&panel.log_in("sam"), origin)).await.ok().unwrap();
    let ends = async |listener: &mut Listener<TcpStream>, since: Instant, code: u16| loop {
        match listener.next().await {
            Ok(_) => {}
            Err((found, reason)) => {
                assert_eq!(found, code, "{reason}");
                assert!(since.elapsed() < Duration::from_millis(1000), "after {:?}", since.elapsed());
                break;
            }
        }
    };
    let since = Instant::now();
    assert_eq!(panel.root("DELETE", &format!("/tokens/{id}"), "").0, 204);
    ends(&mut by_token, since, 4001).await;
    let since = Instant::now();
    let header = format!("Cookie: {sam}\r\nOrigin: {origin}\r\n");
    assert_eq!(panel.call_with(&header, "DELETE", "/session", "").0, 204);
    ends(&mut by_session, since, 4001).await;
    let since = Instant::now();
    let done = std::process::Command::new("python3")
        .args(["-c", "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute(\"UPDATE users SET role = 'client' WHERE username = 'sam'\"); d.commit()"])
        .arg(panel.path("state/state.db"))
        .status()
        .unwrap();
    assert!(done.success());
    ends(&mut demoted, since + Duration::from_millis(300), 4003).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_09_a_slow_listener_is_dropped_with_a_reason_and_hurts_nobody() {
    let panel = Panel::start();
    // Over the gateway's socket: what fits between is little and known.
    let stream = UnixStream::connect(panel.path("socket/api.sock")).await.unwrap();
    let mut slow = over(stream, "topics=audit", &As::Token(&panel.token)).await.ok().unwrap();
    let mut quick = listen(&panel, "topics=audit", As::Token(&panel.token)).await.ok().unwrap();
    let busy = std::thread::spawn({
        let (address, token) = (panel.address, panel.token.clone());
        move || {
            use std::io::{Read, Write};
            let began = Instant::now();
            let mut longest = Duration::ZERO;
            let mut count = 0;
            while began.elapsed() < Duration::from_secs(14) {
                let call = Instant::now();
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                let body = format!(r#"{{"enabled": false, "message": "{}"}}"#, "n".repeat(40));
                let head = format!(
                    "PUT /api/v1/maintenance HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
                longest = longest.max(call.elapsed());
                count += 1;
            }
            (count, longest)
        }
    });
    let mut heard = 0u64;
    let mut last = 0;
    while !busy.is_finished() {
        if let Ok(Ok(event)) = tokio::time::timeout(Duration::from_millis(200), quick.next()).await
            && event["type"] == "event"
        {
            let seq = event["entry"]["seq"].as_u64().unwrap();
            assert!(last == 0 || seq == last + 1, "{seq} after {last}");
            last = seq;
            heard += 1;
        }
    }
    let (count, longest) = busy.join().unwrap();
    assert!(count > 300 && heard > 600, "{count} calls, {heard} events");
    assert!(longest < Duration::from_secs(3), "a call took {longest:?}");
    // Only now does it begin to take what came.
    loop {
        match slow.next().await {
            Ok(_) => {}
            Err((code, reason)) => break assert_eq!(code, 4008, "{reason}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_09_connections_are_bounded_and_end_when_the_panel_stops() {
    let mut panel = Panel::start();
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(listen(&panel, "topics=jobs", As::Token(&panel.token)).await.ok().unwrap());
    }
    assert_eq!(listen(&panel, "", As::Token(&panel.token)).await.err(), Some(429));
    let sam = panel.reseller("sam");
    assert!(listen(&panel, "", As::Cookie(&sam, "https://panel.test")).await.is_ok());
    held.truncate(4);
    let until = Instant::now() + Duration::from_secs(5);
    while listen(&panel, "", As::Token(&panel.token)).await.is_err() {
        assert!(Instant::now() < until, "places are not given back");
    }
    let began = Instant::now();
    let ended = tokio::task::spawn_blocking(move || {
        panel.stop();
        panel
    });
    for mut listener in held {
        loop {
            match listener.next().await {
                Ok(_) => {}
                Err((code, _)) => break assert_eq!(code, 1001),
            }
        }
    }
    ended.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "stopping took {:?}", began.elapsed());
}
