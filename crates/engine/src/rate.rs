//! Rate limits (SEC-04): requests per minute of an address, an account and a token.
//!
//! The generic cell rate algorithm: of each key only the moment is kept at which it will have its whole quota again. So what
//! is idle needs no memory, and somebody with many addresses has to keep all of them busy to use any.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

/// Seconds that a quota is for.
pub const WINDOW: u64 = 60;
/// Keys that one limit keeps at most; others share one quota then.
const MOST: usize = 65_536;
/// Under this name.
const SHARED: &str = "*";

/// One limit and what is left of it, as the header fields `RateLimit-Policy` and `RateLimit` of
/// draft-ietf-httpapi-ratelimit-headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// `address`, `account`, `token` or `login`.
    pub name: &'static str,
    /// Requests in [`WINDOW`] seconds.
    pub limit: u32,
    /// Requests that can be made now.
    pub remaining: u32,
    /// Seconds until all of it is there again.
    pub reset: u64,
    /// Seconds to wait; `None`: the request may go on.
    pub wait: Option<u64>,
}

/// One limit with its keys.
#[derive(Debug)]
pub(crate) struct Limiter {
    name: &'static str,
    begun: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When a key has its whole quota again, in microseconds.
    full_at: HashMap<String, u64>,
    /// Not looked through again before this.
    next_sweep: u64,
}

impl Limiter {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, begun: Instant::now(), table: Mutex::default() }
    }

    /// Counts one request.
    pub(crate) fn count(&self, key: &str, limit: u32) -> Quota {
        self.count_at(key, limit, u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn count_at(&self, key: &str, limit: u32, now: u64) -> Quota {
        const MICROS: u64 = 1_000_000;
        let limit = limit.max(1);
        // Microseconds that one request costs, and that can be spent at once.
        let cost = (WINDOW * MICROS / u64::from(limit)).max(1);
        let whole = cost * u64::from(limit);
        let mut table = self.table.lock().expect("no panic while counting");
        let key = table.place_of(key, now);
        let full_at = table.full_at.get(key).copied().unwrap_or(0).max(now);
        // A smaller limit than before makes nobody wait for longer than one window.
        let full_at = full_at.min(now + whole);
        let next = full_at + cost;
        let (spent, wait) = if next - now > whole {
            (full_at - now, Some((next - now - whole).div_ceil(MICROS)))
        } else {
            table.full_at.insert(key.to_owned(), next);
            (next - now, None)
        };
        let remaining = u32::try_from((whole - spent.min(whole)) / cost).unwrap_or(u32::MAX);
        Quota { name: self.name, limit, remaining, reset: spent.div_ceil(MICROS), wait }
    }
}

impl Table {
    /// The name that a key is counted under: its own, as long as there is room.
    fn place_of<'k>(&mut self, key: &'k str, now: u64) -> &'k str {
        if self.full_at.len() < MOST || self.full_at.contains_key(key) {
            return key;
        }
        if now >= self.next_sweep {
            // Who has its whole quota again is as if it had never been there.
            self.full_at.retain(|_, full_at| *full_at > now);
            self.next_sweep = now + 1_000_000;
        }
        if self.full_at.len() < MOST { key } else { SHARED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn sec_04_a_quota_is_spent_and_comes_back() {
        let limiter = Limiter::new("address");
        for n in 0..60 {
            let quota = limiter.count_at("a", 60, 0);
            assert_eq!((quota.wait, quota.remaining), (None, 59 - n));
        }
        let refused = limiter.count_at("a", 60, 0);
        assert_eq!((refused.wait, refused.remaining, refused.reset), (Some(1), 0, 60));
        assert_eq!(limiter.count_at("b", 60, 0).wait, None, "others have their own");
        assert_eq!(limiter.count_at("a", 60, SECOND).wait, None, "one a second comes back");
        assert!(limiter.count_at("a", 60, SECOND).wait.is_some());
        let idle = limiter.count_at("a", 60, 1000 * SECOND);
        assert_eq!((idle.remaining, idle.reset), (59, 1));
    }

    #[test]
    fn sec_04_memory_is_bounded_and_idle_keys_go() {
        let limiter = Limiter::new("address");
        for n in 0..(MOST + 1000) {
            limiter.count_at(&format!("k{n}"), 600, 0);
        }
        assert!(limiter.table.lock().unwrap().full_at.len() <= MOST + 1);
        // All at once: those without room share one quota.
        let waits = (0..700).filter(|n| limiter.count_at(&format!("late{n}"), 600, 1).wait.is_some()).count();
        assert!(waits >= 100, "{waits}");
        // A moment later what they held is free.
        assert_eq!(limiter.count_at("new", 600, 2 * SECOND).wait, None);
        assert!(limiter.table.lock().unwrap().full_at.len() < 1000);
    }

    #[test]
    fn sec_04_a_smaller_limit_counts_at_once_and_nobody_waits_for_ever() {
        let limiter = Limiter::new("account");
        for _ in 0..10_000 {
            limiter.count_at("a", 100_000, 0);
        }
        let smaller = limiter.count_at("a", 2, 0);
        assert!(smaller.wait.is_none_or(|seconds| seconds <= WINDOW), "{smaller:?}");
        assert_eq!(limiter.count_at("a", 2, 2 * WINDOW * SECOND).wait, None);
    }

    proptest! {
        #[test]
        fn sec_04_no_window_lets_more_than_two_quotas_through(
            limit in 1u32..500,
            gaps in proptest::collection::vec(0u64..2_000_000, 1..2000),
        ) {
            let limiter = Limiter::new("account");
            let mut now = 0;
            let mut allowed = Vec::new();
            for gap in gaps {
                now += gap;
                let quota = limiter.count_at("a", limit, now);
                prop_assert!(quota.remaining <= limit);
                if quota.wait.is_none() {
                    allowed.push(now);
                }
            }
            for (first, begin) in allowed.iter().enumerate() {
                let inside = allowed[first..].iter().take_while(|at| **at < begin + WINDOW * SECOND).count();
                prop_assert!(inside <= 2 * limit as usize, "{inside} of {limit}");
            }
        }
    }
}
