//! Waiting for a change of many accounts.

use super::progress::{Progress, words};
use super::watch::{Follow, read, wait};
use crate::client::Client;
use crate::document::Document;
use crate::failure::Failure;
use crate::output::clean;
use serde_json::Value;
use wcp360_types::api::bulk::{Bulk, BulkItem, BulkItemState, BulkState};
use wcp360_types::api::job::JobState;

/// A change of many accounts that is over.
#[derive(Debug)]
pub struct Followed {
    /// How it ended.
    pub bulk: Bulk,
    /// The same, as the panel says it, with the accounts that were not changed as `not_changed`.
    pub value: Value,
    /// Those accounts, each with the reason.
    pub not_changed: Vec<(String, String)>,
}

/// Follows a change of many accounts until all their jobs are over.
///
/// # Errors
/// It can't be read, or still runs when the time is up.
pub fn follow(document: &Document, client: &Client, id: &str, how: Follow) -> Result<Followed, Failure> {
    let mut tenths = 0;
    let look = |progress: &mut Progress| {
        let value = read(document, client, "bulk.show", id, &[])?;
        let bulk: Bulk = parse(&value)?;
        show(&bulk, progress, &mut tenths);
        if bulk.state == BulkState::Running {
            return Ok(None);
        }
        let items = if bulk.state == BulkState::Succeeded { Vec::new() } else { not_changed(document, client, id)? };
        Ok(Some((bulk, value, items)))
    };
    let (bulk, mut value, items) = wait(how, look)?.ok_or_else(|| Failure::StillRunning {
        what: "the jobs of the accounts still run".into(),
        command: format!("wcp360 bulk watch {id}"),
        waited: how.timeout,
    })?;
    let not_changed = items.iter().map(|(item, _)| (item.account.to_string(), reason(item))).collect();
    value["not_changed"] = items.into_iter().map(|(_, value)| value).collect();
    Ok(Followed { bulk, value, not_changed })
}

/// One moving line, or a line for every tenth that is done.
fn show(bulk: &Bulk, progress: &mut Progress, tenths: &mut u64) {
    let over = bulk.accounts - bulk.pending.saturating_add(bulk.running).min(bulk.accounts);
    let bad = match bulk.failed + bulk.refused {
        0 => String::new(),
        bad => format!(", {bad} of them not changed"),
    };
    let text = format!("{}: {over} of {} accounts are done{bad}", clean(&bulk.operation), bulk.accounts);
    if !progress.is_lines() {
        return progress.moving(&text);
    }
    let now = (over * 10).checked_div(bulk.accounts).unwrap_or(10);
    if now > *tenths {
        *tenths = now;
        progress.line(&text);
    }
}

/// The accounts that were not changed, as they are and as the panel says it.
fn not_changed(document: &Document, client: &Client, id: &str) -> Result<Vec<(BulkItem, Value)>, Failure> {
    let mut found = Vec::new();
    let mut query = Vec::new();
    loop {
        let mut page = read(document, client, "bulk.accounts", id, &query)?;
        for value in page["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
            let item: BulkItem = parse(&value)?;
            if item.state == BulkItemState::Refused || item.job_state.is_some_and(is_bad_end) {
                found.push((item, value));
            }
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => query = vec![("cursor", cursor.to_owned())],
            None => return Ok(found),
        }
    }
}

fn reason(item: &BulkItem) -> String {
    let why = item.error.as_deref().unwrap_or("no reason was given");
    match (item.job_state, &item.job) {
        (Some(state), Some(job)) => format!("{}: {why} (job {job})", words(state)),
        _ => why.to_owned(),
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    serde_json::from_value(value.clone()).map_err(|e| Failure::Answer {
        server: "the panel".into(),
        reason: format!("it should be about a change of many accounts, but {e}"),
    })
}

/// Nothing if every account was changed.
///
/// # Errors
/// How many were not.
pub fn outcome(bulk: &Bulk) -> Result<(), Failure> {
    if bulk.state == BulkState::Succeeded {
        return Ok(());
    }
    let (failed, refused) = (bulk.failed, bulk.refused);
    Err(Failure::Bulk {
        bulk: bulk.id.to_string(),
        operation: bulk.operation.clone(),
        accounts: bulk.accounts,
        failed,
        refused,
    })
}

fn is_bad_end(state: JobState) -> bool {
    state.is_final() && state != JobState::Succeeded
}
