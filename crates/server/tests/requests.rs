//! Requests that ask for too much, or for what there is not.

#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

mod panel;

use panel::Panel;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn eng_06_what_cannot_be_planned_ahead_is_not_done_instead() {
    let panel = Panel::start();
    let jobs = || panel.root("GET", "/jobs", "").json()["items"].as_array().unwrap().len();
    let before = jobs();
    for path in ["/index/rebuild", "/drift/reconcile", "/node/repair", "/accounts/one/repair", "/accounts/one/pick-up"]
    {
        let answer = panel.root("POST", &format!("{path}?dry_run=true"), "");
        assert_eq!((answer.0, &answer.json()["errors"][0]["field"]), (422, &json!("dry_run")), "{path}: {answer:?}");
    }
    let header = format!("Authorization: Bearer {}\r\nIf-Match: \"{}\"\r\n", panel.token, "0".repeat(64));
    let answer = panel.call_with(&header, "POST", "/index/rebuild", "");
    assert_eq!((answer.0, &answer.json()["errors"][0]["field"]), (422, &json!("If-Match")), "{answer:?}");
    assert_eq!(jobs(), before);
}

#[test]
fn sec_04_bodies_that_never_come_take_little_memory_and_not_for_long() {
    let panel = Panel::start();
    let held: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut stream = TcpStream::connect(panel.address).unwrap();
            let head = "POST /api/v1/session HTTP/1.1\r\nHost: panel.test\r\nContent-Type: application/json\r\n\
                        Content-Length: 1000000\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    let large = json!({"name": "t", "password": " ".repeat(20_000)}).to_string();
    while panel.root("POST", "/tokens", &large).0 != 503 {
        assert!(begun.elapsed() < Duration::from_secs(9), "there is no bound");
    }
    assert_eq!(panel.root("POST", "/tokens", r#"{"name": "small"}"#).0, 201, "small ones go on");
    for mut stream in held {
        let mut text = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut part = [0; 1024];
        let read = stream.read(&mut part).unwrap();
        text += &String::from_utf8_lossy(&part[..read]);
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    }
    assert!(begun.elapsed() > Duration::from_secs(5));
    assert_eq!(panel.root("POST", "/tokens", &large).0, 422, "there is room again");
}

#[test]
fn sec_04_anybody_may_ask_how_the_panel_is_and_the_agent_is_asked_once() {
    let panel = Panel::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let path = panel.path("no-agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let counted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(panel.call("", "GET", "/health", "").0, 503);
    }
    let most = 2 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(asked.load(Ordering::Relaxed) <= most, "{asked:?} times");
}
