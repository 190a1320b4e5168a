//! Brute-force protection of logins (SEC-04), in memory: a restart forgives.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Mutex;

/// Failures from one address against one name before that pair waits.
const PER_PAIR: u32 = 5;
/// Failures from one address against any names before the address waits.
const PER_SOURCE: u32 = 20;
const WAIT: SignedDuration = SignedDuration::from_mins(15);
/// More keys than this are not kept: the oldest go.
const MAX_KEYS: usize = 50_000;

/// Counts failures.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    failures: Mutex<HashMap<String, (u32, Timestamp)>>,
}

impl Guard {
    /// Seconds until this address may try this name again; `None`: now.
    pub(crate) fn wait(&self, source: &str, name: &str, now: Timestamp) -> Option<i64> {
        let failures = self.failures.lock().expect("no panic while counting");
        [(pair(source, name), PER_PAIR), (source.to_owned(), PER_SOURCE)]
            .into_iter()
            .filter_map(|(key, most)| {
                let (count, last) = failures.get(&key)?;
                let rest = (*last + WAIT).duration_since(now).as_secs();
                (*count >= most && rest > 0).then_some(rest)
            })
            .max()
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, source: &str, name: &str, now: Timestamp) {
        let mut failures = self.failures.lock().expect("no panic while counting");
        if failures.len() >= MAX_KEYS {
            failures.retain(|_, (_, last)| now.duration_since(*last) < WAIT);
            if failures.len() >= MAX_KEYS {
                failures.clear();
            }
        }
        for key in [pair(source, name), source.to_owned()] {
            let entry = failures.entry(key).or_insert((0, now));
            if now.duration_since(entry.1) >= WAIT {
                entry.0 = 0;
            }
            *entry = (entry.0 + 1, now);
        }
    }

    /// Notes a success: the pair starts anew.
    pub(crate) fn succeeded(&self, source: &str, name: &str) {
        self.failures.lock().expect("no panic while counting").remove(&pair(source, name));
    }
}

fn pair(source: &str, name: &str) -> String {
    // Names come from strangers: their length is bounded before they become keys.
    format!("{source}\n{}", name.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_04_lockout_and_its_end() {
        let guard = Guard::default();
        let start = Timestamp::now();
        for _ in 0..PER_PAIR {
            assert_eq!(guard.wait("1.2.3.4", "root", start), None);
            guard.failed("1.2.3.4", "root", start);
        }
        assert!(guard.wait("1.2.3.4", "root", start).is_some());
        assert_eq!(guard.wait("5.6.7.8", "root", start), None, "others are not locked out");
        assert_eq!(guard.wait("1.2.3.4", "root", start + WAIT), None);
        for n in 0..PER_SOURCE {
            guard.failed("9.9.9.9", &format!("name{n}"), start);
        }
        assert!(guard.wait("9.9.9.9", "another", start).is_some());
    }
}
