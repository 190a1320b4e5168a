//! The HTTP side: sends requests, understands answers.

mod address;
mod listener;
mod token;

use crate::failure::Failure;
use crate::input::{Request, encode};
use crate::output;
use crate::tree::Globals;
use listener::Listener;
use serde_json::Value;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use wcp360_types::Problem;

/// How long a request that may be repeated is repeated while nobody answers, e.g. during a restart of the panel.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait for an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Answers are never longer: pages have a limit.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// An answer that is not a problem.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body: JSON, or text as a JSON string; `null` if there is none.
    pub body: Value,
}

/// Talks to one panel.
pub struct Client {
    agent: ureq::Agent,
    server: String,
    base: String,
    token: Option<String>,
    /// Who must be listening before a secret is sent.
    listener: Option<Listener>,
    verbose: bool,
}

impl Client {
    /// Whether the global flags name a panel on this machine.
    ///
    /// # Errors
    /// The address is not usable.
    pub fn is_local(globals: &Globals) -> Result<bool, Failure> {
        Ok(address::parse(&globals.server)?.is_this_machine)
    }

    /// The API token that the global flags, or their defaults, say.
    ///
    /// # Errors
    /// A file can't be read, or holds something else.
    pub fn token(globals: &Globals) -> Result<Option<String>, Failure> {
        token::find(globals, Self::is_local(globals)?)
    }

