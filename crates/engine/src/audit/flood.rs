//! How many refusals are recorded one by one: nobody must be able to fill the disk with them.
//!
//! What is beyond a bound is counted. Strangers share one count; of somebody known there is a count for every operation and
//! reason. Counts become entries of their own when the window ends, or when core stops.
//!
//! That a change is begun is recorded before it happens, so a refused change costs an entry even if its refusal is only
//! counted. Who was refused often gets one such entry that stands for what they try next, until something succeeds.

use crate::Caller;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use wcp360_store::audit::NewAudit;
use wcp360_types::{AccountId, UserId};

/// Counts begin anew after this time.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Of strangers from one address, and from all.
const PER_SOURCE: u32 = 30;
const OF_STRANGERS: u32 = 200;
/// Of somebody who is known: with one operation for one reason, and in all.
const PER_REASON: u32 = 10;
const PER_LOGIN: u32 = 60;
/// Operations and reasons that are counted apart for one login; what comes then is counted together.
const MAX_REASONS: usize = 20;
/// More sources, and more logins, than this are not told apart.
const MAX_KEYS: usize = 10_000;
/// What is said of those that are not told apart.
const SEVERAL: (&str, &str) = ("several operations", "several reasons");

/// Whose refusal it is.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// Somebody unknown, from this address.
    Stranger(&'a str),
    /// Somebody known.
    Known(&'a Caller),
}

/// What is to be recorded before a change begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// That it begins.
    This,
    /// That it begins, and that the entry stands for what comes after it: then [`Flood::stands`].
    ThisAndMore,
    /// Nothing: an entry stands for it.
    Covered,
}

/// Counts refusals.
#[derive(Debug, Default)]
pub(super) struct Flood(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since: Option<Timestamp>,
    sources: HashMap<String, u32>,
    strangers: u32,
    left_out: u64,
    logins: HashMap<String, Login>,
}

/// What somebody known was refused.
#[derive(Debug, Default)]
struct Login {
    account: Option<AccountId>,
    owner: Option<UserId>,
    recorded: u32,
    reasons: HashMap<(String, String), Refusals>,
    /// By operation: since something succeeded.
    tries: HashMap<String, Tries>,
}

#[derive(Debug, Default)]
struct Refusals {
    count: u32,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Tries {
    refused: u32,
    standing: bool,
}

impl Flood {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().expect("no panic while counting")
    }

    /// Whether a refusal of `operation` for `reason` is to be recorded; else it is counted.
    pub(super) fn admits(&self, by: By<'_>, operation: &str, reason: &str, now: Timestamp) -> bool {
        let mut counts = self.counts();
        counts.since.get_or_insert(now);
        match by {
            By::Stranger(source) => counts.admits_stranger(source),
            By::Known(caller) => counts.admits_known(caller, operation, reason),
        }
    }

    /// What is to be recorded before `caller` begins `operation`.
    pub(super) fn beginning(&self, caller: &Caller, operation: &str) -> Beginning {
        let counts = self.counts();
        match counts.logins.get(&caller.username).and_then(|login| login.tries.get(operation)) {
            Some(tries) if tries.standing => Beginning::Covered,
            Some(tries) if tries.refused >= PER_REASON => Beginning::ThisAndMore,
            _ => Beginning::This,
        }
    }

    /// The entry of a beginning is recorded, and stands for those that follow it.
    pub(super) fn stands(&self, caller: &Caller, operation: &str) {
        if let Some(tries) = self.counts().tries(caller, operation) {
            tries.standing = true;
        }
    }

    /// A change succeeded: the next one is recorded by itself again.
    pub(super) fn succeeded(&self, caller: &Caller, operation: &str) {
        if let Some(tries) = self.counts().tries(caller, operation) {
            *tries = Tries::default();
        }
    }

    /// Begins anew if it is time, or if core `stops`; the entries that say what was left out, if anything was.
    pub(super) fn turn(&self, now: Timestamp, stops: bool) -> Vec<NewAudit> {
        let mut counts = self.counts();
        let Some(since) = counts.since.filter(|since| stops || now.duration_since(*since) >= WINDOW || now < *since)
        else {
            return Vec::new();
        };
        std::mem::take(&mut *counts).summaries(since)
    }
}

impl Counts {
    fn admits_stranger(&mut self, source: &str) -> bool {
        let key = format!("@{source}");
        let crowded = self.sources.len() >= MAX_KEYS && !self.sources.contains_key(&key);
        let admitted = !crowded && self.strangers < OF_STRANGERS && {
            let count = self.sources.entry(key).or_insert(0);
            *count += 1;
            *count <= PER_SOURCE
        };
        if admitted {
            self.strangers += 1;
        } else {
            self.left_out += 1;
        }
        admitted
    }

    fn admits_known(&mut self, caller: &Caller, operation: &str, reason: &str) -> bool {
        if self.logins.len() >= MAX_KEYS && !self.logins.contains_key(&caller.username) {
            self.left_out += 1;
            return false;
        }
        let login = self.logins.entry(caller.username.clone()).or_default();
        login.account = caller.account_id;
        login.owner = Some(caller.user_id).filter(|_| caller.account_id.is_none() && !caller.is_admin());
        login.tries.entry(operation.to_owned()).or_default().refused += 1;
        let mut key = (operation.to_owned(), reason.to_owned());
        if login.reasons.len() >= MAX_REASONS && !login.reasons.contains_key(&key) {
            key = (SEVERAL.0.into(), SEVERAL.1.into());
        }
        let refusals = login.reasons.entry(key).or_default();
        refusals.count = refusals.count.saturating_add(1);
        let admitted = refusals.count <= PER_REASON && login.recorded < PER_LOGIN;
        if admitted {
            login.recorded += 1;
        } else {
            refusals.left_out += 1;
        }
        admitted
    }

