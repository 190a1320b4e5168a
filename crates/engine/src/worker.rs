//! Workers: lease a job, do its steps, write down each outcome before the next (ENG-01 to ENG-03).

use crate::engine::Engine;
use crate::error::EngineError;
use crate::job::{APPLY, Applied, PREPARE, Payload, Prepared, VERIFY};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::sync::watch;
use wcp360_agent_proto::{AgentError, AgentErrorCode, ConvergeRequest};
use wcp360_store::audit::NewAudit;
use wcp360_store::jobs::LeasedJob;
use wcp360_store::{StoreError, Tx};
use wcp360_types::OperationId;
use wcp360_types::api::job::JobState;
use wcp360_types::manifest::AuditReference;
use wcp360_types::plan::Plan;

/// How long a worker may be silent before another one takes over.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// Attempts of a step that fails in a way that may pass.
const MAX_ATTEMPTS: u32 = 5;
/// Attempts while the agent can't be reached: with pauses of 15 s at most, about a day.
const MAX_ATTEMPTS_UNREACHABLE: u32 = 6000;

/// How a step ended that did not succeed.
enum StepError {
    /// It may work later.
    Transient { message: String, attempts: u32 },
    /// It won't.
    Final(String),
    /// The job is not ours any more, or the database is away: stop, write nothing.
    Abandon(StoreError),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        StepError::Abandon(error)
    }
}

impl From<AgentError> for StepError {
    fn from(error: AgentError) -> Self {
        match error.code {
            AgentErrorCode::Unreachable => {
                StepError::Transient { message: error.message, attempts: MAX_ATTEMPTS_UNREACHABLE }
            }
            _ if error.is_transient() => StepError::Transient { message: error.message, attempts: MAX_ATTEMPTS },
            _ => StepError::Final(error.message),
        }
    }
}

/// What a step leaves behind, written in the same transaction as its completion.
struct StepDone {
    output: String,
    notes: Vec<String>,
    index: Option<Option<wcp360_types::manifest::ManifestSet>>,
}

impl Engine {
    /// Works on jobs until `stop` turns true; then finishes the steps at hand.
    pub async fn run_workers(&self, stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        let released = self.inner.db.release_leases().await?;
        if released > 0 {
            tracing::info!(jobs = released, "going on with jobs that a restart interrupted");
        }
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..self.inner.settings.workers {
            workers.spawn(self.clone().work(stop.clone()));
        }
        while workers.join_next().await.is_some() {}
        Ok(())
    }

