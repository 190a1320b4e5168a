//! Makes events of what is committed.

use super::{Audience, Events};
use crate::engine::Engine;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use wcp360_store::StoreError;
use wcp360_store::jobs::JobNews;
use wcp360_types::JobId;
use wcp360_types::api::event::{AccountChange, AlertSeverity, EventBody, Topic};
use wcp360_types::api::job::{Job, JobState};

/// How often other processes' changes, and those that nobody said, are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// A change can be committed so long after its time was taken.
const LATE: SignedDuration = SignedDuration::from_secs(5);
/// Jobs in one look.
const AT_ONCE: usize = 200;
/// Jobs that are remembered.
const REMEMBERED: usize = 20_000;

/// What was told of a job.
#[derive(Debug, Default)]
struct Told {
    /// The job as it was told.
    job: Option<Job>,
    /// The last line of its log.
    line: u64,
}

impl Engine {
    /// Runs until `stop` turns true.
    pub async fn run_events(&self, mut stop: watch::Receiver<bool>) {
        let events = self.events().clone();
        let mut told: HashMap<JobId, Told> = HashMap::new();
        let mut since = Timestamp::now();
        while !*stop.borrow() {
            let look = tokio::select! {
                () = events.hinted() => false,
                () = tokio::time::sleep(LOOK) => true,
                _ = stop.changed() => return,
            };
            let now = Timestamp::now();
            if !events.is_wanted() {
                told.clear();
                since = now;
                continue;
            }
            if let Err(error) = self.tell(&events, &mut told, look.then_some(since)).await {
                tracing::warn!(%error, "events can't be read");
            } else if look {
                since = now;
            }
            if told.len() > REMEMBERED {
                told.retain(|_, told| told.job.as_ref().is_some_and(|job| !job.state.is_final()));
            }
        }
    }

    async fn tell(
        &self,
        events: &Events,
        told: &mut HashMap<JobId, Told>,
        since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        loop {
            let hints = events.take_hints(AT_ONCE);
            let full = hints.len() == AT_ONCE;
            let lines: HashMap<JobId, u64> = told.iter().map(|(id, told)| (*id, told.line)).collect();
            let news = self
                .inner
                .db
                .read(move |tx| {
                    let mut ids = hints;
                    if let Some(since) = since {
                        ids.extend(tx.jobs_changed_since(since - LATE)?);
                        ids.sort();
                        ids.dedup();
                    }
                    let mut news = Vec::new();
                    for id in ids {
                        if let Some(found) = tx.job_news(id, lines.get(&id).copied().unwrap_or(0))? {
                            news.push(found);
                        }
                    }
                    Ok::<_, StoreError>(news)
                })
                .await?;
            for found in news {
                tell_job(events, told.entry(found.job.id).or_default(), found);
            }
            if !full {
                return Ok(());
            }
        }
    }
}

fn tell_job(events: &Events, told: &mut Told, news: JobNews) {
    let JobNews { job, lines, owner, account } = news;
    let audience = Audience::of(Some(owner), account);
    if let Some(last) = lines.last() {
        told.line = last.seq;
        events.publish(audience, &[Topic::Job(job.id)], EventBody::JobLog { job: job.id, lines });
    }
    if told.job.as_ref() == Some(&job) {
        return;
    }
    let ended = job.state.is_final() && told.job.as_ref().is_none_or(|before| before.state != job.state);
    let body = EventBody::Job { job: Box::new(job.clone()) };
    events.publish(audience, &[Topic::Jobs, Topic::Job(job.id)], body);
    if ended {
        tell_end(events, audience, &job);
    }
    told.job = Some(job);
}

/// What the end of a job means for its account.
fn tell_end(events: &Events, audience: Audience, job: &Job) {
    if let Some(account) = &job.account {
        let change = match (job.operation.as_str(), job.state) {
            ("accounts.create", JobState::Succeeded) => AccountChange::Created,
            ("accounts.delete", JobState::Succeeded) | ("accounts.create", JobState::RolledBack) => {
                AccountChange::Removed
            }
            _ => AccountChange::Changed,
        };
        events.publish(audience, &[Topic::Accounts], EventBody::Account { account: account.clone(), change });
    }
    if job.state == JobState::Failed {
        let of = job.account.as_ref().map_or(String::new(), |account| format!(" of {account}"));
        let why = job.error.as_deref().unwrap_or("no reason was given");
        let message = format!("{}{of} failed and was not taken back: {why}; see job {}", job.operation, job.id);
        let severity = AlertSeverity::Error;
        events.publish(audience, &[Topic::Alerts], EventBody::Alert { severity, message });
    }
}