    /// A client as the global flags say, for an API below `base`, that says with `token` who is asking.
    ///
    /// # Errors
    /// A file can't be read, or the address is not usable.
    pub fn new(globals: &Globals, base: &str, token: Option<String>) -> Result<Self, Failure> {
        let address = address::parse(&globals.server)?;
        if !address.is_private() && !globals.insecure {
            return Err(Failure::Usage(format!(
                "{} is not encrypted: tokens and passwords could be read on the way; use https://, or --insecure",
                globals.server
            )));
        }
        let mut tls = TlsConfig::builder().disable_verification(globals.insecure);
        if let Some(file) = &globals.ca_file {
            let pem = std::fs::read(file).map_err(|e| Failure::file(file, e))?;
            let roots: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| if let Ok(PemItem::Certificate(c)) = item { Some(c) } else { None })
                .collect();
            if roots.is_empty() {
                let reason = "it holds no certificate; give a PEM file".into();
                return Err(Failure::Content { path: file.clone(), reason });
            }
            tls = tls.root_certs(RootCerts::from(roots));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER.min(globals.timeout)))
            .max_redirects(0)
            .user_agent(concat!("wcp360/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        // A proxy must not see what stays on this machine.
        let config = if address.is_this_machine { config.proxy(None) } else { config };
        Ok(Self {
            agent: config.build().into(),
            listener: address.listener().filter(|_| !globals.insecure),
            server: address.url,
            base: base.to_owned(),
            token,
            verbose: globals.verbose,
        })
    }

    /// Sends a request and reads the answer.
    ///
    /// A request that may be repeated (it only reads, or carries a key) is repeated for a short time while nobody
    /// answers.
    ///
    /// # Errors
    /// A [`Failure::Problem`] if the panel refused, [`Failure::Unreachable`] if nobody answers.
    pub fn send(&self, request: &Request) -> Result<Answer, Failure> {
        self.send_patiently(request, PATIENCE)
    }

    /// Like [`send`](Self::send), with the time for which it is repeated.
    ///
    /// # Errors
    /// As for `send`.
    pub fn send_patiently(&self, request: &Request, patience: Duration) -> Result<Answer, Failure> {
        let repeatable = request.method == "GET" || request.headers.iter().any(|(name, _)| *name == "Idempotency-Key");
        let give_up = Instant::now() + patience;
        let mut pause = Duration::from_millis(50);
        loop {
            match self.once(request) {
                Err(Lost { retry: true, reason }) if repeatable && Instant::now() < give_up => {
                    self.say(&format!("* {reason}; trying again"));
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                Err(lost) => return Err(Failure::Unreachable { server: self.server.clone(), reason: lost.reason }),
                Ok((status, body)) => return self.understand(status, body),
            }
        }
    }

    /// Sends a request that reads and passes the answer on as it comes, however long it is.
    ///
    /// # Errors
    /// As for [`send`](Self::send); the answer ended before its end, or can't be passed on.
    pub fn stream(&self, request: &Request, out: &mut dyn Write) -> Result<(), Failure> {
        let lost = |lost: Lost| Failure::Unreachable { server: self.server.clone(), reason: lost.reason };
        let mut answer = self.begin(request, true).map_err(lost)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
            self.understand(status, body.map_err(|e| lost(Lost::from(&e)))?)?;
            return Ok(());
        }
        let mut body = answer.into_body().into_reader();
        let mut part = vec![0; 64 * 1024];
        loop {
            let cut = |error: std::io::Error| Failure::Unreachable {
                server: self.server.clone(),
                reason: format!("the answer was broken off: {error}"),
            };
            match body.read(&mut part).map_err(cut)? {
                0 => return Ok(()),
                length => out.write_all(&part[..length])?,
            }
        }
    }

    fn once(&self, request: &Request) -> Result<(u16, Vec<u8>), Lost> {
        let mut answer = self.begin(request, false)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(|e| Lost::from(&e))?;
        let id = answer.headers().get("X-Request-Id").and_then(|v| v.to_str().ok()).unwrap_or_default();
        self.say(&format!("< {status}, {} bytes {id}", body.len()));
        Ok((status, body))
    }

    fn begin(&self, request: &Request, endless: bool) -> Result<ureq::http::Response<ureq::Body>, Lost> {
        let uri = self.uri(request);
        self.say(&format!("> {} {uri}", request.method));
        if let Some(uid) = self.listener.as_ref().and_then(Listener::stranger) {
            let reason = format!(
                "user {uid} listens there, and neither root nor the panel does; nothing was sent. Stop that process, or \
                 trust it with --insecure"
            );
            return Err(Lost { retry: false, reason });
        }
        let mut builder = ureq::http::Request::builder()
            .method(request.method.as_str())
            .uri(&uri)
            .header("Accept", "application/json, application/problem+json, text/plain");
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(token) = self.token.as_ref().filter(|_| request.needs_login) {
            builder = builder.header("Authorization", format!("Bearer {token}"));
        }
        let broken = |e: ureq::http::Error| Lost { retry: false, reason: format!("can't be asked for: {e}") };
        let sent = match &request.body {
            Some(body) => {
                let request = builder.header("Content-Type", "application/json").body(body.to_string());
                self.agent.run(request.map_err(broken)?)
            }
            None if matches!(request.method.as_str(), "POST" | "PUT") => {
                self.agent.run(builder.body(String::new()).map_err(broken)?)
            }
            None => {
                let request = builder.body(()).map_err(broken)?;
                // However long it is: as long as something comes.
                let limit = self.agent.config().timeouts().global.filter(|_| !endless);
                self.agent.run(self.agent.configure_request(request).timeout_global(limit).build())
            }
        };
        sent.map_err(|e| Lost::from(&e))
    }

    fn uri(&self, request: &Request) -> String {
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{}{mark}{}", self.server, self.base, request.path, query.join("&"))
    }

    fn understand(&self, status: u16, body: Vec<u8>) -> Result<Answer, Failure> {
        let wrong = |reason: String| Failure::Answer { server: self.server.clone(), reason };
        let text = String::from_utf8(body).map_err(|_| wrong("it is not text".into()))?;
        let json = serde_json::from_str::<Value>(&text);
        if status >= 400 {
            // Some failures are ordinary answers, e.g. of `health`.
            return match json {
                Ok(body) if body.get("type").is_none() && body.is_object() => Ok(Answer { status, body }),
                Ok(body) => match serde_json::from_value::<Problem>(body) {
                    Ok(problem) => Err(Failure::Problem(Box::new(problem))),
                    Err(e) => Err(wrong(format!("status {status}, {e}"))),
                },
                Err(_) => Err(wrong(format!("status {status} without a reason"))),
            };
        }
        if !(200..300).contains(&status) {
            return Err(wrong(format!("status {status}")));
        }
        match json {
            _ if text.is_empty() => Ok(Answer { status, body: Value::Null }),
            Ok(body) => Ok(Answer { status, body }),
            Err(_) => Ok(Answer { status, body: Value::String(text) }),
        }
    }

    fn say(&self, line: &str) {
        if self.verbose {
            output::say(&output::clean(line));
        }
    }
}

/// A request that got no answer.
struct Lost {
    /// Whether another try may help.
    retry: bool,
    reason: String,
}

impl From<&ureq::Error> for Lost {
    fn from(error: &ureq::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (retry, reason) = match error {
            ureq::Error::Io(e) => match e.kind() {
                Io::ConnectionRefused => (true, "nobody listens there; is wcp360-core running?".to_owned()),
                Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
                    (true, "the connection was lost".into())
                }
                _ => (false, e.to_string()),
            },
            ureq::Error::ConnectionFailed => (true, "nobody listens there; is wcp360-core running?".into()),
            ureq::Error::HostNotFound => (false, "there is no machine of that name".into()),
            ureq::Error::Timeout(_) => (false, "it does not answer in time".into()),
            ureq::Error::Rustls(e) => (false, format!("its certificate is not trusted ({e}); see --ca-file")),
            other => (false, other.to_string()),
        };
        Self { retry, reason }
    }
}
