//! Rotation: a new key, everything sealed anew with it, and the old one dropped when nothing needs it.
//!
//! There is no state to lose: the newest key in the file is the current one, and every value says which key it needs. So it
//! goes on from wherever it was stopped.

use super::{Place, Vault, VaultError};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use wcp360_store::sealed::{SEALED_COLUMNS, SealedColumn};
use wcp360_store::{Db, StoreError, Tx};
use wcp360_types::api::secrets::{SealingKey, SecretsStatus};

/// Values that are sealed anew in one transaction.
const BATCH: u32 = 100;
/// A key outlives its last value by this: what was sealed with it a moment before may still be on its way to the database.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

impl Vault {
    /// Makes a new key, which seals from now on.
    ///
    /// # Errors
    /// The file can't be written; then nothing has changed.
    pub fn add_key(&self) -> Result<(), VaultError> {
        let mut keys = self.keys.write().expect("no panic while keys change");
        let next = keys.with_new_key();
        next.write(&self.file)?;
        *keys = next;
        Ok(())
    }

    /// Identifier of the key that seals.
    pub fn current_key(&self) -> String {
        self.keys.read().expect("no panic while keys change").current().id.clone()
    }

    /// The keys and what each of them seals.
    pub fn status(&self, counts: &BTreeMap<String, u64>) -> SecretsStatus {
        let keys = self.keys.read().expect("no panic while keys change");
        let current = keys.current().id.clone();
        SecretsStatus {
            pending: counts.iter().filter(|(id, _)| **id != current).map(|(_, values)| values).sum(),
            keys: keys
                .keys()
                .iter()
                .map(|key| SealingKey {
                    id: key.id.clone(),
                    created_at: key.created_at,
                    values: counts.get(&key.id).copied().unwrap_or(0),
                })
                .collect(),
            current,
        }
    }

    /// Seals up to [`BATCH`] values of a column anew; the last row that was looked at, or `None` at the end.
    fn reseal_some(&self, tx: &mut Tx<'_>, column: SealedColumn, after: &str) -> Result<Option<String>, StoreError> {
        let values = tx.sealed_with_others(column, &self.current_key(), after, BATCH)?;
        for (row, before) in &values {
            let place = Place { column, row };
            match self.unseal(place, before) {
                // Unless it was replaced meanwhile: then it is sealed anew already.
                Ok(value) => drop(tx.replace_sealed(column, row, before, &self.seal(place, &value))?),
                // It stays as it is, and so does its key.
                Err(error) => tracing::error!(%error, table = column.table, row, "a value can't be sealed anew"),
            }
        }
        Ok(values.into_iter().last().map(|(row, _)| row))
    }

