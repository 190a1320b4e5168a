//! Looking at jobs.

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::work::payload::{APPLY, Applied};
use wcp360_store::StoreError;
use wcp360_types::JobId;
use wcp360_types::api::job::Job;

impl Engine {
    /// A job that the caller may see, with what it changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn job(&self, caller: &Caller, id: JobId) -> Result<Option<Job>, EngineError> {
        let scope = caller.scope();
        let found = self.inner.db.read(move |tx| match tx.job(scope, id)? {
            Some(job) => Ok::<_, StoreError>(Some((job, tx.artifact(id, APPLY)?))),
            None => Ok(None),
        });
        Ok(found.await?.map(|(mut job, applied)| {
            // What an older version left and this one can't read is not worth an error here.
            job.applied = applied.and_then(|text| serde_json::from_str::<Applied>(&text).ok()).map(|a| a.plan);
            job
        }))
    }
}
