//! What has to be done now and then: write what was counted, forget what is over, finish rotations.

use crate::engine::Engine;
use crate::error::EngineError;
use crate::password;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::sync::watch;

const EVERY: Duration = Duration::from_secs(60);
/// How long a request with an idempotency key can be repeated.
const REPEATABLE: SignedDuration = SignedDuration::from_hours(24);
/// Jobs that are forgotten in one transaction.
const JOBS_AT_ONCE: u32 = 500;
/// How long the login history goes back.
const HISTORY: SignedDuration = SignedDuration::from_hours(24 * 90);

impl Engine {
    /// Runs until `stop` turns true; then writes what was counted.
    pub async fn keep_identities(&self, mut stop: watch::Receiver<bool>) {
        password::prepare().await;
        while !*stop.borrow() {
            self.look_after().await;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.inner.reseal.notified() => {}
                _ = stop.changed() => {}
            }
        }
        if let Err(error) = self.write_all_uses(Timestamp::now()).await {
            tracing::error!(%error, "uses of tokens could not be written");
        }
    }

    async fn look_after(&self) {
        let now = Timestamp::now();
        for (what, done) in [
            ("uses of tokens", self.write_all_uses(now).await),
            ("old sessions and logins", self.forget_what_is_over(now).await),
            ("old jobs", self.forget_old_jobs(now).await),
            ("sealed values", self.finish_rotation(now).await),
        ] {
            if let Err(error) = done {
                tracing::error!(%error, what, "upkeep failed; it is tried again in a minute");
            }
        }
    }

    async fn write_all_uses(&self, now: Timestamp) -> Result<(), EngineError> {
        let all = self.inner.uses.take_all(now);
        if all.is_empty() { Ok(()) } else { self.write_uses(all).await }
    }

    async fn forget_what_is_over(&self, now: Timestamp) -> Result<(), EngineError> {
        let work = move |tx: &mut wcp360_store::Tx<'_>| {
            tx.purge_sessions(now)?;
            tx.purge_logins(now - HISTORY).map(|_| ())
        };
        Ok(self.inner.db.write(work).await?)
    }

    /// A batch at a time, so that others get their turn: what is left is for the next minute.
    pub(crate) async fn forget_old_jobs(&self, now: Timestamp) -> Result<(), EngineError> {
        let before = now - SignedDuration::from_hours(24 * i64::from(self.inner.settings.keep_jobs_days));
        let work = move |tx: &mut wcp360_store::Tx<'_>| {
            tx.purge_keys(now - REPEATABLE)?;
            tx.purge_jobs(before, JOBS_AT_ONCE).map(|_| ())
        };
        Ok(self.inner.db.write(work).await?)
    }

    /// Seals anew what an older key seals, and drops keys that nothing needs.
    async fn finish_rotation(&self, now: Timestamp) -> Result<(), EngineError> {
        let status = self.secrets().await?;
        if status.pending > 0 {
            self.inner.vault.reseal(&self.inner.db).await?;
        }
        if status.keys.len() > 1 {
            let counts = self.inner.db.read(|tx| tx.sealed_counts()).await?;
            match self.inner.vault.drop_unused(&counts, now) {
                Ok(0) => {}
                Ok(keys) => tracing::info!(keys, "sealing keys that nothing needs were dropped"),
                Err(error) => tracing::error!(%error, "an old sealing key can't be dropped"),
            }
        }
        Ok(())
    }
}
