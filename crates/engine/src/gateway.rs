//! Asks nginx itself whether a change took effect, over loopback.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use wcp360_types::manifest::{AccountStatus, ManifestSet};
use wcp360_types::{Domain, Username};

/// Facts about the site that nginx serves under a name: `site.json` of the names tree. Loopback only.
const SITE_FACTS: &str = "/.well-known/wcp360/site";

/// How long nginx may serve a file that it has opened before (`open_file_cache_valid` in templates/nginx/nginx.conf), and a
/// little more.
const OPEN_FILES_ARE_KEPT: Duration = Duration::from_millis(1100);

/// The local nginx.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) port: u16,
}

impl Gateway {
    /// Waits until nginx serves what the manifests say. Only names that differ between the two sets are asked for.
    pub(crate) async fn verify(
        &self,
        before: Option<&ManifestSet>,
        after: Option<&ManifestSet>,
    ) -> Result<String, String> {
        let hosts = |set: Option<&ManifestSet>| -> Vec<Domain> {
            let Some(set) = set else { return Vec::new() };
            set.domains.sites().flat_map(|(_, site)| set.domains.hosts_of(site)).collect()
        };
        let status = |set: Option<&ManifestSet>| set.map(|s| s.account.status);
        let (old, new) = (hosts(before), hosts(after));
        let taken_away = old.iter().any(|host| !new.contains(host))
            || (status(before), status(after)) == (Some(AccountStatus::Active), Some(AccountStatus::Suspended));
        if taken_away {
            tokio::time::sleep(OPEN_FILES_ARE_KEPT).await;
        }
        let mut asked = 0;
        for host in &new {
            let moved = status(before) != status(after);
            if !moved && old.contains(host) {
                continue;
            }
            asked += 1;
            let set = after.expect("a host of it exists");
            self.wait_for(host, |answer| answer.shows(&set.account.username, set.account.status)).await?;
        }
        for host in old.iter().filter(|host| !new.contains(host)) {
            asked += 1;
            self.wait_for(host, |answer| matches!(answer.status, 404 | 421)).await?;
        }
        Ok(format!("nginx answers as it should for {asked} changed names"))
    }

    async fn wait_for(&self, host: &Domain, good: impl Fn(&Answer) -> bool) -> Result<(), String> {
        let mut last = String::new();
        for pause in [0, 5, 10, 20, 50, 100, 200, 400, 800, 1600, 1600] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match tokio::time::timeout(Duration::from_secs(3), self.ask(host)).await {
                Ok(Ok(answer)) if good(&answer) => return Ok(()),
                Ok(Ok(answer)) => last = format!("it answered {}", answer.status),
                Ok(Err(error)) => last = error,
                Err(_) => last = "no answer within 3 s".into(),
            }
        }
        Err(format!("nginx does not serve \"{host}\" as it should: {last}"))
    }

    async fn ask(&self, host: &Domain) -> Result<Answer, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|e| text(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
        tokio::spawn(connection);
        let request = http::Request::builder()
            .uri(SITE_FACTS)
            .header("host", host.as_str())
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .map_err(|e| text(&e))?;
        let response = sender.send_request(request).await.map_err(|e| text(&e))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), 64 * 1024).collect().await.map_err(|e| e.to_string())?;
        let facts = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        Ok(Answer { status, facts })
    }
}

struct Answer {
    status: u16,
    facts: serde_json::Value,
}

impl Answer {
    fn shows(&self, account: &Username, status: AccountStatus) -> bool {
        let expected = match status {
            AccountStatus::Active => "active",
            AccountStatus::Suspended => "suspended",
        };
        self.status == 200 && self.facts["account"] == account.as_str() && self.facts["status"] == expected
    }
}
