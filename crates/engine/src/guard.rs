//! Brute-force protection of logins (SEC-04), in memory: a restart forgives.
//!
//! Failures are counted in three ways, each with delays that grow. One address with one name: who mistypes waits a little. One
//! address with any names: who tries lists waits long. One name from anywhere: many addresses that guess together wait, but
//! nobody who has logged in from where they are now, so that a stranger can't lock a person out.

use crate::place::bucket;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Mutex;

/// How one kind of counter behaves.
struct Rule {
    /// Failures without a delay.
    free: u32,
    /// The first delay in seconds; each further failure doubles it.
    first: i64,
    /// The longest delay in seconds.
    longest: i64,
    /// Seconds after the last failure until all are forgotten.
    memory: i64,
}

const PAIR: Rule = Rule { free: 5, first: 30, longest: 900, memory: 3600 };
const SOURCE: Rule = Rule { free: 20, first: 60, longest: 3600, memory: 7200 };
const NAME: Rule = Rule { free: 30, first: 2, longest: 60, memory: 3600 };
/// Entries of one kind that are kept at most.
const MOST: usize = 50_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Rule {
    /// Seconds that failures make one wait, from the last of them.
    fn delay(&self, count: u32) -> i64 {
        match count.checked_sub(self.free) {
            None => 0,
            Some(over) => self.first.saturating_mul(1 << over.min(20)).min(self.longest),
        }
    }

    fn rest(&self, failures: Option<&Failures>, now: Timestamp) -> i64 {
        let Some(failures) = failures else { return 0 };
        (failures.last + SignedDuration::from_secs(self.delay(failures.count))).duration_since(now).as_secs()
    }

    fn forgotten(&self, failures: &Failures, now: Timestamp) -> bool {
        now.duration_since(failures.last).as_secs() >= self.memory
    }
}

#[derive(Debug, Default)]
struct Table(HashMap<String, Failures>);

impl Table {
    /// Counts one more failure; how many there are.
    fn add(&mut self, rule: &Rule, key: String, now: Timestamp) -> u32 {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.make_room(rule, now);
        }
        let entry = self.0.entry(key).or_insert(Failures { count: 0, last: now });
        if rule.forgotten(entry, now) {
            entry.count = 0;
        }
        *entry = Failures { count: entry.count.saturating_add(1), last: now };
        entry.count
    }

    /// Forgets what is over; then those with the fewest failures, never all: who has many addresses must not be able to wash
    /// away what was counted against the others.
    fn make_room(&mut self, rule: &Rule, now: Timestamp) {
        self.0.retain(|_, failures| !rule.forgotten(failures, now));
        if self.0.len() < MOST {
            return;
        }
        let mut counts: Vec<u32> = self.0.values().map(|failures| failures.count).collect();
        let (_, middle, _) = counts.select_nth_unstable(MOST / 4);
        let middle = *middle;
        let mut room = MOST / 4;
        self.0.retain(|_, failures| {
            let goes = failures.count <= middle && room > 0;
            room -= usize::from(goes);
            !goes
        });
    }
}

#[derive(Debug, Default)]
struct Tables {
    pairs: Table,
    sources: Table,
    names: Table,
}

/// Counts failures.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    tables: Mutex<Tables>,
}

/// A delay that a failure has begun or made longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lockout {
    /// In seconds.
    pub(crate) seconds: i64,
    /// How many failures it comes from.
    pub(crate) failures: u32,
}

impl Guard {
    /// Seconds until this address may try this name again; `None`: now. `known`: the person has logged in from there before.
    pub(crate) fn wait(&self, source: &str, name: &str, known: bool, now: Timestamp) -> Option<i64> {
        let tables = self.tables.lock().expect("no panic while counting");
        let mut rest = PAIR.rest(tables.pairs.0.get(&pair(source, name)), now);
        if counts_as_source(source) {
            rest = rest.max(SOURCE.rest(tables.sources.0.get(&bucket(source)), now));
        }
        if !known {
            rest = rest.max(NAME.rest(tables.names.0.get(&bounded(name)), now));
        }
        (rest > 0).then_some(rest)
    }

    /// Notes a failure; the delay that it begins for this address.
    pub(crate) fn failed(&self, source: &str, name: &str, now: Timestamp) -> Option<Lockout> {
        let mut tables = self.tables.lock().expect("no panic while counting");
        let by_pair = tables.pairs.add(&PAIR, pair(source, name), now);
        let by_source = if counts_as_source(source) { tables.sources.add(&SOURCE, bucket(source), now) } else { 0 };
        tables.names.add(&NAME, bounded(name), now);
        let (pair, source) = (PAIR.delay(by_pair), SOURCE.delay(by_source));
        let seconds = pair.max(source);
        let failures = if source >= pair { by_source } else { by_pair };
        (seconds > 0).then_some(Lockout { seconds, failures })
    }

