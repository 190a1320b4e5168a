//! Reading the node's settings and finding out facts about it.

use crate::layout::Layout;
use std::os::unix::fs::MetadataExt;
use wcp360_agent_render::NodeFacts;
use wcp360_types::manifest::PhpVersion;
use wcp360_types::node::NodeConfig;

/// Where the settings are.
pub const CONFIG: &str = "/etc/wcp360/wcp360.yaml";

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{CONFIG}: {0}; reinstall, or restore it from a backup")]
    Read(std::io::Error),
    /// Anybody could have written it.
    #[error(
        "{CONFIG} must belong to root and be writable by nobody else; run: chown root:root {CONFIG} && chmod 0644 {CONFIG}"
    )]
    Owner,
    /// Not what it should be.
    #[error("{CONFIG}: {key}: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// The rule and the remedy.
        reason: String,
    },
}

/// Reads and checks the settings.
///
/// # Errors
/// Names the key and the remedy.
pub fn load(layout: &Layout) -> Result<NodeConfig, ConfigError> {
    let path = layout.real(CONFIG);
    let meta = std::fs::metadata(&path).map_err(ConfigError::Read)?;
    if meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        return Err(ConfigError::Owner);
    }
    parse(&std::fs::read_to_string(&path).map_err(ConfigError::Read)?)
}

fn parse(text: &str) -> Result<NodeConfig, ConfigError> {
    // A file of comments only is an empty document, which YAML reads as null.
    let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let config: NodeConfig = if only_comments {
        NodeConfig::default()
    } else {
        serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|e| {
            let key = match e.path().to_string() {
                path if path == "." => "settings".to_owned(),
                path => path,
            };
            ConfigError::Invalid { key, reason: e.inner().to_string() }
        })?
    };
    config.check().map_err(|(key, error)| ConfigError::Invalid { key: key.into(), reason: error.to_string() })?;
    Ok(config)
}

/// Facts about this machine.
///
/// # Errors
/// `base_dir` is not a usable path.
pub fn facts(config: NodeConfig, layout: &Layout) -> Result<NodeFacts, ConfigError> {
    let ipv6 = layout.real("/proc/net/if_inet6").exists();
    NodeFacts::new(config, installed_php(layout), ipv6)
        .map_err(|e| ConfigError::Invalid { key: "base_dir".into(), reason: e.to_string() })
}

/// Installed versions of php-fpm, the newest first: that is the default.
fn installed_php(layout: &Layout) -> Vec<PhpVersion> {
    let Ok(entries) = std::fs::read_dir(layout.real("/usr/sbin")) else { return Vec::new() };
    let mut versions: Vec<PhpVersion> = entries
        .flatten()
        .filter_map(|entry| PhpVersion::parse(entry.file_name().to_str()?.strip_prefix("php-fpm")?).ok())
        .collect();
    versions.sort();
    versions.reverse();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plt_08_errors_name_the_key_and_the_remedy() {
        assert_eq!(parse("# nothing\n").unwrap(), NodeConfig::default());
        assert_eq!(parse("uid_min: 30000\n").unwrap().uid_min, 30_000);
        for (text, key) in [
            ("http_port: many\n", "http_port"),
            ("api_listen: 0.0.0.0:2098\n", "api_listen"),
            ("base_dir: ../x\n", "base_dir"),
            ("hostnam: x\n", "hostnam"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}
