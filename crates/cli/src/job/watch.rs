//! Waiting for a job.

use super::progress::{Progress, words};
use crate::client::Client;
use crate::document::Document;
use crate::failure::Failure;
use crate::input::{Request, encode};
use crate::output::clean;
use serde_json::Value;
use std::time::{Duration, Instant};
use wcp360_types::api::job::{Job, JobState};

/// Most jobs take a fraction of a second: ask often at first, and less often the longer it takes.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How long the panel may be away while we wait, e.g. because it is restarted: jobs survive that.
const ABSENCE: Duration = Duration::from_secs(60);

/// How to follow.
#[derive(Debug, Clone, Copy)]
pub struct Follow {
    /// Without a display.
    pub quiet: bool,
    /// Show the job's log too.
    pub log: bool,
    /// Give up after this time.
    pub timeout: Duration,
}

/// Follows a job to its end, whatever that is.
///
/// # Errors
/// The job can't be read, or still runs when the time is up.
pub fn follow(document: &Document, client: &Client, id: &str, how: Follow) -> Result<(Job, Value), Failure> {
    let mut lines_seen = 0;
    let look = |progress: &mut Progress| {
        let value = read(document, client, "jobs.show", id, &[])?;
        let job = parse(&value)?;
        if how.log {
            lines_seen = log(document, client, id, lines_seen, progress)?;
        }
        progress.update(&job);
        Ok(job.state.is_final().then_some((job, value)))
    };
    wait(how, look)?.ok_or_else(|| Failure::StillRunning {
        what: "the job still runs".into(),
        command: format!("wcp360 jobs watch {id}"),
        waited: how.timeout,
    })
}

/// Looks again and again until there is an end to see; `None`: the time is up before. A panel that is away for a while, as when
/// it is restarted, is waited for.
pub(super) fn wait<T>(
    how: Follow,
    mut look: impl FnMut(&mut Progress) -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let began = Instant::now();
    let mut progress = Progress::new(how.quiet);
    let mut pause = FIRST_PAUSE;
    let mut absent_since: Option<Instant> = None;
    let found = loop {
        match look(&mut progress) {
            Ok(Some(end)) => break Ok(Some(end)),
            Ok(None) => absent_since = None,
            Err(Failure::Unreachable { server, reason }) => {
                if absent_since.get_or_insert_with(Instant::now).elapsed() > ABSENCE {
                    break Err(Failure::Unreachable { server, reason });
                }
                progress.unreachable();
            }
            // While it starts up again, parts of it may not be there yet.
            Err(Failure::Problem(problem)) if problem.status == 503 => progress.unreachable(),
            Err(other) => break Err(other),
        }
        if began.elapsed() > how.timeout {
            break Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    };
    progress.end();
    found
}

/// A job that ended otherwise than well, as a failure.
pub(super) fn outcome(job: &Job) -> Result<(), Failure> {
    if job.state == JobState::Succeeded {
        return Ok(());
    }
    let step = job.steps.iter().rev().find_map(|s| s.error.clone());
    Err(Failure::Job {
        job: job.id.to_string(),
        operation: job.operation.clone(),
        account: job.account.as_ref().map(ToString::to_string).unwrap_or_default(),
        ended: words(job.state),
        reason: job.error.clone().or(step).unwrap_or_else(|| "no reason was given".into()),
    })
}

/// A job, from the API's answer.
pub(super) fn parse(value: &Value) -> Result<Job, Failure> {
    serde_json::from_value(value.clone())
        .map_err(|e| Failure::Answer { server: "the panel".into(), reason: format!("it should be a job, but {e}") })
}

/// Prints new lines of the log; returns the last one's position.
fn log(document: &Document, client: &Client, id: &str, after: u64, progress: &Progress) -> Result<u64, Failure> {
    let answer = read(document, client, "jobs.log", id, &[("after", after.to_string())])?;
    let mut last = after;
    for line in answer["items"].as_array().into_iter().flatten() {
        last = line["seq"].as_u64().unwrap_or(last).max(last);
        let step = line["step"].as_str().map(|step| format!("{step}: ")).unwrap_or_default();
        progress.line(&clean(&format!("  {step}{}", line["message"].as_str().unwrap_or_default())));
    }
    Ok(last)
}

pub(super) fn read(
    document: &Document,
    client: &Client,
    operation: &str,
    id: &str,
    query: &[(&str, String)],
) -> Result<Value, Failure> {
    let missing = || crate::document::DocumentError(format!("it has no {operation}"));
    let operation = document.find(operation).ok_or_else(missing)?;
    let request = Request {
        method: operation.method.clone(),
        path: operation.path.replace("{job}", &encode(id)).replace("{bulk}", &encode(id)),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        needs_login: true,
        ..Request::default()
    };
    Ok(client.send_patiently(&request, Duration::ZERO)?.body)
}
