//! Workers: lease a job, do its steps, write down each outcome before the next (ENG-01 to ENG-03).

use super::payload::Payload;
use super::run::{Done, Ending, Run, StepError, Unwound};
use super::workflow;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::sync::watch;
use wcp360_store::StoreError;
use wcp360_store::audit::NewAudit;
use wcp360_store::jobs::LeasedJob;
use wcp360_types::JobId;
use wcp360_types::api::job::JobState;

/// How long a worker may be silent before another one takes over.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How often it says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Leases of one job in all. A job that ends its worker's process each time must not do so for ever.
const MAX_LEASES: i64 = 10_000;

/// What comes after a job.
enum Next {
    /// This one, leased in the same transaction.
    Job(Box<LeasedJob>),
    /// Look for one.
    Look,
}

impl Engine {
    /// Works on jobs until `stop` turns true; then finishes the steps at hand.
    ///
    /// # Errors
    /// The database's, at the start.
    pub async fn run_workers(&self, stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        if !self.inner.db.is_shared() {
            let released = self.inner.db.write(|tx| tx.release_leases()).await?;
            if released > 0 {
                tracing::info!(jobs = released, "going on with jobs that a restart interrupted");
            }
        }
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(self.clone().keep_time(stop.clone()));
        for _ in 0..self.inner.settings.workers {
            tasks.spawn(self.clone().work(stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    async fn work(self, mut stop: watch::Receiver<bool>) {
        let mut next = Next::Look;
        while !*stop.borrow() {
            // Registered before looking, so that work queued in between is not missed.
            let woken = self.inner.work.notified();
            let leased = match next {
                Next::Job(job) => Ok(Some(*job)),
                Next::Look => self.lease().await,
            };
            next = Next::Look;
            match leased {
                Ok(Some(job)) => {
                    // There may be more, and this worker is busy now.
                    self.inner.work.notify_one();
                    next = self.do_job(job).await;
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the job queue can't be read");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            tokio::select! {
                () = woken => {}
                _ = stop.changed() => {}
            }
        }
        // A job that was leased with the last one's end waits for nobody's lease to run out.
        if let Next::Job(job) = next {
            let _ = self.inner.db.write(move |tx| tx.unlease_job(&job, Timestamp::now())).await;
        }
    }

    async fn lease(&self) -> Result<Option<LeasedJob>, StoreError> {
        // Most looks find nothing, and need not wait for whoever is writing.
        if !self.inner.db.read(|tx| tx.has_ready_job()).await? {
            return Ok(None);
        }
        self.inner.db.write(|tx| tx.lease_job(Timestamp::now(), LEASE)).await
    }

    async fn do_job(&self, job: LeasedJob) -> Next {
        use tracing::Instrument as _;
        let account = job.subject.account.as_ref().map(|name| name.as_str().to_owned());
        let operation = job.request.operation.clone();
        let span = tracing::info_span!("job", id = %job.id, operation, account);
        let heart = tokio::spawn(heartbeat(self.clone(), job.id, job.lease_token));
        let id = job.id;
        self.inner.events.job(id);
        let outcome = self.steps(job).instrument(span.clone()).await;
        heart.abort();
        self.inner.events.job(id);
        let _in = span.enter();
        match outcome {
            Ok((state, next)) => {
                tracing::info!(state = state.as_str(), "job");
                metrics::counter!("wcp360_jobs_total", "operation" => operation, "state" => state.as_str())
                    .increment(1);
                next
            }
            Err(StoreError::LeaseLost) => {
                tracing::warn!("another worker has the job");
                Next::Look
            }
            Err(error) => {
                tracing::error!(%error, "the job's progress can't be written; it is taken up again later");
                Next::Look
            }
        }
    }

    async fn steps(&self, job: LeasedJob) -> Result<(JobState, Next), StoreError> {
        let payload: Result<Payload, _> = serde_json::from_str(&job.request.payload);
        let mut cancelled = job.cancel_requested;
        let too_often = job.lease_token > MAX_LEASES;
        let mut run = Run::resume(self, job).await?;
        let payload = match payload {
            Ok(payload) if !too_often => payload,
            Ok(_) => return self.give_up(run, "it was begun too often without coming to an end".into()).await,
            Err(error) => {
                return self.give_up(run, format!("the job's content can't be read by this version: {error}")).await;
            }
        };
        while let Some(position) = run.position() {
            let untouched = run.steps[position..].iter().all(|step| step.attempts == 0);
            if cancelled && (untouched || run.steps[position].state == JobState::Waiting) {
                return self.unwind(run, &payload, "it was cancelled", JobState::Cancelled).await;
            }
            run.begin(position, Timestamp::now());
            let name = run.steps[position].name.clone();
            let outcome = workflow::step(self, &run, &payload, &name).await;
            let now = Timestamp::now();
            let attempts = run.steps[position].attempts;
            match outcome {
                Ok(done) => {
                    run.end(position, JobState::Succeeded, None, now);
                    if let Some(content) = &done.artifact {
                        run.artifacts.insert(name.clone(), content.clone());
                    }
                    if run.position().is_none() {
                        return self.finish(run, &payload, Some((name, done)), JobState::Succeeded, None).await;
                    }
                    cancelled = match self.save(&run, name, done).await {
                        Err(StoreError::Taken(what)) => return self.give_up(run, taken(what)).await,
                        saved => saved?,
                    };
                }
                Err(StepError::Transient { message, attempts: most }) if attempts < most => {
                    run.end(position, JobState::Waiting, Some(&message), now);
                    return self.postpone(run, name, message, now + back_off(attempts)).await;
                }
                Err(StepError::Transient { message, .. } | StepError::Final(message)) => {
                    run.end(position, JobState::Failed, Some(&message), now);
                    return self.unwind(run, &payload, &message, JobState::RolledBack).await;
                }
                Err(StepError::Abandon(error)) => return Err(error),
            }
        }
        self.finish(run, &payload, None, JobState::Succeeded, None).await
    }

    /// Writes down a step's success; whether somebody asked to stop the job.
    async fn save(&self, run: &Run, name: String, done: Done) -> Result<bool, StoreError> {
        let (id, token, mut steps) = (run.job.id, run.job.lease_token, run.steps.clone());
        // The next one begins with this being written.
        if let Some(position) = run.position() {
            steps[position].state = JobState::Running;
        }
        let cancelled = self
            .inner
            .db
            .write(move |tx| {
                let now = Timestamp::now();
                let cancelled = tx.save_steps(id, token, &steps, now)?;
                tx.log_job(id, Some(&name), &done.notes, now)?;
                if let Some(content) = &done.artifact {
                    tx.save_artifact(id, &name, content)?;
                }
                if let Some(write) = done.write {
                    write(tx)?;
                }
                Ok(cancelled)
            })
            .await;
        self.inner.events.job(id);
        cancelled
    }

    async fn postpone(
        &self,
        run: Run,
        name: String,
        message: String,
        at: Timestamp,
    ) -> Result<(JobState, Next), StoreError> {
        let Run { job, steps, .. } = run;
        self.inner
            .db
            .write(move |tx| {
                let now = Timestamp::now();
                tx.log_job(job.id, Some(&name), &[format!("{message}; trying again")], now)?;
                tx.postpone_job(&job, &steps, &message, at, now)
            })
            .await?;
        self.inner.clock.notify_one();
        Ok((JobState::Waiting, Next::Look))
    }

    /// Takes back what was done and ends the job.
    async fn unwind(
        &self,
        run: Run,
        payload: &Payload,
        why: &str,
        state: JobState,
    ) -> Result<(JobState, Next), StoreError> {
        match workflow::unwind(self, &run, payload).await {
            Ok(Unwound::Back { notes, write }) => {
                let mut all = vec![why.to_owned()];
                all.extend(notes);
                let done = Done { artifact: None, notes: all, write };
                self.finish(run, payload, Some((String::new(), done)), state, Some(why.to_owned())).await
            }
            Ok(Unwound::Not(reason)) | Err(StepError::Final(reason)) => {
                self.give_up(run, format!("{why}; it could not be taken back: {reason}")).await
            }
            // The agent is away: the job goes on from here when it is back, and fails or unwinds again.
            Err(StepError::Transient { message, .. }) => {
                let at = Timestamp::now() + back_off(MAX_BACK_OFF);
                let mut run = run;
                if let Some(position) = run.position() {
                    run.end(position, JobState::Waiting, Some(why), Timestamp::now());
                }
                let message = format!("{why}; it can't be taken back yet: {message}");
                self.postpone(run, String::new(), message, at).await
            }
            Err(StepError::Abandon(error)) => Err(error),
        }
    }

    async fn give_up(&self, run: Run, why: String) -> Result<(JobState, Next), StoreError> {
        let done = Done { notes: vec![why.clone()], ..Done::default() };
        self.finish(run, &Payload::Nothing {}, Some((String::new(), done)), JobState::Failed, Some(why)).await
    }

    /// Ends a job, with the last step's outcome and the audit entry, and takes the next one, all in one transaction.
    async fn finish(
        &self,
        run: Run,
        payload: &Payload,
        last: Option<(String, Done)>,
        state: JobState,
        error: Option<String>,
    ) -> Result<(JobState, Next), StoreError> {
        let ending = match state {
            JobState::Succeeded => workflow::ending(&run, payload),
            _ => Ending::default(),
        };
        let Run { job, steps, artifacts } = run;
        let entry = NewAudit {
            actor: job.request.actor.clone(),
            on_behalf: None,
            source: "job".into(),
            action: job.request.operation.clone(),
            target: job.subject.account.as_ref().map(ToString::to_string),
            owner: Some(job.subject.owner_id),
            account: job.subject.account_id,
            outcome: match state {
                JobState::Succeeded => "succeeded",
                JobState::Cancelled => "cancelled",
                _ => "failed",
            }
            .into(),
            detail: error.clone(),
            before: ending.before,
            after: ending.after,
            request_id: job.request.request_id.clone(),
            job: Some(job.id),
        };
        // Of what the index can't take the end is written down without it.
        let indexed = last.as_ref().is_some_and(|(_, done)| done.write.is_some());
        let again = indexed.then(|| Run { job: job.clone(), steps: steps.clone(), artifacts });
        let next = self
            .inner
            .db
            .write(move |tx| {
                let now = Timestamp::now();
                if let Some((name, done)) = last {
                    let step = Some(name.as_str()).filter(|name| !name.is_empty());
                    tx.log_job(job.id, step, &done.notes, now)?;
                    if let Some(content) = &done.artifact {
                        tx.save_artifact(job.id, &name, content)?;
                    }
                    if let Some(write) = done.write {
                        write(tx)?;
                    }
                }
                tx.append_audit(&entry, now)?;
                tx.finish_job(&job, &steps, state, error.as_deref(), now)?;
                tx.lease_job(now, LEASE)
            })
            .await;
        let next = match (next, again) {
            (Err(StoreError::Taken(what)), Some(again)) => return Box::pin(self.give_up(again, taken(what))).await,
            (next, _) => next?,
        };
        self.inner.audit.mirror_soon();
        Ok((state, next.map_or(Next::Look, |job| Next::Job(Box::new(job)))))
    }
}

/// Why a job is given up whose outcome the index can't take: trying again would come to the same, and hold its lane up.
fn taken(what: &str) -> String {
    format!(
        "the machine has the change, and the index can't: the {what} is another account's; remove it from one of the two, then \
         run \"wcp360 index rebuild\""
    )
}

async fn heartbeat(engine: Engine, job: JobId, token: i64) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let renewed = engine.inner.db.write(move |tx| tx.renew_lease(job, token, Timestamp::now() + LEASE)).await;
        if matches!(renewed, Err(StoreError::LeaseLost)) {
            return;
        }
    }
}

/// The exponent after which pauses grow no more.
const MAX_BACK_OFF: u32 = 6;

/// 0.25 s, doubled with every attempt up to 15 s, with up to a quarter more so that waiting jobs don't come all at once.
fn back_off(attempts: u32) -> SignedDuration {
    let base = 250u64 << attempts.saturating_sub(1).min(MAX_BACK_OFF);
    let mut random = [0u8; 1];
    let _ = getrandom::fill(&mut random);
    SignedDuration::from_millis(i64::try_from(base + base * u64::from(random[0]) / 1024).unwrap_or(15_000).min(15_000))
}
