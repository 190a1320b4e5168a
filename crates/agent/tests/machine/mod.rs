//! A pretended machine in a directory: the whole engine, without systemd and nginx.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wcp360_agent::engine::{Engine, Parts};
use wcp360_agent::fsx::Fs;
use wcp360_agent::layout::Layout;
use wcp360_agent::nginx::NginxControl;
use wcp360_agent::services::fake::Fake;
use wcp360_agent_proto::{AgentError, ConvergeRequest, Converged};
use wcp360_agent_render::NodeFacts;
use wcp360_types::manifest::{AuditReference, ManifestSet, PhpVersion};
use wcp360_types::node::NodeConfig;
use wcp360_types::{JobId, OperationId, Revision, Username};

/// nginx that accepts everything but what contains `bad`, and runs what `current` points at.
struct Pretended(PathBuf);

impl NginxControl for Pretended {
    fn test(&self, conf: &Path) -> Result<(), String> {
        let files = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let dir = conf.parent().unwrap();
        let snippets = files(dir.join("snippets")).flat_map(files);
        for path in files(dir.join("sites")).chain(snippets) {
            if std::fs::read_to_string(&path).unwrap().contains("bad") {
                return Err(format!("[emerg] it is bad in {}:1", path.display()));
            }
        }
        Ok(())
    }
    fn is_running(&self) -> bool {
        true
    }
    fn reload(&self) -> Result<(), String> {
        let target = std::fs::read_link(self.0.join("etc/wcp360/nginx/current")).unwrap();
        std::fs::write(self.0.join("nginx-runs"), target.to_str().unwrap().trim_start_matches("gen-")).unwrap();
        Ok(())
    }
    fn running_generation(&self) -> Option<u64> {
        std::fs::read_to_string(self.0.join("nginx-runs")).ok()?.parse().ok()
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A machine as the installer leaves it.
pub(crate) fn fresh(root: &Path) {
    std::fs::create_dir_all(root.join("etc/systemd/system")).unwrap();
    let write = |file: &str, text: &str| std::fs::write(root.join("etc").join(file), text).unwrap();
    write(
        "passwd",
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/bin/false\nwcp360:x:999:999::/:/bin/false\n",
    );
    write("shadow", "root:*:1:0:99999:7:::\n");
    write("group", "root:x:0:\nwww-data:x:33:\nwcp360:x:999:\n");
    write("gshadow", "root:*::\n");
}

pub(crate) fn engine(root: &Path) -> Arc<Engine> {
    let config = NodeConfig { hostname: "panel.example.com".into(), ..NodeConfig::default() };
    let facts = NodeFacts::new(config, vec![PhpVersion::parse("8.2").unwrap()], true).unwrap();
    let fs = Arc::new(Fs::open(&Layout::below(root), "/srv/www").unwrap());
    let services = Arc::new(Fake::new(root.join("units")));
    let nginx = Arc::new(Pretended(root.to_owned()));
    Arc::new(Engine::start(Parts { fs, facts, services, nginx }).unwrap())
}

pub(crate) fn manifests(name: &str, domain: &str) -> ManifestSet {
    serde_json::from_value(serde_json::json!({
        "account": { "schema_version": 1, "username": name, "primary_domain": domain, "shell": "/usr/sbin/nologin",
            "status": "active", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "package": "starter" },
        "limits": { "schema_version": 1, "package_version": 1, "limits": { "memory_mb": 512 }, "features": {} },
        "domains": { "schema_version": 1,
            "primary": { "domain": domain, "document_root": "public_html", "www": true } },
        "services": { "schema_version": 1,
            "php": { "enabled": true, "version": "8.2", "pool": {}, "open_basedir": [] } },
        "ssh": { "schema_version": 1, "mode": "disabled" },
    }))
    .unwrap()
}

pub(crate) fn audit() -> AuditReference {
    AuditReference { action: "test".into(), actor: "test".into(), job: JobId::new() }
}

pub(crate) fn converge(
    engine: &Engine,
    name: &str,
    operation: OperationId,
    base_revision: Option<Revision>,
    desired: Option<ManifestSet>,
) -> Result<Converged, AgentError> {
    let request = ConvergeRequest { operation, base_revision, desired, bring_back: false, audit: audit(), owner: None };
    engine.converge(&Username::parse(name).unwrap(), &request)
}

pub(crate) fn bring_back(engine: &Engine, operation: OperationId, was: ManifestSet) -> Result<Converged, AgentError> {
    let name = was.account.username.clone();
    let request = ConvergeRequest {
        operation,
        base_revision: None,
        desired: Some(was),
        bring_back: true,
        audit: audit(),
        owner: None,
    };
    engine.converge(&name, &request)
}

pub(crate) fn create(engine: &Engine, name: &str, domain: &str) -> Result<Converged, AgentError> {
    converge(engine, name, OperationId::new(), None, Some(manifests(name, domain)))
}

pub(crate) fn edit(
    engine: &Engine,
    name: &str,
    change: impl FnOnce(&mut ManifestSet),
) -> Result<Converged, AgentError> {
    let record = engine.account(&Username::parse(name).unwrap())?;
    let mut set = record.manifests;
    change(&mut set);
    converge(engine, name, OperationId::new(), Some(record.revision), Some(set))
}

pub(crate) fn delete(engine: &Engine, name: &str) -> Result<Converged, AgentError> {
    let record = engine.account(&Username::parse(name).unwrap())?;
    converge(engine, name, OperationId::new(), Some(record.revision), None)
}

/// Everything that is on the machine: type, owner, mode, content; with numbers, times and random keys made equal.
pub(crate) fn inventory(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let shown = same(&path.strip_prefix(root).unwrap().display().to_string());
        // The agent's own books, and older generations of nginx's configuration, are not the machine's state.
        let current = std::fs::read_link(root.join("etc/wcp360/nginx/current")).unwrap_or_default();
        let generation = shown.starts_with("etc/wcp360/nginx/gen-") && dir.ends_with("nginx");
        let books = [
            "var/lib/wcp360/agent/journal",
            "var/lib/wcp360/agent/applied",
            "var/lib/wcp360/agent/accepted",
            "var/lib/wcp360/agent/next-uid",
            "etc/.pwd.lock",
            // What was moved aside has the time in its name; a crash may leave a note without its file.
            "etc/wcp360/quarantine",
            "nginx-runs",
            "units-read",
            "proc",
        ];
        if books.contains(&shown.as_str()) || (generation && path.file_name() != current.file_name()) {
            continue;
        }
        let shown =
            if generation { "etc/wcp360/nginx/GEN".into() } else { shown.replace(current.to_str().unwrap(), "GEN") };
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let access = same(&format!("{}:{} {:o}", meta.uid(), meta.gid(), meta.mode()));
        let content = if meta.is_symlink() {
            let target = std::fs::read_link(&path).unwrap().display().to_string();
            if shown.ends_with("nginx/current") { "GEN".into() } else { same(&target) }
        } else if meta.is_dir() {
            walk(root, &path, out);
            String::new()
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            match shown.rsplit('/').next().unwrap() {
                "tls.pem" | "panel.pem" => format!("{} blocks", text.matches("-----BEGIN").count()),
                "generation.conf" => String::new(),
                "meta.json" => {
                    same(&text.lines().filter(|l| !l.contains("_at\"") && !l.contains("\"job\"")).collect::<String>())
                }
                _ => same(&text),
            }
        };
        out.insert(shown, format!("{access} {content}"));
    }
}

/// Numbers of accounts, revisions (which contain them) and times in names of the trash, made equal.
fn same(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let without_revisions = text.split("sha256:").enumerate().map(|(n, part)| match n {
        0 => part.to_owned(),
        _ => format!("sha256:…{}", part.get(64..).unwrap_or("")),
    });
    for c in without_revisions.collect::<String>().chars().chain(['\0']) {
        if c.is_ascii_digit() {
            word.push(c);
            continue;
        }
        match word.as_str() {
            number if number.len() == 5 && number.starts_with("200") => out.push_str("UID"),
            number if number.len() >= 9 => out.push_str("TIME"),
            number => out.push_str(number),
        }
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}
