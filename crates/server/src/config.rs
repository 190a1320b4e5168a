//! Reads the node's settings.

use anyhow::Context;
use std::path::Path;
use wcp360_types::node::NodeConfig;

/// Reads and checks `wcp360.yaml`.
///
/// # Errors
/// The file, the key and the remedy.
pub(crate) fn load(path: &Path) -> anyhow::Result<NodeConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let config: NodeConfig = if text.trim().is_empty() {
        NodeConfig::default()
    } else {
        serde_yaml_ng::from_str(&text).with_context(|| format!("{} is not valid; correct it", path.display()))?
    };
    config.check().map_err(|(key, error)| anyhow::anyhow!("{}: {key}: {error}", path.display()))?;
    Ok(config)
}
