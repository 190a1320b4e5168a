//! How many refusals are recorded one by one: a stranger must not be able to fill the disk with them.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Mutex;

/// Counts begin anew after this time.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Of strangers from one address, and from all.
const PER_SOURCE: u32 = 30;
const OF_STRANGERS: u32 = 200;
/// Of somebody who is known.
const PER_LOGIN: u32 = 60;
/// More keys than this are not told apart.
const MAX_KEYS: usize = 10_000;

/// Whose refusal it is.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// Somebody unknown, from this address.
    Stranger(&'a str),
    /// Somebody known, by login name.
    Known(&'a str),
}

/// Counts refusals.
#[derive(Debug, Default)]
pub(super) struct Flood(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since: Option<Timestamp>,
    keys: HashMap<String, u32>,
    strangers: u32,
    left_out: u64,
}

impl Flood {
    /// Whether this one is to be recorded; else it is counted.
    pub(super) fn admits(&self, by: By<'_>, now: Timestamp) -> bool {
        let mut counts = self.0.lock().expect("no panic while counting");
        counts.since.get_or_insert(now);
        let (key, most) = match by {
            By::Stranger(source) => (format!("@{source}"), PER_SOURCE),
            By::Known(login) => (login.to_owned(), PER_LOGIN),
        };
        let stranger = matches!(by, By::Stranger(_));
        let crowded = counts.keys.len() >= MAX_KEYS && !counts.keys.contains_key(&key);
        let admitted = !(crowded || stranger && counts.strangers >= OF_STRANGERS) && {
            let count = counts.keys.entry(key).or_insert(0);
            *count += 1;
            *count <= most
        };
        if !admitted {
            counts.left_out += 1;
        } else if stranger {
            counts.strangers += 1;
        }
        admitted
    }

    /// Begins anew if it is time; how many were left out, and since when, if any were.
    pub(super) fn turn(&self, now: Timestamp) -> Option<(u64, Timestamp)> {
        let mut counts = self.0.lock().expect("no panic while counting");
        let since = counts.since.filter(|since| now.duration_since(*since) >= WINDOW || now < *since)?;
        let left_out = counts.left_out;
        *counts = Counts::default();
        (left_out > 0).then_some((left_out, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_06_refusals_are_bounded_and_the_rest_is_counted() {
        let flood = Flood::default();
        let now = Timestamp::now();
        let mut admitted = 0;
        for number in 0..100_000u32 {
            let source = format!("2001:db8::{:x}", number % 5000);
            admitted += u32::from(flood.admits(By::Stranger(&source), now));
        }
        assert_eq!(admitted, OF_STRANGERS);
        let one = Flood::default();
        assert_eq!((0..1000).filter(|_| one.admits(By::Stranger("192.0.2.1"), now)).count() as u32, PER_SOURCE);
        // Strangers don't use up what people get who are known.
        assert_eq!((0..1000).filter(|_| flood.admits(By::Known("sam"), now)).count() as u32, PER_LOGIN);
        assert_eq!(flood.turn(now), None, "not yet");
        let left_out = u64::from(100_000 - OF_STRANGERS + 1000 - PER_LOGIN);
        assert_eq!(flood.turn(now + WINDOW), Some((left_out, now)));
        assert_eq!(flood.turn(now + WINDOW), None);
        assert!(flood.admits(By::Stranger("192.0.2.1"), now + WINDOW));
    }
}
