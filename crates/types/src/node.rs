//! The node's settings: `/etc/wcp360/wcp360.yaml`, read by core and agent, written by the administrator (PLT-08).

use crate::api::drift::{DriftClass, DriftPolicy};
use crate::{Domain, ValueError};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Settings of this node. Every key has a default, so that an empty file is a valid one; an unknown key is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The name the panel is reached under.
    pub hostname: String,
    /// Where accounts live; an absolute path.
    pub base_dir: String,
    /// Public port for HTTP.
    pub http_port: u16,
    /// Public port for HTTPS.
    pub https_port: u16,
    /// First user id given to an account.
    pub uid_min: u32,
    /// Last user id given to an account.
    pub uid_max: u32,
    /// Days a deleted account's files wait in the trash.
    pub retention_days: u32,
    /// Where the API listens; a loopback address.
    pub api_listen: SocketAddr,
    /// Days that jobs are kept after they ended, with their logs and what they left; then they can't be undone any more.
    pub keep_jobs_days: u32,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// What is done about differences between the machine and the manifests.
    pub drift: DriftConfig,
}

/// How often the machine is compared with the manifests, and what is done about which differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriftConfig {
    /// Minutes between comparisons; 0: only when asked.
    pub every_minutes: u32,
    /// Linux users and groups.
    pub user: DriftPolicy,
    /// Directories of accounts.
    pub tree: DriftPolicy,
    /// Text configuration. Somebody who edits it by hand means it: it is reported and left alone unless you say otherwise.
    pub config: DriftPolicy,
    /// Units and sockets.
    pub unit: DriftPolicy,
    /// What nginx finds sites by.
    pub web: DriftPolicy,
    /// Certificates.
    pub key: DriftPolicy,
    /// Manifests: `repair` puts back what was applied last, `adopt` picks up edits that are valid.
    pub manifests: DriftPolicy,
}

impl Default for DriftConfig {
    fn default() -> Self {
        use DriftPolicy::{Adopt, Repair, Report};
        Self {
            every_minutes: 15,
            user: Repair,
            tree: Repair,
            config: Report,
            unit: Repair,
            web: Repair,
            key: Repair,
            manifests: Adopt,
        }
    }
}

impl DriftConfig {
    /// What is done about a class.
    pub fn policy(&self, class: DriftClass) -> DriftPolicy {
        match class {
            DriftClass::User => self.user,
            DriftClass::Tree => self.tree,
            DriftClass::Config => self.config,
            DriftClass::Unit => self.unit,
            DriftClass::Web => self.web,
            DriftClass::Key => self.key,
            DriftClass::Manifests => self.manifests,
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            base_dir: "/srv/www".into(),
            http_port: 80,
            https_port: 443,
            uid_min: 20_000,
            uid_max: 59_999,
            retention_days: 7,
            api_listen: SocketAddr::from(([127, 0, 0, 1], 2098)),
            keep_jobs_days: 90,
            log_level: "info".into(),
            drift: DriftConfig::default(),
        }
    }
}

impl NodeConfig {
    /// Checks what the types can't.
    ///
    /// # Errors
    /// The key, the rule and the remedy.
    pub fn check(&self) -> Result<(), (&'static str, ValueError)> {
        let fail = |key, reason: String, remedy: &str| Err((key, ValueError::new(reason, remedy)));
        if self.hostname != "localhost" && Domain::parse(&self.hostname).is_err() && !is_label(&self.hostname) {
            return fail("hostname", format!("{:?} is not a host name", self.hostname), "use e.g. panel.example.com");
        }
        let clean = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !self.base_dir.strip_prefix('/').is_some_and(|rest| rest.split('/').all(clean)) {
            return fail(
                "base_dir",
                format!("{:?} is not usable", self.base_dir),
                "use an absolute path like /srv/www",
            );
        }
        if self.uid_min < 1000 || self.uid_max <= self.uid_min || self.uid_max > 60_000_000 {
            let reason = format!("{} to {} is not a usable range", self.uid_min, self.uid_max);
            return fail("uid_min", reason, "use at least 1000, and a larger uid_max");
        }
        if self.http_port == self.https_port || self.http_port == 0 || self.https_port == 0 {
            return fail("https_port", "it must differ from http_port, and neither be 0".into(), "use 80 and 443");
        }
        if !self.api_listen.ip().is_loopback() {
            let reason = format!("{} is reachable from outside", self.api_listen);
            return fail("api_listen", reason, "use a loopback address such as 127.0.0.1:2098; nginx is the gateway");
        }
        if !(1..=36_500).contains(&self.keep_jobs_days) {
            return fail("keep_jobs_days", format!("{} days is out of range", self.keep_jobs_days), "use 1 to 36500");
        }
        if !["error", "warn", "info", "debug", "trace"].contains(&self.log_level.as_str()) {
            let reason = format!("{:?} is not a log level", self.log_level);
            return fail("log_level", reason, "use error, warn, info, debug or trace");
        }
        Ok(())
    }
}

/// A host name of one part, as machines without a domain have.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
