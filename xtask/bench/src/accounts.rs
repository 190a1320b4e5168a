//! Creating and deleting accounts.

use crate::Deadline;
use crate::api::Api;
use crate::probe::Probe;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The package of all accounts made here.
const PACKAGE: &str = "bench";

/// How long one creation took, from the request on.
pub(crate) struct Created {
    pub(crate) http: Duration,
    pub(crate) https: Duration,
    /// Until the panel said that it is done.
    pub(crate) job: Duration,
}

/// The site of an account.
pub(crate) fn domain(account: &str) -> String {
    format!("{account}.bench.test")
}

/// Makes sure that the package is there.
pub(crate) fn package(api: &Api) -> Result<()> {
    let (status, body) = api.send("POST", "/packages", Some(&json!({ "name": PACKAGE })))?;
    match status {
        201 | 409 => Ok(()),
        _ => bail!("the package could not be made: {status} {body}"),
    }
}

/// How many accounts the panel counts in the package.
pub(crate) fn counted(api: &Api) -> Result<u64> {
    api.get(&format!("/packages/{PACKAGE}"))?["accounts"].as_u64().context("the package does not count its accounts")
}

/// All accounts that the panel lists.
pub(crate) fn listed(api: &Api) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut page = api.get(&format!("/accounts?limit=1000{cursor}"))?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            all.extend(items);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encode(next)),
            None => return Ok(all),
        }
    }
}

/// Percent-encoding for a query.
fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Asks for an account; returns the job.
pub(crate) fn start(api: &Api, account: &str) -> Result<String> {
    let body = json!({ "username": account, "primary_domain": domain(account), "package": PACKAGE });
    api.start("POST", "/accounts", Some(&body))
}

/// Creates an account and waits until the panel is done.
pub(crate) fn create(api: &Api, account: &str) -> Result<()> {
    let job = start(api, account)?;
    api.finish(&job, Duration::from_millis(40))
}

/// Creates an account while two visitors wait for its site.
pub(crate) fn create_timed(api: &Api, account: &str, http: &Probe, https: &Probe) -> Result<Created> {
    let host = domain(account);
    if http.serves(&host) || https.serves(&host) {
        bail!("{host} is served before it is created");
    }
    std::thread::scope(|scope| {
        let began = Instant::now();
        let visitor = |probe: Probe| {
            let host = host.clone();
            scope.spawn(move || probe.until_served(&host, began))
        };
        let (http, https) = (visitor(http.clone()), visitor(https.clone()));
        let job = start(api, account)?;
        api.finish(&job, Duration::from_millis(3))?;
        let job = began.elapsed();
        let joined = |handle: std::thread::ScopedJoinHandle<'_, Result<Duration>>| {
            handle.join().map_err(|_| anyhow::anyhow!("a visitor panicked"))?
        };
        Ok(Created { http: joined(http)?, https: joined(https)?, job })
    })
}

/// Deletes an account and waits until the panel is done.
pub(crate) fn delete(api: &Api, account: &str) -> Result<()> {
    let job = api.start("DELETE", &format!("/accounts/{account}"), None)?;
    api.finish(&job, Duration::from_millis(10))
}

/// Does something with every name, several at a time; stops at the first failure and at the deadline. Says whether it got
/// to the end.
pub(crate) fn all(
    names: &[String],
    in_flight: usize,
    deadline: Deadline,
    each: impl Fn(&str) -> Result<()> + Sync,
) -> Result<bool> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let work = || -> Result<()> {
        while !stop.load(Ordering::Relaxed) && !deadline.is_over() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(at) else { return Ok(()) };
            each(name).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            if (at + 1) % 500 == 0 {
                let rate = (at + 1) as f64 / began.elapsed().as_secs_f64();
                eprintln!("  {} of {}, {rate:.0} a second", at + 1, names.len());
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..in_flight.min(names.len())).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok(next.load(Ordering::Relaxed) >= names.len())
    })
}