    fn tries(&mut self, caller: &Caller, operation: &str) -> Option<&mut Tries> {
        self.logins.get_mut(&caller.username)?.tries.get_mut(operation)
    }

    fn summaries(self, since: Timestamp) -> Vec<NewAudit> {
        let mut out = Vec::new();
        if self.left_out > 0 {
            let count = self.left_out;
            let detail = format!("{count} more refusals since {since:.0} were counted and not recorded one by one");
            out.push(super::by_panel("audit.summary", None, "refused", Some(&detail)));
        }
        for (name, login) in self.logins {
            for ((operation, reason), refusals) in login.reasons.into_iter().filter(|(_, found)| found.left_out > 0) {
                let count = refusals.left_out;
                let detail = format!(
                    "{count} more refusals since {since:.0} were counted and not recorded one by one: {reason}"
                );
                out.push(NewAudit {
                    actor: name.clone(),
                    account: login.account,
                    owner: login.owner,
                    ..super::by_panel("audit.summary", Some(&operation), "refused", Some(&detail))
                });
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wcp360_store::users::StoredUser;
    use wcp360_types::Role;

    fn known(name: &str) -> Caller {
        let user = StoredUser {
            id: UserId::new(),
            username: name.into(),
            role: Role::Reseller,
            account_id: None,
            suspended: false,
            password_hash: None,
            max_accounts: None,
        };
        Caller::new(&user, "token", None)
    }

    fn counted(entries: &[NewAudit]) -> u64 {
        let number =
            |entry: &NewAudit| entry.detail.as_deref().and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        entries.iter().map(|entry| number(entry).unwrap()).sum()
    }

    #[test]
    fn sec_06_refusals_of_strangers_are_bounded_and_the_rest_is_counted() {
        let flood = Flood::default();
        let now = Timestamp::now();
        let mut admitted = 0;
        for number in 0..100_000u32 {
            let source = format!("2001:db8::{:x}", number % 5000);
            admitted += u32::from(flood.admits(By::Stranger(&source), "session.login", "unauthenticated", now));
        }
        assert_eq!(admitted, OF_STRANGERS);
        let one = Flood::default();
        let again = |_: &i32| one.admits(By::Stranger("192.0.2.1"), "session.login", "unauthenticated", now);
        assert_eq!((0..1000).filter(again).count() as u32, PER_SOURCE);
        // Strangers don't use up what people get who are known.
        assert!(flood.admits(By::Known(&known("sam")), "tokens.create", "invalid", now));
        assert!(flood.turn(now, false).is_empty(), "not yet");
        assert_eq!(counted(&flood.turn(now + WINDOW, false)), u64::from(100_000 - OF_STRANGERS));
        assert!(flood.turn(now + WINDOW, false).is_empty());
        assert!(flood.admits(By::Stranger("192.0.2.1"), "session.login", "unauthenticated", now + WINDOW));
    }

    #[test]
    fn sec_06_of_somebody_known_the_same_refusal_is_counted_in_one_entry() {
        let (flood, sam, now) = (Flood::default(), known("sam"), Timestamp::now());
        let refuse = |operation: &str, reason: &str| flood.admits(By::Known(&sam), operation, reason, now);
        assert_eq!((0..1000).filter(|_| refuse("tokens.create", "invalid")).count() as u32, PER_REASON);
        // Another operation, and another reason, are news.
        assert!(refuse("tokens.create", "forbidden") && refuse("users.create", "invalid"));
        let entries = flood.turn(now, true);
        assert_eq!((entries.len(), counted(&entries)), (1, u64::from(1000 - PER_REASON)));
        let entry = &entries[0];
        assert_eq!(
            (entry.actor.as_str(), entry.target.as_deref(), entry.owner),
            ("sam", Some("tokens.create"), Some(sam.user_id))
        );
        assert!(entry.detail.as_deref().unwrap().ends_with(": invalid"), "{entry:?}");
        // However many kinds there are, entries are few and the count is whole.
        let recorded = (0..3000).filter(|n| refuse(&format!("operation.{}", n % 300), "invalid")).count();
        let entries = flood.turn(now, true);
        assert!(recorded <= PER_LOGIN as usize && entries.len() <= MAX_REASONS + 1, "{recorded} {}", entries.len());
        assert_eq!(recorded as u64 + counted(&entries), 3000);
    }

    #[test]
    fn sec_06_beginnings_of_who_is_refused_again_and_again_are_bounded() {
        let (flood, sam, now) = (Flood::default(), known("sam"), Timestamp::now());
        let mut recorded = 0;
        let mut attempt = |refused: bool| {
            let beginning = flood.beginning(&sam, "tokens.create");
            recorded += u32::from(beginning != Beginning::Covered);
            if beginning == Beginning::ThisAndMore {
                flood.stands(&sam, "tokens.create");
            }
            match refused {
                true => _ = flood.admits(By::Known(&sam), "tokens.create", "invalid", now),
                false => flood.succeeded(&sam, "tokens.create"),
            }
            recorded
        };
        for _ in 0..1000 {
            attempt(true);
        }
        assert_eq!(attempt(true), PER_REASON + 1);
        // A standing entry is there before the change; after it, every one has its own again.
        assert_eq!(attempt(false), PER_REASON + 1);
        assert_eq!(attempt(false), PER_REASON + 2);
        assert_eq!(flood.beginning(&known("bob"), "tokens.create"), Beginning::This);
    }
}
