//! A job that does nothing: what a job costs by itself, for benchmarks.

use crate::engine::Engine;
use crate::error::EngineError;
use crate::work::payload::Payload;
use jiff::Timestamp;
use wcp360_store::jobs::{NewJob, Request, Subject};
use wcp360_types::{JobId, RequestId, UserId};

impl Engine {
    /// Queues a job that changes nothing. Those of a lane run one after the other.
    ///
    /// # Errors
    /// The database's.
    pub async fn probe(&self, lane: &str) -> Result<JobId, EngineError> {
        let id = JobId::new();
        let job = NewJob {
            id,
            request: Request {
                operation: "probe".into(),
                actor: "-".into(),
                actor_id: None,
                source: "local".into(),
                request_id: RequestId::new().to_string(),
                payload: serde_json::to_string(&Payload::Nothing {}).expect("plain data has a JSON form"),
            },
            subject: Subject {
                lane: lane.to_owned(),
                tenant: lane.to_owned(),
                account_id: None,
                account: None,
                owner_id: UserId::new(),
            },
            steps: &["nothing"],
            priority: 0,
            undoes: None,
            schedule: None,
        };
        self.inner.db.write(move |tx| tx.insert_job(&job, Timestamp::now())).await?;
        self.inner.work.notify_one();
        Ok(id)
    }
}