    /// Notes a success: the pair starts anew.
    pub(crate) fn succeeded(&self, source: &str, name: &str) {
        self.tables.lock().expect("no panic while counting").pairs.0.remove(&pair(source, name));
    }
}

/// Every process of the machine has the source `local`, those of tenants too: none of them is to lock out the others.
fn counts_as_source(source: &str) -> bool {
    source != "local"
}

fn pair(source: &str, name: &str) -> String {
    format!("{}\n{}", bucket(source), bounded(name))
}

/// Names come from strangers: their length is bounded before they become keys.
fn bounded(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(now: Timestamp, seconds: i64) -> Timestamp {
        now + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn sec_04_one_address_and_one_name_wait_longer_and_longer() {
        let guard = Guard::default();
        let mut now = Timestamp::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(guard.wait("192.0.2.1", "root", false, now), None);
            guard.failed("192.0.2.1", "root", now);
            let wait = guard.wait("192.0.2.1", "root", false, now).unwrap_or(0);
            waits.push(wait);
            now = later(now, wait);
        }
        assert_eq!(waits, [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(guard.wait("192.0.2.2", "root", false, now), None, "others are not locked out");
        guard.succeeded("192.0.2.1", "root");
        assert_eq!(guard.wait("192.0.2.1", "root", false, now), None);
    }

    #[test]
    fn sec_04_one_address_with_many_names_waits() {
        let guard = Guard::default();
        let now = Timestamp::now();
        let locked = (0..20).filter_map(|n| guard.failed("192.0.2.9", &format!("name{n}"), now)).last();
        assert_eq!(locked, Some(Lockout { seconds: 60, failures: 20 }));
        assert_eq!(guard.wait("192.0.2.9", "another", true, now), Some(60));
        assert_eq!(guard.wait("192.0.2.9", "another", true, later(now, 60)), None);
        // All of one IPv6 network is one address.
        for n in 0..20 {
            guard.failed(&format!("2001:db8::{n:x}"), &format!("name{n}"), now);
        }
        assert!(guard.wait("2001:db8::ffff", "another", true, now).is_some());
        assert_eq!(guard.wait("2001:db8:0:1::1", "another", true, now), None);
        // The machine itself is many people.
        for n in 0..100 {
            guard.failed("local", &format!("name{n}"), now);
        }
        assert_eq!(guard.wait("local", "root", false, now), None);
    }

    #[test]
    fn sec_04_strangers_can_not_lock_a_person_out() {
        let guard = Guard::default();
        let mut now = Timestamp::now();
        for n in 0..10_000u32 {
            let [_, _, a, b] = n.to_be_bytes();
            guard.failed(&format!("10.0.{a}.{b}"), "root", now);
            now = later(now, 1);
            let strangers = guard.wait("198.51.100.1", "root", false, now).unwrap_or(0);
            assert!(strangers <= 60, "bounded also for a new address: {strangers}");
            assert_eq!(guard.wait("192.0.2.7", "root", true, now), None, "from where the person is known");
        }
        assert!(guard.wait("198.51.100.1", "root", false, now).is_some(), "those who guess together wait");
        assert_eq!(guard.wait("198.51.100.1", "root", false, later(now, 60)), None);
        guard.failed("198.51.100.1", "root", later(now, 3600));
        assert_eq!(guard.wait("198.51.100.1", "root", false, later(now, 3600)), None, "it is forgotten in the end");
    }

    #[test]
    fn sec_04_memory_is_bounded_and_many_addresses_wash_nothing_away() {
        let guard = Guard::default();
        let now = Timestamp::now();
        for _ in 0..8 {
            guard.failed("192.0.2.1", "root", now);
        }
        for n in 0..(MOST as u32 * 2) {
            let [a, b, c, d] = n.to_be_bytes();
            guard.failed(&format!("10.{}.{c}.{d}", u16::from(a) + u16::from(b)), &format!("x{n}"), now);
        }
        let tables = guard.tables.lock().unwrap();
        assert!(tables.pairs.0.len() <= MOST && tables.sources.0.len() <= MOST && tables.names.0.len() <= MOST);
        drop(tables);
        assert!(guard.wait("192.0.2.1", "root", false, now).is_some(), "what was counted before stays");
    }
}
