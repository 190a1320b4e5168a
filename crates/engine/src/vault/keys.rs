//! The file of the keys: JSON, readable for its owner alone, replaced as a whole.

use super::VaultError;
use crate::file::write_whole;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A key.
#[derive(Clone)]
pub(super) struct SealingKey {
    /// 16 hexadecimal digits, at random.
    pub(super) id: String,
    pub(super) created_at: Timestamp,
    pub(super) bytes: [u8; 32],
}

/// The keys, oldest first. There is at least one; the last one seals.
#[derive(Clone)]
pub(super) struct KeyRing(Vec<SealingKey>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: u32,
    keys: Vec<KeyOnDisk>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyOnDisk {
    id: String,
    created_at: Timestamp,
    key: String,
}

impl SealingKey {
    fn generate() -> Self {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
        Self { id: crate::secret::random_hex(8), created_at: Timestamp::now(), bytes }
    }
}

impl KeyRing {
    /// A ring with one new key.
    pub(super) fn first() -> Self {
        Self(vec![SealingKey::generate()])
    }

    /// The key that seals.
    pub(super) fn current(&self) -> &SealingKey {
        self.0.last().expect("a ring is made with a key and never loses the last one")
    }

    pub(super) fn find(&self, id: &str) -> Option<&SealingKey> {
        self.0.iter().find(|key| key.id == id)
    }

    pub(super) fn keys(&self) -> &[SealingKey] {
        &self.0
    }

    /// The ring with one more key, which seals from now on.
    pub(super) fn with_new_key(&self) -> Self {
        let mut keys = self.0.clone();
        keys.push(SealingKey::generate());
        Self(keys)
    }

    /// The ring without the older keys that `unused` names.
    pub(super) fn without(&self, unused: impl Fn(&SealingKey) -> bool) -> Self {
        let current = self.current().id.clone();
        Self(self.0.iter().filter(|key| key.id == current || !unused(key)).cloned().collect())
    }

    /// Reads the file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, VaultError> {
        let fail = |reason: String| VaultError::File { path: path.display().to_string(), reason };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(format!("it can't be read: {error}"))),
        };
        let mode = file.metadata().map_err(|error| fail(error.to_string()))?.mode();
        if mode & 0o077 != 0 {
            return Err(fail(format!("others may read it (mode {:o}); chmod 0400 it", mode & 0o7777)));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| fail(format!("it can't be read: {error}")))?;
        let damaged = |what: &str| fail(format!("{what}; restore it from the backup"));
        let disk: OnDisk = serde_json::from_str(&text).map_err(|_| damaged("it is damaged"))?;
        if disk.version != 1 {
            return Err(damaged("it was written by a newer version"));
        }
        let mut keys = Vec::with_capacity(disk.keys.len());
        for KeyOnDisk { id, created_at, key } in disk.keys {
            let bytes = STANDARD.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
            let proper = id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
            let bytes = bytes.filter(|_| proper).ok_or_else(|| damaged("a key in it is damaged"))?;
            keys.push(SealingKey { id, created_at, bytes });
        }
        if keys.is_empty() {
            return Err(damaged("there is no key in it"));
        }
        Ok(Some(Self(keys)))
    }

    /// Replaces the file: the old content or the new one is there, whenever the machine stops.
    pub(super) fn write(&self, path: &Path) -> Result<(), VaultError> {
        let keys = self.0.iter().map(|key| KeyOnDisk {
            id: key.id.clone(),
            created_at: key.created_at,
            key: STANDARD.encode(key.bytes),
        });
        let disk = OnDisk { version: 1, keys: keys.collect() };
        let text = serde_json::to_string_pretty(&disk).expect("plain data has a JSON form");
        write_whole(path, &(text + "\n"), 0o400).map_err(|error| VaultError::File {
            path: path.display().to_string(),
            reason: format!("it can't be written: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sec_10_the_file_is_private_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.key");
        assert!(KeyRing::read(&path).unwrap().is_none());
        let ring = KeyRing::first();
        ring.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o400);
        assert_eq!(KeyRing::read(&path).unwrap().unwrap().current().bytes, ring.current().bytes);
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in ["", "{}", &text[..text.len() / 2], &text.replace("\"version\": 1", "\"version\": 2")] {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, damaged).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
            let Err(error) = KeyRing::read(&path) else { panic!("{damaged:?} is accepted") };
            assert!(error.to_string().contains("backup"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
        let Err(error) = KeyRing::read(&path) else { panic!("a file that others read is accepted") };
        assert!(error.to_string().contains("0400"), "{error}");
    }

    #[test]
    fn sec_10_a_write_that_was_interrupted_leaves_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.key");
        let ring = KeyRing::first();
        ring.write(&path).unwrap();
        // Killed before the rename: a part of the new file lies beside the old one.
        std::fs::write(path.with_extension("new"), "{\"vers").unwrap();
        assert_eq!(KeyRing::read(&path).unwrap().unwrap().keys().len(), 1);
        ring.with_new_key().write(&path).unwrap();
        assert_eq!(KeyRing::read(&path).unwrap().unwrap().keys().len(), 2);
    }

    #[test]
    fn sec_10_the_current_key_is_never_dropped() {
        let ring = KeyRing::first().with_new_key();
        let left = ring.without(|_| true);
        assert_eq!(left.keys().len(), 1);
        assert_eq!(left.current().id, ring.current().id);
    }
}
