//! What rendering needs to know about the node.

use serde::Serialize;
use wcp360_types::manifest::PhpVersion;
use wcp360_types::node::NodeConfig;

/// An absolute path without anything that a configuration format gives a meaning to.
///
/// Components of `A-Z a-z 0-9 . _ @ -`; none is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AbsPath(String);

/// Why a path was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path the agent works on; use letters, digits and . _ @ - between slashes")]
pub struct PathError(pub String);

impl AbsPath {
    /// Checks `path`.
    ///
    /// # Errors
    /// It is not absolute, not normal, or holds other characters.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let clean = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
            plain && !matches!(part, "" | "." | "..")
        };
        match path.strip_prefix('/') {
            Some(rest) if rest.split('/').all(clean) && path.len() < 1024 => Ok(Self(path.into())),
            _ => Err(PathError(path.into())),
        }
    }

    /// This path and `relative` below it.
    ///
    /// # Errors
    /// As [`AbsPath::parse`].
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        Self::parse(&format!("{}/{relative}", self.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AbsPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for AbsPath {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

/// Facts about the node.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Where accounts live.
    pub base_dir: AbsPath,
    /// The node's settings.
    pub config: NodeConfig,
    /// Installed PHP versions, the default one first.
    pub php_versions: Vec<PhpVersion>,
    /// Whether the kernel speaks IPv6.
    pub ipv6: bool,
    /// Whether nginx knows the `http2` directive (1.25.1 and later) instead of the parameter of `listen`.
    pub nginx_http2_directive: bool,
    /// Whether the account that is rendered has nginx snippets of its own: then each of its sites needs a server block.
    pub snippets: bool,
}

impl NodeFacts {
    /// Facts for a node with `config`.
    ///
    /// # Errors
    /// `base_dir` is not a usable path.
    pub fn new(config: NodeConfig, php_versions: Vec<PhpVersion>, ipv6: bool) -> Result<Self, PathError> {
        let base_dir = AbsPath::parse(&config.base_dir)?;
        Ok(Self { base_dir, config, php_versions, ipv6, nginx_http2_directive: false, snippets: false })
    }

    /// The home directory of an account.
    pub fn home(&self, account: &wcp360_types::Username) -> AbsPath {
        AbsPath(format!("{}/{account}", self.base_dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths() {
        for good in ["/srv/www", "/etc/systemd/system/wcp360-php8.2@alice.socket"] {
            assert!(AbsPath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "srv", "/a/../b", "/a//b", "/a/./b", "/a b", "/a\n", "/a;b", "/a/", "/a$b", "/ü"] {
            assert!(AbsPath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
