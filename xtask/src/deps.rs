//! Which crate may use which (docs/architecture.md).

use crate::repo;
use anyhow::{Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every crate of ours, with those of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("wcp360-types", &[]),
    ("wcp360-api", &["wcp360-types"]),
    ("wcp360-agent-proto", &["wcp360-types"]),
    ("wcp360-agent-render", &["wcp360-types"]),
    ("wcp360-agent", &["wcp360-agent-proto", "wcp360-agent-render", "wcp360-types", "wcp360-supervisor"]),
    ("wcp360-audit-chain", &["wcp360-types"]),
    ("wcp360-store", &["wcp360-types", "wcp360-audit-chain"]),
    ("wcp360-engine", &["wcp360-types", "wcp360-api", "wcp360-agent-proto", "wcp360-audit-chain", "wcp360-store"]),
    ("wcp360-server", &["wcp360-engine", "wcp360-store", "wcp360-api", "wcp360-types", "wcp360-agent-proto"]),
    ("wcp360-cli", &["wcp360-types", "wcp360-api", "wcp360-audit-chain"]),
    ("wcp360-supervisor", &[]),
    ("wcp360-bench", &["wcp360-types"]),
    ("wcp360-bench-engine", &["wcp360-audit-chain", "wcp360-engine", "wcp360-store", "wcp360-types"]),
    ("wcp360-e2e", &["wcp360-types", "wcp360-api"]),
    // What it expects of the panel must not come from the panel.
    ("wcp360-authorisation", &[]),
    ("xtask", &["wcp360-api", "wcp360-types"]),
];

/// Features that would change how our own code behaves, whoever asks for them.
const FORBIDDEN_FEATURES: &[(&str, &str, &str)] =
    &[("serde_json", "preserve_order", "revisions of manifests rely on sorted keys")];

/// Crates that must not come in through others.
const FORBIDDEN_CRATES: &[(&str, &str)] = &[
    ("aws-lc-rs", "TLS is rustls with ring everywhere; turn the other provider off"),
    ("openssl", "TLS is rustls with ring everywhere"),
];

/// Checks all crates.
pub(crate) fn run() -> Result<()> {
    let metadata = repo::metadata()?;
    let mut wrong = arrows(&metadata);
    wrong.extend(others(&repo::resolved_metadata()?));
    if !wrong.is_empty() {
        bail!("{}\nSee \"Crates\" in docs/architecture.md.", wrong.join("\n"));
    }
    println!("{} crates use what they may.", metadata["packages"].as_array().map_or(0, Vec::len));
    Ok(())
}

/// What our crates use of each other and may not.
fn arrows(metadata: &Value) -> Vec<String> {
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = may_use.get(name) else {
            wrong.push(format!("{name} is new: say in xtask/src/deps.rs what it may use"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let ours = dependency["path"].is_string();
            // What tests use is their business.
            if ours && dependency["kind"] != "dev" && !allowed.contains(&other) {
                wrong.push(format!("{name} must not use {other}"));
            }
        }
    }
    wrong
}

/// Looks through everybody else's crates, features resolved.
fn others(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
        let id = node["id"].as_str().unwrap_or_default();
        // `registry+…#name@version`
        let name = id.rsplit('#').next().and_then(|n| n.split('@').next()).unwrap_or_default();
        let features = node["features"].as_array();
        for (krate, feature, why) in FORBIDDEN_FEATURES {
            if name == *krate && features.is_some_and(|f| f.iter().any(|f| f == feature)) {
                wrong.push(format!("something turns on the feature {feature} of {krate}: {why}"));
            }
        }
        for (krate, why) in FORBIDDEN_CRATES {
            if name == *krate {
                wrong.push(format!("something uses {krate}: {why}; see `cargo tree -i {krate}`"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arrows_that_are_not_drawn_are_found() {
        let uses = |name: &str, kind: Value| json!({ "name": name, "path": "/x", "kind": kind });
        let metadata = json!({ "packages": [
            { "name": "wcp360-types", "dependencies": [uses("wcp360-engine", json!("dev")), { "name": "serde", "kind": null }] },
            { "name": "wcp360-cli", "dependencies": [uses("wcp360-types", json!(null)), uses("wcp360-store", json!(null))] },
            { "name": "wcp360-other", "dependencies": [] },
        ]});
        let wrong = arrows(&metadata);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert_eq!(wrong[0], "wcp360-cli must not use wcp360-store");
        assert!(wrong[1].starts_with("wcp360-other is new"));
    }

    #[test]
    fn forbidden_crates_and_features_are_found() {
        let metadata = json!({ "resolve": { "nodes": [
            { "id": "registry+https://x#serde_json@1.0.0", "features": ["preserve_order", "std"] },
            { "id": "registry+https://x#aws-lc-rs@1.0.0", "features": [] },
            { "id": "registry+https://x#serde@1.0.0", "features": ["std"] },
        ]}});
        assert_eq!(others(&metadata).len(), 2);
    }
}
