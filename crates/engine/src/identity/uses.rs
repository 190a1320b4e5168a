//! How often tokens are used: counted in memory, written once a minute each.

use super::TOUCH;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Mutex;
use wcp360_types::TokenId;

#[derive(Debug)]
struct Counted {
    uses: u64,
    source: String,
    last: Timestamp,
    written: Timestamp,
}

/// Uses that are to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) id: TokenId,
    pub(crate) uses: u64,
    /// From where the last one was.
    pub(crate) source: String,
    /// When it was.
    pub(crate) last: Timestamp,
}

/// Uses that were not written yet. There are no more entries than tokens in use in the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<TokenId, Counted>>);

impl Uses {
    /// Counts a use of a token; what is to be written now, if it is time. The first use is written at once.
    pub(crate) fn count(&self, id: TokenId, source: &str, now: Timestamp) -> Option<Due> {
        let mut all = self.0.lock().expect("no panic while counting");
        let entry = all.entry(id).or_insert(Counted {
            uses: 0,
            source: String::new(),
            last: now,
            written: Timestamp::UNIX_EPOCH,
        });
        entry.uses += 1;
        entry.last = now;
        if entry.source != source {
            entry.source = source.to_owned();
        }
        (now.duration_since(entry.written) >= TOUCH).then(|| entry.take(id, now))
    }

    /// All that is to be written, and forgets who was idle.
    pub(crate) fn take_all(&self, now: Timestamp) -> Vec<Due> {
        let mut all = self.0.lock().expect("no panic while counting");
        all.retain(|_, entry| entry.uses > 0 || now.duration_since(entry.written) < TOUCH);
        all.iter_mut().filter(|(_, entry)| entry.uses > 0).map(|(id, entry)| entry.take(*id, now)).collect()
    }
}

impl Counted {
    fn take(&mut self, id: TokenId, now: Timestamp) -> Due {
        self.written = now;
        Due { id, uses: std::mem::take(&mut self.uses), source: self.source.clone(), last: self.last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn sec_03_no_use_is_lost_and_few_are_written() {
        let uses = Uses::default();
        let (id, start) = (TokenId::new(), Timestamp::now());
        let mut written = Vec::new();
        for second in 0..150 {
            let now = start + SignedDuration::from_secs(second);
            written.extend(uses.count(id, "203.0.113.9", now).map(|due| due.uses));
        }
        assert_eq!(written, [1, 60, 60]);
        let later = start + SignedDuration::from_secs(200);
        let rest = uses.take_all(later);
        assert_eq!((rest.len(), rest[0].uses, rest[0].source.as_str()), (1, 29, "203.0.113.9"));
        assert_eq!(rest[0].last, start + SignedDuration::from_secs(149));
        assert!(uses.take_all(later + TOUCH).is_empty());
        assert!(uses.0.lock().unwrap().is_empty(), "who is idle is forgotten");
    }
}
