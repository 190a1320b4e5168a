//! The key that signs the trail: a file outside of the database, so that who can write there can't sign what they wrote.

use crate::file::write_whole;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::path::Path;
use wcp360_audit_chain::SigningKey;

/// Reads the key, or makes one at the first start.
///
/// # Errors
/// The file can't be read or written, or holds something else: then it is not replaced, because nobody could verify any more
/// what it signed.
pub(super) fn load_or_make(path: &Path) -> std::io::Result<SigningKey> {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(1024).read_to_string(&mut text)?;
            SigningKey::parse(&text).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = generate()?;
            store(path, &key)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// A new key.
///
/// # Errors
/// The kernel gives no random bytes.
pub(super) fn generate() -> std::io::Result<SigningKey> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
    SigningKey::from_seed(seed).map_err(std::io::Error::other)
}

/// Puts a key in the place of the one before, whole or not at all; only this user can read it, and nobody write.
///
/// # Errors
/// The file can't be written.
pub(super) fn store(path: &Path, key: &SigningKey) -> std::io::Result<()> {
    write_whole(path, &format!("{}\n", key.seed()), 0o400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sec_06_the_key_is_made_once_and_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        let made = load_or_make(&path).unwrap();
        assert_eq!(load_or_make(&path).unwrap().public(), made.public());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        store(&path, &generate().unwrap()).unwrap();
        assert_ne!(load_or_make(&path).unwrap().public(), made.public());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(load_or_make(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
