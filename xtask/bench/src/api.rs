//! The panel's API, over one kept connection.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::time::{Duration, Instant};

const BASE: &str = "http://127.0.0.1:2098/api/v1";
const KEY: &str = "/etc/wcp360/api.key";
/// No job takes that long.
const JOB: Duration = Duration::from_secs(120);

/// A client; clones share connections.
#[derive(Clone)]
pub(crate) struct Api {
    agent: ureq::Agent,
    token: String,
}

impl Api {
    /// With the local administrator's token.
    pub(crate) fn new() -> Result<Self> {
        let token = std::fs::read_to_string(KEY).with_context(|| format!("{KEY}: run `wcp360 setup` first"))?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .proxy(None)
            .max_idle_connections(256)
            .max_idle_connections_per_host(256)
            .build();
        Ok(Self { agent: config.into(), token: token.trim().to_owned() })
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.send("GET", path, None)?;
        if status != 200 {
            bail!("GET {path} answered {status}: {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("GET {path}"))
    }

    /// Sends something; what the answer is, is the caller's business.
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String)> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header("Authorization", format!("Bearer {}", self.token));
        let sent = match body {
            Some(body) => self.agent.run(request.header("Content-Type", "application/json").body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        };
        let mut answer = sent.with_context(|| format!("{method} {path}"))?;
        Ok((answer.status().as_u16(), answer.body_mut().with_config().limit(1 << 30).read_to_string()?))
    }

    /// Starts a job and returns its id.
    pub(crate) fn start(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let (status, text) = self.send(method, path, body)?;
        if status != 202 {
            bail!("{method} {path} answered {status}: {text}");
        }
        let job: Value = serde_json::from_str(&text)?;
        Ok(job["id"].as_str().context("the job has no id")?.to_owned())
    }

    /// Waits until a job has succeeded.
    pub(crate) fn finish(&self, job: &str, pause: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            let now = self.get(&format!("/jobs/{job}"))?;
            match now["state"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("failed" | "rolled_back" | "cancelled") => bail!("job {job} ended badly: {now}"),
                _ if began.elapsed() > JOB => bail!("job {job} does not end: {now}"),
                _ => std::thread::sleep(pause),
            }
        }
    }
}
