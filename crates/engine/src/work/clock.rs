//! Wakes what waits for its time: postponed and delayed jobs, and jobs whose worker is gone.

use crate::engine::Engine;
use crate::service::schedules::next_due;
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::watch;
use wcp360_store::StoreError;

/// Looks at least this often: other processes queue jobs too, and leases run out.
const LONGEST: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(20);

impl Engine {
    /// Runs until `stop` turns true.
    pub(super) async fn keep_time(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let changed = self.inner.clock.notified();
            let pause = match self.wake_due().await {
                Ok(next) => until(next),
                Err(error) => {
                    tracing::error!(%error, "waiting jobs can't be looked at");
                    LONGEST
                }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Wakes what is due; when the next one is.
    async fn wake_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = Timestamp::now();
        let db = &self.inner.db;
        if let Err(error) = self.run_schedules(now).await {
            tracing::error!(%error, "schedules can't be run");
        }
        self.reconcile_if_due(now).await?;
        // Most looks find nothing, and need not wait for whoever is writing.
        if db.read(move |tx| tx.is_anything_due(now)).await? && db.write(move |tx| tx.wake_due(now)).await? > 0 {
            self.inner.work.notify_one();
        }
        if db.is_shared() && db.read(|tx| tx.has_ready_job()).await? {
            self.inner.work.notify_one();
        }
        db.read(|tx| Ok([tx.next_run()?, next_due(tx)?].into_iter().flatten().min())).await
    }
}

fn until(next: Option<Timestamp>) -> Duration {
    let millis = next.map_or(i64::MAX, |at| at.as_millisecond() - Timestamp::now().as_millisecond());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).clamp(SHORTEST, LONGEST)
}
