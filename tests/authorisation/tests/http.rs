//! The smallest HTTP client that can also send what no proper client would.

use crate::{host, secrets};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where the panel listens on its own machine.
const PANEL: &str = "127.0.0.1:2098";

/// How a caller shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Nothing,
    Token(String),
    Session(String),
}

impl Credential {
    /// The header that carries it.
    pub(crate) fn header(&self) -> String {
        match self {
            Credential::Nothing => String::new(),
            Credential::Token(text) => format!("Authorization: Bearer {text}\r\n"),
            Credential::Session(text) => format!("Cookie: __Host-wcp360={text}\r\n"),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0 if the connection was closed without one.
    pub(crate) status: u16,
    /// Lower case names, sorted.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Status, headers and body of an answer, without what is new in every answer.
pub(crate) type Alike = (u16, Vec<(String, String)>, String);

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The secret in a `Set-Cookie` of a session.
    pub(crate) fn session(&self) -> Option<String> {
        let pair = self.header("set-cookie")?.split(';').next()?;
        Some(pair.strip_prefix("__Host-wcp360=")?.to_owned())
    }

    /// What two answers have in common if they differ in nothing but the names that were asked for: those become `NAME`, and
    /// what is new in every answer goes.
    pub(crate) fn alike(&self, names: &[String]) -> Alike {
        let mut body = self.json();
        let mut body = match body.get_mut("request_id") {
            Some(id) => {
                *id = Value::Null;
                body.to_string()
            }
            None => self.body.clone(),
        };
        // Longest first: one name may be part of another.
        let mut names: Vec<&String> = names.iter().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            body = body.replace(name.as_str(), "NAME");
        }
        let changing = ["date", "x-request-id", "ratelimit"];
        let headers = self.headers.iter().filter(|(n, _)| !changing.contains(&n.as_str())).cloned().collect();
        (self.status, headers, body)
    }
}

/// Calls the API: `path` below `/api/v1`, `body` as JSON if there is one.
pub(crate) fn call(who: &Credential, method: &str, path: &str, body: &str) -> Answer {
    call_with(who, method, path, body, "")
}

/// Calls the API with more headers, each ending in CRLF.
pub(crate) fn call_with(who: &Credential, method: &str, path: &str, body: &str, headers: &str) -> Answer {
    raw(&request(who, method, path, body, headers))
}

/// Calls the API as nginx does for a browser somewhere else: from an address that was not seen before. The panel counts
/// failed logins by address, and what one test does wrong on purpose must not lock out the next one.
pub(crate) fn browse(who: &Credential, method: &str, path: &str, body: &str, headers: &str) -> Answer {
    static VISITORS: AtomicU32 = AtomicU32::new(0);
    let [_, a, b, c] = VISITORS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let address = format!("{headers}X-Real-IP: 10.{a}.{b}.{c}\r\n");
    let request = request(who, method, path, body, &address);
    patiently(|| {
        let gateway = UnixStream::connect(host::path("/run/wcp360/panel/api.sock"));
        exchange(gateway.expect("the panel listens for nginx"), &request)
    })
}

fn request(who: &Credential, method: &str, path: &str, body: &str, headers: &str) -> Vec<u8> {
    let host = if headers.to_lowercase().contains("host: ") { "" } else { "Host: 127.0.0.1:2098\r\n" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let credential = who.header();
    let head = format!("{method} /api/v1{path} HTTP/1.1\r\n{host}{credential}{kind}{headers}");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{head}{length}Connection: close\r\n\r\n{body}").into_bytes()
}

/// Sends bytes as they are, as a process of the panel's machine can, and reads the answer. Clients and resellers have limits
/// there too: who asks too fast waits as it is told, and asks again.
pub(crate) fn raw(request: &[u8]) -> Answer {
    host::enter_network();
    patiently(|| {
        let stream = TcpStream::connect(PANEL).expect("the panel listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
        exchange(stream, request)
    })
}

/// Asks, and whoever asks too fast waits as it is told and asks again.
fn patiently(mut ask: impl FnMut() -> Answer) -> Answer {
    loop {
        let answer = ask();
        match answer.header("retry-after").and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) if answer.status == 429 => std::thread::sleep(Duration::from_secs(seconds)),
            _ => return answer,
        }
    }
}

/// Every answer is searched for secrets.
fn exchange(mut stream: impl Read + Write, request: &[u8]) -> Answer {
    // A server that has seen enough may close before it has read everything.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let answer = parse(&bytes);
    secrets::look_for(&answer);
    answer
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Answer { status: 0, headers: Vec::new(), body: text.into_owned() };
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
    let mut headers: Vec<_> =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_lowercase(), v.trim().to_owned())).collect();
    headers.sort();
    Answer { status, headers, body: body.to_owned() }
}
