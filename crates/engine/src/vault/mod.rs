//! Sealing of values that must be read back (SEC-10).
//!
//! What the database holds of a secret opens only with a key that is not in the database, and only in the table, row and
//! column it was sealed for: ChaCha20-Poly1305 (RFC 8439) with the place as associated data. The keys are in a file of the
//! user `wcp360` alone; several of them while a rotation is under way.

mod keys;
mod rotate;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::{KeyRing, SealingKey};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use wcp360_store::sealed::SealedColumn;

/// Says how a sealed value is made up: this form and no other.
const FORM: &str = "w1";

/// Why a value can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file of the keys.
    #[error("{path}: {reason}")]
    File {
        /// Where it is.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// It is not in the form of a sealed value.
    #[error("a value is not sealed, or damaged")]
    Malformed,
    /// The key it was sealed with is not in the file.
    #[error(
        "a value was sealed with the key {0}, which is not in the file of the keys; restore that file from the backup"
    )]
    UnknownKey(String),
    /// It was changed, or belongs to another row.
    #[error("a sealed value was changed, or moved from another row")]
    Forged,
}

/// Seals and opens. Its keys are read once; a key that another process added is found when it is needed.
pub struct Vault {
    file: PathBuf,
    keys: RwLock<KeyRing>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The row and column that a value is sealed for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The column.
    pub column: SealedColumn,
    /// The row's name.
    pub row: &'a str,
}

impl Place<'_> {
    /// What is authenticated with the value. Names of tables and columns hold no NUL, so no two places give the same bytes.
    fn associated(&self, key: &str) -> Aad<Vec<u8>> {
        let SealedColumn { table, column, .. } = self.column;
        Aad::from(format!("wcp360\0{FORM}\0{key}\0{table}\0{column}\0{}", self.row).into_bytes())
    }
}

impl Vault {
    /// Reads the keys; makes the file with a first one if there is none.
    ///
    /// # Errors
    /// The file can't be read or written, is damaged, or others may read it.
    pub fn open(file: &Path) -> Result<Self, VaultError> {
        let ring = match KeyRing::read(file)? {
            Some(ring) => ring,
            None => {
                let ring = KeyRing::first();
                ring.write(file)?;
                ring
            }
        };
        Ok(Self { file: file.to_owned(), keys: RwLock::new(ring) })
    }

    /// Whether there is a file of keys.
    pub fn exists(file: &Path) -> bool {
        file.exists()
    }

    /// Seals a value for a place, with the current key.
    ///
    /// # Panics
    /// If the kernel has no randomness to give: there is nothing safe to do then.
    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> String {
        let keys = self.keys.read().expect("no panic while keys change");
        let key = keys.current();
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the kernel gives random bytes");
        let mut sealed = value.to_vec();
        cipher(key)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place.associated(&key.id), &mut sealed)
            .expect("values are far smaller than the cipher's limit");
        let bytes = [nonce.as_slice(), &sealed].concat();
        format!("{FORM}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens a value that was sealed for a place.
    ///
    /// # Errors
    /// It was sealed for another place, was changed, or its key is gone.
    pub fn unseal(&self, place: Place<'_>, sealed: &str) -> Result<Vec<u8>, VaultError> {
        let mut parts = sealed.split('.');
        let (Some(FORM), Some(id), Some(text), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(VaultError::Malformed);
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| VaultError::Malformed)?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Malformed)?;
        let key = self.key(id)?;
        let mut value = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = cipher(&key).open_in_place(nonce, place.associated(id), &mut value);
        Ok(opened.map_err(|_| VaultError::Forged)?.to_vec())
    }

    /// The key with this identifier; looks into the file once more for one it does not know.
    fn key(&self, id: &str) -> Result<SealingKey, VaultError> {
        if let Some(key) = self.keys.read().expect("no panic while keys change").find(id) {
            return Ok(key.clone());
        }
        let unknown = || VaultError::UnknownKey(id.chars().take(16).collect());
        let ring = KeyRing::read(&self.file)?.ok_or_else(unknown)?;
        let key = ring.find(id).cloned().ok_or_else(unknown)?;
        *self.keys.write().expect("no panic while keys change") = ring;
        Ok(key)
    }
}

fn cipher(key: &SealingKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key.bytes).expect("a key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wcp360_store::sealed::SECRETS;

    fn place(row: &str) -> Place<'_> {
        Place { column: SECRETS, row }
    }

    #[test]
    fn sec_10_a_sealed_value_opens_where_it_belongs_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&dir.path().join("secrets.key")).unwrap();
        let sealed = vault.seal(place("one"), b"a secret");
        assert!(!sealed.contains("secret"));
        assert_eq!(vault.unseal(place("one"), &sealed).unwrap(), b"a secret");
        assert_ne!(sealed, vault.seal(place("one"), b"a secret"), "a nonce of its own each time");
        assert!(matches!(vault.unseal(place("two"), &sealed), Err(VaultError::Forged)), "another row");
        for (table, column) in [("others", "sealed"), ("secrets", "other")] {
            let column = SealedColumn { table, key: "name", column };
            let elsewhere = Place { column, row: "one" };
            assert!(matches!(vault.unseal(elsewhere, &sealed), Err(VaultError::Forged)), "{elsewhere:?}");
        }
    }

    #[test]
    fn sec_10_what_is_cut_or_changed_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&dir.path().join("secrets.key")).unwrap();
        let sealed = vault.seal(place("one"), b"a secret");
        for length in 0..sealed.len() {
            assert!(vault.unseal(place("one"), &sealed[..length]).is_err(), "{length}");
        }
        for position in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(vault.unseal(place("one"), &changed).is_err(), "{position}");
        }
        assert!(vault.unseal(place("one"), &format!("{sealed}.x")).is_err());
    }

    #[test]
    fn sec_10_two_installations_share_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let one = Vault::open(&dir.path().join("one.key")).unwrap();
        let two = Vault::open(&dir.path().join("two.key")).unwrap();
        let sealed = one.seal(place("one"), b"a secret");
        assert!(matches!(two.unseal(place("one"), &sealed), Err(VaultError::UnknownKey(_))));
        // Also under the same name of the key.
        let (_, rest) = sealed.rsplit_once('.').unwrap();
        let id = two.seal(place("one"), b"x").split('.').nth(1).unwrap().to_owned();
        assert!(matches!(two.unseal(place("one"), &format!("w1.{id}.{rest}")), Err(VaultError::Forged)));
    }
}
