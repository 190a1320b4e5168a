//! The keys that seal the panel's secrets: how they are, and how they are replaced (SEC-10).

use crate::engine::Engine;
use crate::error::EngineError;
use wcp360_types::Problem;
use wcp360_types::api::secrets::SecretsStatus;

impl Engine {
    /// The sealing keys and how far a rotation is.
    ///
    /// # Errors
    /// The database's.
    pub async fn secrets(&self) -> Result<SecretsStatus, EngineError> {
        let counts = self.inner.db.read(|tx| tx.sealed_counts()).await?;
        Ok(self.inner.vault.status(&counts))
    }

    /// Begins a rotation: a new sealing key, a new key for JWTs, and everything else is sealed anew in the background.
    /// Interrupted, it goes on by itself.
    ///
    /// # Errors
    /// 409 while one is under way; the file of the keys can't be written.
    pub async fn rotate_secrets(&self) -> Result<SecretsStatus, EngineError> {
        let before = self.secrets().await?;
        if before.pending > 0 {
            let detail = format!("A rotation is under way: {} values are left. Wait for its end.", before.pending);
            return Err(Problem::conflict(detail).into());
        }
        self.inner.vault.add_key().map_err(|error| {
            tracing::error!(%error, "no new sealing key");
            Problem::internal()
        })?;
        self.replace_signer().await?;
        self.inner.reseal.notify_one();
        self.secrets().await
    }
}
