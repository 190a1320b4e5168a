//! Rate limits around every call, and the header fields that tell of them (SEC-04).

use crate::call::App;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Mutex;
use wcp360_api::Operation;
use wcp360_engine::rate::{Quota, WINDOW};
use wcp360_engine::{Caller, EngineError, Origin};
use wcp360_types::Problem;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Operations that passwords are guessed with.
const LOGINS: [&str; 2] = ["session.login", "setup.run"];

/// The limits that applied to a call.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Mutex<Vec<Quota>>);

impl Quotas {
    /// Counts a call for its address.
    ///
    /// # Errors
    /// 429 beyond the limit.
    pub(crate) fn admit_address(&self, app: &App, operation: &Operation, origin: &Origin) -> Result<(), Problem> {
        if let Some(quota) = app.engine.admit_address(&origin.source) {
            self.admit(quota)?;
        }
        if LOGINS.contains(&operation.id) {
            self.admit(app.engine.admit_login(&origin.source))?;
        }
        Ok(())
    }

    /// Counts a call for who makes it.
    ///
    /// # Errors
    /// 429 beyond a limit; the database's.
    pub(crate) async fn admit_caller(&self, app: &App, caller: &Caller, origin: &Origin) -> Result<(), Problem> {
        let quotas = app.engine.admit_caller(caller, &origin.source).await.map_err(EngineError::into_problem)?;
        quotas.into_iter().try_for_each(|quota| self.admit(quota))
    }

    fn admit(&self, quota: Quota) -> Result<(), Problem> {
        self.0.lock().expect("no panic while counting").push(quota);
        let Some(seconds) = quota.wait else { return Ok(()) };
        metrics::counter!("wcp360_http_limited_total", "limit" => quota.name).increment(1);
        let whose = match quota.name {
            "address" => "your address",
            "login" => "attempts to log in from your address",
            "token" => "this token",
            _ => "your login",
        };
        let detail = format!(
            "The limit of {} requests a minute for {whose} is used up; try again in {seconds} seconds.",
            quota.limit
        );
        Err(Problem::too_many_requests(seconds, detail))
    }

    /// Tells what applies and what is left, as draft-ietf-httpapi-ratelimit-headers-10 has it: `q` requests in `w` seconds;
    /// `r` are left, and in `t` seconds all are there again.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let quotas = self.0.lock().expect("no panic while counting");
        let list = |part: fn(&Quota) -> String| quotas.iter().map(part).collect::<Vec<_>>().join(", ");
        let policy = list(|quota| format!("\"{}\";q={};w={WINDOW}", quota.name, quota.limit));
        let limit = list(|quota| format!("\"{}\";r={};t={}", quota.name, quota.remaining, quota.reset));
        for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
            if let Some(value) = HeaderValue::from_str(&value).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_04_header_fields_are_those_of_the_draft() {
        let quotas = Quotas::default();
        let quota = Quota { name: "address", limit: 600, remaining: 599, reset: 1, wait: None };
        let mut headers = HeaderMap::new();
        quotas.write(&mut headers);
        assert!(headers.is_empty());
        quotas.admit(quota).unwrap();
        let refused = Quota { name: "account", limit: 10, remaining: 0, reset: 60, wait: Some(6) };
        let problem = quotas.admit(refused).unwrap_err();
        assert_eq!((problem.status, problem.retry_after), (429, Some(6)));
        quotas.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"address\";q=600;w=60, \"account\";q=10;w=60");
        assert_eq!(headers["ratelimit"], "\"address\";r=599;t=1, \"account\";r=0;t=60");
    }
}
