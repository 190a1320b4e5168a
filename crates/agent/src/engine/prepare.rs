//! What the node needs before any account: its directories, units and the panel's certificate.

use super::{StartError, SystemIds, units};
use crate::fsx::{Access, Durability, Fs, Meta};
use crate::services::ServiceManager;
use wcp360_agent_render::paths::PANEL_CERT;
use wcp360_agent_render::{Kind, NodeFacts, Principal, node};

/// Brings the node's own directories and units up to date.
pub(super) fn prepare_node(
    fs: &Fs,
    facts: &NodeFacts,
    ids: SystemIds,
    services: &dyn ServiceManager,
) -> Result<(), StartError> {
    let group = |principal| match principal {
        Principal::Web => ids.web_gid,
        Principal::Panel => ids.panel_gid,
        Principal::Root | Principal::Account => 0,
    };
    for resource in node::render_node(facts)? {
        match resource.kind {
            Kind::Dir { path, group: owner, mode, .. } => {
                fs.ensure_dir(path.as_str(), Access { uid: 0, gid: group(owner), mode })?;
            }
            Kind::File { path, content, mode, .. } => {
                let access = Access { uid: 0, gid: 0, mode };
                let same = |(bytes, meta): (Vec<u8>, Meta)| bytes == content.as_bytes() && meta.access == access;
                fs.remove_temporary(path.as_str())?;
                if !fs.read(path.as_str())?.is_some_and(same) {
                    units::will_change(fs)?;
                    fs.write(path.as_str(), content.as_bytes(), access, Durability::Derived)?;
                }
            }
            other => return Err(StartError::Node(format!("{other:?} is not a resource of a node"))),
        }
    }
    units::read_changed(fs, services).map_err(|e| StartError::Node(e.to_string()))?;
    panel_certificate(fs, facts)
}

/// nginx does not start without the panel's certificate.
fn panel_certificate(fs: &Fs, facts: &NodeFacts) -> Result<(), StartError> {
    let path = PANEL_CERT;
    fs.remove_temporary(path)?;
    let mut names = vec![facts.config.hostname.clone()];
    if facts.config.hostname != "localhost" {
        names.push("localhost".into());
    }
    let now = jiff::Timestamp::now().as_second();
    let found = fs.read(path)?.map(|(pem, _)| crate::cert::shortcoming(&pem, &names[..1], now));
    // One that an administrator has put there may name more than ours would: only what is missing counts.
    if found.is_none_or(|shortcoming| shortcoming.is_some_and(|why| !why.starts_with("it covers"))) {
        let pem = crate::cert::self_signed(&names, now).map_err(|e| StartError::Node(e.to_string()))?;
        fs.write(path, pem.as_bytes(), Access { uid: 0, gid: 0, mode: 0o600 }, Durability::Durable)?;
    }
    Ok(())
}
