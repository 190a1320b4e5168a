//! Which crate may use which (docs/architecture.md).

use crate::repo;
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// Every crate of ours, with those of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("wcp360-types", &[]),
    ("wcp360-api", &["wcp360-types"]),
    ("wcp360-agent-proto", &["wcp360-types"]),
    ("wcp360-agent-render", &["wcp360-types"]),
    ("wcp360-agent", &["wcp360-agent-proto", "wcp360-agent-render", "wcp360-types", "wcp360-supervisor"]),
    ("wcp360-store", &["wcp360-types"]),
    ("wcp360-engine", &["wcp360-types", "wcp360-api", "wcp360-agent-proto", "wcp360-store"]),
    ("wcp360-server", &["wcp360-engine", "wcp360-store", "wcp360-api", "wcp360-types", "wcp360-agent-proto"]),
    ("wcp360-cli", &["wcp360-types", "wcp360-api"]),
    ("wcp360-supervisor", &[]),
    ("wcp360-bench", &["wcp360-types"]),
    ("wcp360-e2e", &["wcp360-types", "wcp360-api"]),
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
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    let metadata = repo::metadata()?;
    let mut seen = 0;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        seen += 1;
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
    wrong.extend(others()?);
    if !wrong.is_empty() {
        bail!("{}\nSee \"Crates\" in docs/architecture.md.", wrong.join("\n"));
    }
    println!("{seen} crates use what they may.");
    Ok(())
}

/// Looks through everybody else's crates, features resolved.
fn others() -> Result<Vec<String>> {
    let metadata = repo::resolved_metadata()?;
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
    Ok(wrong)
}