    /// Seals everything anew that an older key seals, batch by batch.
    ///
    /// # Errors
    /// The database's; then it goes on where it was, the next time.
    pub async fn reseal(self: &std::sync::Arc<Self>, db: &Db) -> Result<(), StoreError> {
        for column in SEALED_COLUMNS {
            let mut after = String::new();
            loop {
                let vault = self.clone();
                match db.write(move |tx| vault.reseal_some(tx, *column, &after)).await? {
                    Some(row) => after = row,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Drops older keys that seal nothing, some time after they were replaced; how many.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn drop_unused(&self, counts: &BTreeMap<String, u64>, now: Timestamp) -> Result<usize, VaultError> {
        let mut keys = self.keys.write().expect("no panic while keys change");
        if now < keys.current().created_at + GRACE {
            return Ok(0);
        }
        let left = keys.without(|key| counts.get(&key.id).is_none_or(|values| *values == 0));
        let dropped = keys.keys().len() - left.keys().len();
        if dropped > 0 {
            left.write(&self.file)?;
            *keys = left;
        }
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;
    use wcp360_store::sealed::SECRETS;

    async fn filled(dir: &Path, values: usize) -> (Db, Arc<Vault>) {
        let db = Db::open_sqlite(&dir.join("state.db")).await.unwrap();
        let vault = Arc::new(Vault::open(&dir.join("secrets.key")).unwrap());
        let sealer = vault.clone();
        db.write(move |tx| {
            for n in 0..values {
                let row = format!("value {n:04}");
                let sealed = sealer.seal(Place { column: SECRETS, row: &row }, row.as_bytes());
                tx.set_secret(&row, &sealed, Timestamp::now())?;
            }
            Ok::<(), StoreError>(())
        })
        .await
        .unwrap();
        (db, vault)
    }

    async fn status(db: &Db, vault: &Vault) -> SecretsStatus {
        vault.status(&db.read::<_, StoreError, _>(|tx| tx.sealed_counts()).await.unwrap())
    }

    async fn all_open(db: &Db, vault: &Vault, values: usize) {
        for n in 0..values {
            let row = format!("value {n:04}");
            let name = row.clone();
            let sealed = db.read::<_, StoreError, _>(move |tx| tx.secret(&name)).await.unwrap().unwrap();
            assert_eq!(vault.unseal(Place { column: SECRETS, row: &row }, &sealed).unwrap(), row.as_bytes());
        }
    }

    #[tokio::test]
    async fn sec_10_a_rotation_goes_on_wherever_it_was_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (db, vault) = filled(dir.path(), 250).await;
        let first = vault.current_key();
        vault.add_key().unwrap();
        // Stopped right after the new key was made; then after each batch.
        for done in [0, 100, 200] {
            let again = Arc::new(Vault::open(&dir.path().join("secrets.key")).unwrap());
            assert_ne!(again.current_key(), first);
            assert_eq!(status(&db, &again).await.pending, 250 - done);
            all_open(&db, &again, 250).await;
            let late = Timestamp::now() + SignedDuration::from_hours(2);
            let counts = db.read::<_, StoreError, _>(|tx| tx.sealed_counts()).await.unwrap();
            assert_eq!(again.drop_unused(&counts, late).unwrap(), 0, "the old key is needed");
            db.write(move |tx| again.reseal_some(tx, SECRETS, "")).await.unwrap();
        }
        let last = Arc::new(Vault::open(&dir.path().join("secrets.key")).unwrap());
        last.reseal(&db).await.unwrap();
        assert_eq!(status(&db, &last).await.pending, 0);
        let counts = db.read::<_, StoreError, _>(|tx| tx.sealed_counts()).await.unwrap();
        assert_eq!(last.drop_unused(&counts, Timestamp::now()).unwrap(), 0, "something may be on its way");
        assert_eq!(last.drop_unused(&counts, Timestamp::now() + SignedDuration::from_hours(2)).unwrap(), 1);
        let fresh = Vault::open(&dir.path().join("secrets.key")).unwrap();
        assert_eq!(status(&db, &fresh).await.keys.len(), 1);
        all_open(&db, &fresh, 250).await;
    }

    #[tokio::test]
    async fn sec_10_a_value_that_does_not_open_keeps_its_key_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (db, vault) = filled(dir.path(), 3).await;
        // The first row's value, moved to the second row.
        db.write::<_, StoreError, _>(|tx| {
            let first = tx.secret("value 0000")?.unwrap();
            tx.set_secret("value 0001", &first, Timestamp::now())
        })
        .await
        .unwrap();
        vault.add_key().unwrap();
        vault.reseal(&db).await.unwrap();
        let after = status(&db, &vault).await;
        assert_eq!((after.pending, after.keys[0].values, after.keys[1].values), (1, 1, 2));
        let counts = db.read::<_, StoreError, _>(|tx| tx.sealed_counts()).await.unwrap();
        assert_eq!(vault.drop_unused(&counts, Timestamp::now() + SignedDuration::from_hours(2)).unwrap(), 0);
    }

    #[tokio::test]
    async fn sec_10_another_process_finds_the_new_key() {
        let dir = tempfile::tempdir().unwrap();
        let (_db, vault) = filled(dir.path(), 0).await;
        let other = Vault::open(&dir.path().join("secrets.key")).unwrap();
        vault.add_key().unwrap();
        let place = Place { column: SECRETS, row: "x" };
        assert_eq!(other.unseal(place, &vault.seal(place, b"new")).unwrap(), b"new");
        assert_eq!(other.current_key(), vault.current_key());
    }
}
