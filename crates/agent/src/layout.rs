//! Where things are, below a prefix that is `/` except in tests.

use std::path::{Path, PathBuf};

/// The root of everything the agent touches.
///
/// All other modules speak of paths as they are on a real machine (`/etc/passwd`); [`crate::fsx::Fs`] puts the prefix in
/// front, so that a test runs the whole engine in a temporary directory.
#[derive(Debug, Clone)]
pub struct Layout {
    prefix: PathBuf,
}

impl Layout {
    /// The machine itself.
    pub fn system() -> Self {
        Self { prefix: "/".into() }
    }

    /// A pretended machine in `prefix`.
    pub fn below(prefix: &Path) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Whether this is the machine itself.
    pub fn is_system(&self) -> bool {
        self.prefix == Path::new("/")
    }

    /// Where `path` really is.
    pub fn real(&self, path: &str) -> PathBuf {
        self.prefix.join(path.trim_start_matches('/'))
    }
}
