//! No value changes the structure of what is rendered (attacks 9 to 12): whatever passes as a manifest is rendered, read
//! again as the service reads it, and has the structure of the plain case.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Directive, facts, manifests, parse_ini, parse_nginx};
use proptest::prelude::*;
use std::collections::BTreeSet;
use wcp360_agent_render::{Kind, nginx, render};
use wcp360_types::manifest::{ManifestSet, Site};

/// Text that likes to break out.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9./-]{0,40}",
        "\\PC{0,40}",
        "[a-z]{3,12}(\\.test|\n|;|\\{|\\}|\"|'|\\$|%|#|\\\\|\r|\0| )[a-z./]{0,12}",
        Just("a.test; } server { listen 81".to_owned()),
        Just("public_html\nphp_admin_value[open_basedir] = /".to_owned()),
        Just("a.test\r\n[Service]\nExecStart=/bin/sh".to_owned()),
        Just("%i/../../etc".to_owned()),
        Just("$host".to_owned()),
    ]
}

/// Manifests as JSON with hostile text in every text field; what the types refuse is not rendered.
fn hostile_set(texts: &[String; 6], numbers: [u32; 4]) -> Option<ManifestSet> {
    let mut json = serde_json::to_value(manifests("alice", "alice.test")).unwrap();
    let plain = |text: &String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text.clone() };
    json["account"]["username"] = plain(&texts[0], "alice").into();
    json["account"]["primary_domain"] = plain(&texts[1], "alice.test").into();
    json["domains"]["primary"]["domain"] = plain(&texts[1], "alice.test").into();
    json["domains"]["sub"] = serde_json::json!([{
        "domain": format!("{}.{}", plain(&texts[2], "sub"), plain(&texts[1], "alice.test")),
        "document_root": plain(&texts[3], "apps/blog"), "www": true,
    }]);
    json["domains"]["alias"] = serde_json::json!([{
        "domain": plain(&texts[4], "alias.test"), "target": plain(&texts[1], "alice.test"), "www": false,
    }]);
    json["services"]["php"]["open_basedir"] = serde_json::json!([plain(&texts[5], "private")]);
    json["services"]["php"]["pool"] = serde_json::json!({
        "max_children": 1 + numbers[0] % 200, "memory_limit_mb": 16 + numbers[1] % 4000,
        "max_execution_seconds": 1 + numbers[2] % 3600, "upload_mb": 1 + numbers[3] % 8192,
    });
    let set: ManifestSet = serde_json::from_value(json).ok()?;
    set.validate().ok()?;
    Some(set)
}

/// Keys of the pool's configuration, with the account's own section made equal.
fn pool_keys(text: &str, account: &str) -> Vec<String> {
    let section = format!("{account}/");
    parse_ini(text).unwrap().into_iter().map(|(key, _)| key.replacen(&section, "ACCOUNT/", 1)).collect()
}

fn pool(set: &ManifestSet) -> String {
    let resources = render(set, &facts()).unwrap();
    let file = resources.into_iter().find(|r| r.key.ends_with("/8.2.conf")).unwrap();
    match file.kind {
        Kind::File { content, .. } => content,
        other => panic!("{other:?}"),
    }
}

fn own_blocks(set: &ManifestSet) -> Vec<String> {
    let resources = render(set, &facts()).unwrap();
    resources
        .into_iter()
        .filter_map(|r| match r.kind {
            Kind::NginxSite { content, .. } => Some(content),
            _ => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn attack_09_no_value_changes_a_structure(
        texts in [hostile(), hostile(), hostile(), hostile(), hostile(), hostile()],
        which in 0usize..6,
        numbers in any::<[u32; 4]>(),
    ) {
        // One hostile field at a time gets further than six at once.
        let one: [String; 6] = std::array::from_fn(|n| if n == which { texts[n].clone() } else { String::new() });
        for texts in [&one, &texts] {
            let Some(set) = hostile_set(texts, numbers) else { continue };
            let name = set.account.username.as_str();
            let plain = manifests("alice", "alice.test");
            prop_assert_eq!(pool_keys(&pool(&set), name), pool_keys(&pool(&plain), "alice"));
            let mut plain_own = plain.clone();
            plain_own.domains.sub.push(Site {
                domain: "sub.alice.test".parse().unwrap(),
                document_root: "apps/blog".parse().unwrap(),
                www: false,
            });
            let wanted = Directive::shape(&parse_nginx(&own_blocks(&plain_own)[0]).unwrap());
            for block in own_blocks(&set) {
                prop_assert_eq!(&Directive::shape(&parse_nginx(&block).unwrap()), &wanted);
            }
            // Nothing is outside the account's own places, and nothing is listed twice.
            let resources = render(&set, &facts()).unwrap();
            let keys: BTreeSet<&str> = resources.iter().map(|r| r.key.as_str()).collect();
            prop_assert_eq!(keys.len(), resources.len());
            for resource in &resources {
                let path = match &resource.kind {
                    Kind::Home { path, .. } | Kind::Dir { path, .. } | Kind::LogFile { path, .. } | Kind::File { path, .. }
                    | Kind::Symlink { path, .. } | Kind::SelfSignedCert { path, .. } => path.as_str(),
                    Kind::TenantDir { home, .. } => home.as_str(),
                    Kind::User(_) | Kind::UnitEnabled { .. } | Kind::NginxSite { .. } => continue,
                };
                let home = format!("/srv/www/{name}");
                let places = [
                    home.clone(),
                    format!("/etc/wcp360/php/{name}"),
                    format!("/etc/systemd/system/wcp360-{name}.slice.d"),
                    format!("/var/lib/wcp360/web/sites/{name}"),
                ];
                let inside = places.iter().any(|p| path == p || path.starts_with(&format!("{p}/")))
                    || path == format!("/var/lib/wcp360/web/php/{name}.sock")
                    || path.strip_prefix("/var/lib/wcp360/web/names/").is_some_and(|host| !host.contains('/'));
                prop_assert!(inside && !path.contains(".."), "{}", path);
            }
        }
    }
}

#[test]
fn the_base_parses_and_has_what_keeps_sites_apart() {
    for (file, content) in nginx::base(&facts()).unwrap() {
        let directives = parse_nginx(&content).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(!directives.is_empty(), "{file}");
    }
    let base = nginx::base(&facts()).unwrap();
    let main = &base["nginx.conf"];
    assert!(main.contains("disable_symlinks if_not_owner from=$document_root;"));
    assert!(main.contains("server_tokens off;"));
    let body = &base["site-body.conf"];
    assert!(body.contains("try_files $fastcgi_script_name =404;"));
    assert!(parse_nginx("server { listen 80").is_err() && parse_nginx("a; }").is_err());
}