    async fn work(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            // Registered before looking, so that work queued in between is not missed.
            let woken = self.inner.work.notified();
            match self.inner.db.lease_job(Timestamp::now(), LEASE).await {
                Ok(Some(job)) => {
                    // There may be more, and this worker is busy now.
                    self.inner.work.notify_one();
                    self.run(job).await;
                    // And looks again: the account's next job may have become free.
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the job queue can't be read"),
            }
            let pause = self.until_next_run().await;
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Until the next waiting job's time, at most a second: other processes queue jobs too.
    async fn until_next_run(&self) -> Duration {
        let next = self.inner.db.next_run().await.ok().flatten();
        let millis = next.map_or(1000, |at| at.duration_since(Timestamp::now()).as_millis());
        Duration::from_millis(millis.clamp(20, 1000) as u64)
    }

    async fn run(&self, job: LeasedJob) {
        let span = tracing::info_span!("job", id = %job.id, operation = %job.operation, account = %job.account);
        let heart = tokio::spawn(heartbeat(self.clone(), job.clone()));
        let outcome = {
            use tracing::Instrument as _;
            self.steps(&job).instrument(span.clone()).await
        };
        heart.abort();
        let _in = span.enter();
        match outcome {
            Ok(state) => {
                tracing::info!(state = state.as_str(), "job");
                metrics::counter!("wcp360_jobs_total", "operation" => job.operation.clone(), "state" => state.as_str())
                    .increment(1);
            }
            Err(StoreError::LeaseLost) => tracing::warn!("another worker has the job"),
            Err(error) => tracing::error!(%error, "the job's progress can't be written; it is taken up again later"),
        }
    }

    async fn steps(&self, job: &LeasedJob) -> Result<JobState, StoreError> {
        let payload: Payload = match serde_json::from_str(&job.payload) {
            Ok(payload) => payload,
            Err(error) => {
                let message = format!("the job's content can't be read by this version: {error}");
                return self.give_up(job, &message).await;
            }
        };
        let mut outputs: Vec<Option<String>> = job.steps.iter().map(|s| s.output.clone()).collect();
        for position in 0..job.steps.len() {
            let step = &job.steps[position];
            if step.state == JobState::Succeeded {
                continue;
            }
            let name = step.name.as_str();
            match self.step(job, name, &payload, &outputs).await {
                Ok(done) => {
                    let mut tx = self.inner.db.begin().await?;
                    tx.log_job(job.id, Some(name), &done.notes, Timestamp::now()).await?;
                    if let Some(manifests) = &done.index {
                        tx.index_account(job.account_id, manifests.as_ref(), job.id).await?;
                    }
                    tx.end_step(job, position, JobState::Succeeded, None, Some(&done.output), Timestamp::now()).await?;
                    if position + 1 == job.steps.len() {
                        self.finish(&mut tx, job, JobState::Succeeded, None, &outputs).await?;
                    } else {
                        tx.begin_step(job, position + 1, Timestamp::now()).await?;
                    }
                    tx.commit().await?;
                    outputs[position] = Some(done.output);
                }
                Err(StepError::Transient { message, attempts }) if step.attempts + 1 < attempts => {
                    let mut tx = self.inner.db.begin().await?;
                    let at = Timestamp::now() + back_off(step.attempts);
                    tx.log_job(job.id, Some(name), &[format!("{message}; trying again")], Timestamp::now()).await?;
                    tx.end_step(job, position, JobState::Waiting, Some(&message), None, Timestamp::now()).await?;
                    tx.postpone_job(job, &message, at).await?;
                    tx.commit().await?;
                    return Ok(JobState::Waiting);
                }
                Err(StepError::Transient { message, .. } | StepError::Final(message)) => {
                    let mut tx = self.inner.db.begin().await?;
                    tx.log_job(job.id, Some(name), std::slice::from_ref(&message), Timestamp::now()).await?;
                    tx.end_step(job, position, JobState::Failed, Some(&message), None, Timestamp::now()).await?;
                    tx.commit().await?;
                    return self.unwind(job, &message, &outputs).await;
                }
                Err(StepError::Abandon(error)) => return Err(error),
            }
        }
        self.inner.audit.mirror_soon();
        Ok(JobState::Succeeded)
    }

    async fn step(
        &self,
        job: &LeasedJob,
        name: &str,
        payload: &Payload,
        outputs: &[Option<String>],
    ) -> Result<StepDone, StepError> {
        match name {
            PREPARE => self.prepare(job, payload).await,
            APPLY => {
                let prepared: Prepared = output(outputs, 0)?;
                let request = ConvergeRequest {
                    operation: prepared.operation,
                    base_revision: prepared.before.as_ref().map(|set| set.revision()),
                    desired: prepared.desired,
                    audit: reference(job),
                };
                let done = self.inner.agent.converge(&job.account, &request).await?;
                let after = done.record.map(|record| record.manifests);
                let mut notes = done.notes;
                notes.extend(done.applied.resources.iter().map(|r| format!("{} ({})", r.key, r.summary)));
                let applied = Applied { after: after.clone(), plan: done.applied };
                Ok(StepDone { output: json(&applied), notes, index: Some(after) })
            }
            VERIFY => {
                let prepared: Prepared = output(outputs, 0)?;
                let applied: Applied = output(outputs, 1)?;
                let verified = self.inner.gateway.verify(prepared.before.as_ref(), applied.after.as_ref()).await;
                let note = verified.map_err(|message| StepError::Transient { message, attempts: 3 })?;
                Ok(StepDone { output: "null".into(), notes: vec![note], index: None })
            }
            other => Err(StepError::Final(format!("this version does not know the step \"{other}\""))),
        }
    }

    async fn prepare(&self, job: &LeasedJob, payload: &Payload) -> Result<StepDone, StepError> {
        let before = match self.inner.agent.account(&job.account).await {
            Ok(record) => Some(record.manifests),
            Err(error) if error.code == AgentErrorCode::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let revision = before.as_ref().map(|set| set.revision());
        if payload.base.is_some() && payload.base != revision {
            return Err(StepError::Final("the account was changed before it was this job's turn; look again".into()));
        }
        let resolved = payload.change.resolve(before.as_ref(), Timestamp::now());
        let desired = resolved.map_err(|problem| StepError::Final(problem.detail))?;
        let note = match (&revision, &desired) {
            (Some(from), Some(to)) => format!("from revision {} to {}", from.short(), to.revision().short()),
            (None, Some(to)) => format!("new, revision {}", to.revision().short()),
            (Some(from), None) => format!("from revision {} to nothing", from.short()),
            (None, None) => "nothing to do".into(),
        };
        let prepared = Prepared { operation: OperationId::new(), before, desired };
        Ok(StepDone { output: json(&prepared), notes: vec![note], index: None })
    }

    /// Takes back what the job did, as far as it did anything. The agent has put back a failed `apply` by itself.
    async fn unwind(&self, job: &LeasedJob, why: &str, outputs: &[Option<String>]) -> Result<JobState, StoreError> {
        let Ok(prepared) = output::<Prepared>(outputs, 0) else {
            return self.put_back_index(job, why).await;
        };
        if let Ok(applied) = output::<Applied>(outputs, 1) {
            let request = ConvergeRequest {
                operation: OperationId::new(),
                base_revision: applied.after.as_ref().map(|set| set.revision()),
                desired: prepared.before.clone(),
                audit: reference(job),
            };
            if let Err(error) = self.inner.agent.converge(&job.account, &request).await {
                let message = format!("{why}; it could not be taken back either: {error}");
                return self.give_up(job, &message).await;
            }
        }
        let mut tx = self.inner.db.begin().await?;
        tx.log_job(job.id, None, &["everything is as it was before".into()], Timestamp::now()).await?;
        tx.index_account(job.account_id, prepared.before.as_ref(), job.id).await?;
        self.finish(&mut tx, job, JobState::RolledBack, Some(why), outputs).await?;
        tx.commit().await?;
        self.inner.audit.mirror_soon();
        Ok(JobState::RolledBack)
    }

    /// Nothing was changed: the index is put back to what the agent says is there.
    async fn put_back_index(&self, job: &LeasedJob, why: &str) -> Result<JobState, StoreError> {
        let current = match self.inner.agent.account(&job.account).await {
            Ok(record) => Some(record.manifests),
            Err(error) if error.code == AgentErrorCode::NotFound => None,
            Err(error) => return self.give_up(job, &format!("{why}; {error}")).await,
        };
        let mut tx = self.inner.db.begin().await?;
        tx.index_account(job.account_id, current.as_ref(), job.id).await?;
        self.finish(&mut tx, job, JobState::RolledBack, Some(why), &[]).await?;
        tx.commit().await?;
        self.inner.audit.mirror_soon();
        Ok(JobState::RolledBack)
    }

    async fn give_up(&self, job: &LeasedJob, why: &str) -> Result<JobState, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        tx.log_job(job.id, None, &[why.to_owned()], Timestamp::now()).await?;
        self.finish(&mut tx, job, JobState::Failed, Some(why), &[]).await?;
        tx.commit().await?;
        self.inner.audit.mirror_soon();
        Ok(JobState::Failed)
    }

    async fn finish(
        &self,
        tx: &mut Tx,
        job: &LeasedJob,
        state: JobState,
        error: Option<&str>,
        outputs: &[Option<String>],
    ) -> Result<(), StoreError> {
        let applied: Option<Plan> = output::<Applied>(outputs, 1).ok().map(|applied| applied.plan);
        let applied = applied.filter(|_| state == JobState::Succeeded);
        let entry = NewAudit {
            actor: &job.actor,
            source: "job",
            action: &job.operation,
            target: Some(job.account.as_str()),
            owner: Some(job.owner_id),
            outcome: if state == JobState::Succeeded { "succeeded" } else { "failed" },
            detail: error,
            request_id: &job.request_id,
            job: Some(job.id),
        };
        tx.append_audit(&entry, Timestamp::now()).await?;
        tx.finish_job(job, state, error, applied.as_ref(), Timestamp::now()).await
    }
}

async fn heartbeat(engine: Engine, job: LeasedJob) {
    loop {
        tokio::time::sleep(Duration::from_secs(20)).await;
        if engine.inner.db.renew_lease(&job, Timestamp::now() + LEASE).await.is_err() {
            return;
        }
    }
}

/// 0.25 s, doubled with every attempt up to 15 s, with up to a quarter more so that waiting jobs don't come all at once.
fn back_off(attempts: u32) -> SignedDuration {
    let base = 250u64 << attempts.min(6);
    let mut random = [0u8; 1];
    let _ = getrandom::fill(&mut random);
    SignedDuration::from_millis(i64::try_from(base + base * u64::from(random[0]) / 1024).unwrap_or(15_000).min(15_000))
}

fn reference(job: &LeasedJob) -> AuditReference {
    AuditReference { action: job.operation.clone(), actor: job.actor.clone(), job: job.id }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}

fn output<T: serde::de::DeserializeOwned>(outputs: &[Option<String>], position: usize) -> Result<T, StepError> {
    let missing = || StepError::Final(format!("the output of step {position} is missing"));
    let text = outputs.get(position).and_then(Option::as_ref).ok_or_else(missing)?;
    serde_json::from_str(text)
        .map_err(|e| StepError::Final(format!("the output of step {position} can't be read by this version: {e}")))
}
