//! Keeping a token that is shown once.

use crate::failure::Failure;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file that is ready to take a token. Made before the request: what is shown once can't be asked for again when the
/// disk turns out to be full or the directory missing.
pub(crate) struct Place {
    file: NamedTempFile,
    path: PathBuf,
}

impl Place {
    /// Makes a file beside `path`, readable by its owner alone.
    ///
    /// # Errors
    /// The directory is missing or not writable.
    pub(crate) fn prepare(path: &Path) -> Result<Self, Failure> {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // Temporary files have mode 0600.
        let file = NamedTempFile::with_prefix_in(".wcp360-token-", directory).map_err(|e| Failure::file(path, e))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the token and puts the file into its place, whole or not at all.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn save(mut self, token: &str) -> Result<(), Failure> {
        let failed = |e| Failure::file(&self.path, e);
        self.file.write_all(format!("{token}\n").as_bytes()).map_err(failed)?;
        self.file.as_file().sync_all().map_err(failed)?;
        self.file.persist(&self.path).map_err(|e| Failure::file(&self.path, e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sec_a_token_is_readable_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.key");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        Place::prepare(&path).unwrap().save("new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(Place::prepare(&path).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
