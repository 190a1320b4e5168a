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

/// What `db.yaml` holds.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Database {
    /// As libpq has it, e.g. `postgresql://wcp360@%2Frun%2Fpostgresql/wcp360`.
    url: String,
}

/// The address of the PostgreSQL database, if there is one. The address is never shown: it may hold a password.
///
/// # Errors
/// The file can't be read or does not hold what it should.
pub(crate) fn database(path: &Path) -> anyhow::Result<Option<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} can't be read", path.display())),
    };
    let database: Database = serde_yaml_ng::from_str(&text)
        .map_err(|_| anyhow::anyhow!("{}: write \"url: postgresql://user@host/name\" into it", path.display()))?;
    Ok(Some(database.url))
}
