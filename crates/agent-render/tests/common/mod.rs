//! Manifests for tests, and small parsers for what is rendered.
#![allow(dead_code, clippy::unwrap_used)]

use wcp360_agent_render::NodeFacts;
use wcp360_types::manifest::{ManifestSet, PhpVersion};
use wcp360_types::node::NodeConfig;

pub(crate) fn facts() -> NodeFacts {
    let config = NodeConfig { hostname: "panel.example.com".into(), ..NodeConfig::default() };
    NodeFacts::new(config, vec![PhpVersion::parse("8.2").unwrap()], true).unwrap()
}

pub(crate) fn manifests(name: &str, domain: &str) -> ManifestSet {
    serde_json::from_value(serde_json::json!({
        "account": { "schema_version": 1, "username": name, "uid": 20000, "gid": 20000, "primary_domain": domain,
            "home_dir": format!("/srv/www/{name}"), "shell": "/usr/sbin/nologin", "status": "active",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "package": "starter" },
        "limits": { "schema_version": 1, "package_version": 1,
            "limits": { "memory_mb": 512, "cpu_percent": 150, "processes": 100, "io_read_mbps": 50, "io_write_mbps": 20 },
            "features": {} },
        "domains": { "schema_version": 1,
            "primary": { "domain": domain, "document_root": "public_html", "www": true } },
        "services": { "schema_version": 1,
            "php": { "enabled": true, "version": "8.2", "pool": {}, "open_basedir": [] } },
        "ssh": { "schema_version": 1, "mode": "disabled" },
    }))
    .unwrap()
}

/// A directive of nginx: its words, and its block if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) words: Vec<String>,
    pub(crate) block: Option<Vec<Directive>>,
}

impl Directive {
    /// Everything but the values: what a value must not be able to change.
    pub(crate) fn shape(directives: &[Directive]) -> Vec<(String, usize, String)> {
        directives
            .iter()
            .map(|d| {
                // A list of names may be of any length.
                let words = if d.words[0] == "server_name" { 0 } else { d.words.len() };
                let block = d.block.as_ref().map_or(String::new(), |block| format!("{:?}", Self::shape(block)));
                (d.words[0].clone(), words, block)
            })
            .collect()
    }
}

/// Reads a configuration as nginx's own parser does: words, quotes, comments, `;`, `{`, `}`.
pub(crate) fn parse_nginx(text: &str) -> Result<Vec<Directive>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '#' => while chars.next().is_some_and(|c| c != '\n') {},
            ';' | '{' | '}' => tokens.push((c.to_string(), true)),
            '"' | '\'' => {
                let mut word = String::new();
                loop {
                    match chars.next().ok_or("a quote is not closed")? {
                        '\\' => word.extend(chars.next()),
                        end if end == c => break,
                        other => word.push(other),
                    }
                }
                tokens.push((word, false));
            }
            first => {
                let mut word = String::from(first);
                // `{` inside a word belongs to it, as in `${name}` or a regular expression's `{2,15}`.
                while let Some(&next) = chars.peek() {
                    if next.is_whitespace() || next == ';' || (next == '{' && !word.contains(['$', '^'])) {
                        break;
                    }
                    word.push(next);
                    chars.next();
                }
                tokens.push((word, false));
            }
        }
    }
    let mut at = 0;
    let out = block(&tokens, &mut at, false)?;
    if at == tokens.len() { Ok(out) } else { Err("a block is closed that was not opened".into()) }
}

fn block(tokens: &[(String, bool)], at: &mut usize, inner: bool) -> Result<Vec<Directive>, String> {
    let mut out = Vec::new();
    let mut words = Vec::new();
    while let Some((token, syntax)) = tokens.get(*at) {
        *at += 1;
        match (token.as_str(), syntax) {
            (";", true) if !words.is_empty() => {
                out.push(Directive { words: std::mem::take(&mut words), block: None });
            }
            ("{", true) if !words.is_empty() => {
                let inside = block(tokens, at, true)?;
                out.push(Directive { words: std::mem::take(&mut words), block: Some(inside) });
            }
            ("}", true) if inner && words.is_empty() => return Ok(out),
            (other, true) => return Err(format!("unexpected {other}")),
            (word, false) => words.push(word.to_owned()),
        }
    }
    if inner || !words.is_empty() { Err("it ends too early".into()) } else { Ok(out) }
}

/// Reads an ini-like file: sections and keys, in order. Anything else is an error.
pub(crate) fn parse_ini(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut section = String::new();
    let mut out = Vec::new();
    for line in text.split('\n').map(str::trim).filter(|l| !l.is_empty() && !l.starts_with([';', '#'])) {
        if line.chars().any(char::is_control) {
            return Err(format!("a control character in {line:?}"));
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            out.push((format!("{section}/{}", key.trim()), value.trim().to_owned()));
        } else {
            return Err(format!("not a setting: {line:?}"));
        }
    }
    Ok(out)
}
