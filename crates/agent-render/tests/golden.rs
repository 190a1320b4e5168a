//! What is rendered, word for word: `tests/golden/`. `BLESS=1 cargo test` writes the files anew; look at the difference.
#![allow(clippy::unwrap_used)]

mod common;

use common::{facts, manifests};
use std::fmt::Write as _;
use wcp360_agent_render::{Resource, nginx, node, render};
use wcp360_types::manifest::{AccountStatus, Alias, ManifestSet, Site};
use wcp360_types::{DocumentRoot, Domain};

fn check(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == wanted, "{name} differs; see BLESS in this file\n{text}");
}

fn text(resources: &[Resource]) -> String {
    use wcp360_agent_render::Kind::{File, NginxSite};
    let mut out = String::new();
    for resource in resources {
        match &resource.kind {
            File { content, owner, group, mode, on_change, .. } => {
                writeln!(out, "{} {owner:?}:{group:?} {mode:04o} {on_change:?}", resource.key).unwrap();
                content.lines().for_each(|line| writeln!(out, "    {line}").unwrap());
            }
            NginxSite { content, .. } => {
                writeln!(out, "{}", resource.key).unwrap();
                content.lines().for_each(|line| writeln!(out, "    {line}").unwrap());
            }
            other => writeln!(out, "{} {other:?}", resource.key).unwrap(),
        }
    }
    out
}

fn with_domains() -> ManifestSet {
    let domain = |name: &str| Domain::parse(name).unwrap();
    let mut set = manifests("alice", "alice.test");
    set.domains.addon.push(Site {
        domain: domain("shop.test"),
        document_root: DocumentRoot::for_domain(&domain("shop.test")),
        www: false,
    });
    set.domains.sub.push(Site {
        domain: domain("blog.alice.test"),
        document_root: DocumentRoot::parse("apps/blog/public").unwrap(),
        www: false,
    });
    set.domains.alias.push(Alias { domain: domain("alias.test"), target: domain("shop.test"), www: true });
    set.services.php.open_basedir = vec!["public_html".into(), "private".into()];
    set
}

#[test]
fn accounts() {
    check("plain.txt", &text(&render(&manifests("alice", "alice.test"), &facts()).unwrap()));
    check("domains.txt", &text(&render(&with_domains(), &facts()).unwrap()));
    let mut suspended = with_domains();
    suspended.account.status = AccountStatus::Suspended;
    suspended.limits.security.php_may_start_programs = false;
    check("suspended.txt", &text(&render(&suspended, &facts()).unwrap()));
    let mut bare = manifests("alice", "alice.test");
    bare.services.php.enabled = false;
    bare.limits.limits = Default::default();
    check("bare.txt", &text(&render(&bare, &facts()).unwrap()));
}

#[test]
fn the_node() {
    check("node.txt", &text(&node::render_node(&facts()).unwrap()));
    let mut out = String::new();
    for (file, content) in nginx::base(&facts()).unwrap() {
        writeln!(out, "==== {file}\n{content}").unwrap();
    }
    check("nginx.txt", &out);
    let mut other = facts();
    other.ipv6 = false;
    other.nginx_http2_directive = true;
    other.config.http_port = 8080;
    other.config.https_port = 8443;
    let mut out = String::new();
    for (file, content) in nginx::base(&other).unwrap() {
        writeln!(out, "==== {file}\n{content}").unwrap();
    }
    check("nginx-other.txt", &out);
}

#[test]
fn what_must_not_render() {
    let mut set = manifests("alice", "alice.test");
    set.account.uid = None;
    assert!(render(&set, &facts()).unwrap_err().to_string().contains("uid"));
    let mut set = manifests("alice", "alice.test");
    set.services.php.version = wcp360_types::manifest::PhpVersion::parse("7.4").unwrap();
    let message = render(&set, &facts()).unwrap_err().to_string();
    assert!(message.contains("7.4") && message.contains("8.2"), "{message}");
}

#[test]
fn equal_input_gives_equal_output() {
    assert_eq!(render(&with_domains(), &facts()).unwrap(), render(&with_domains(), &facts()).unwrap());
    assert_eq!(nginx::base(&facts()).unwrap(), nginx::base(&facts()).unwrap());
}
