//! Recent events, in order.

use jiff::Timestamp;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use wcp360_store::Scope;
use wcp360_types::api::event::{Event, EventBody, FromPanel, Topic};
use wcp360_types::{AccountId, UserId};

/// Events that are kept,
const MOST: usize = 4096;
/// and their size in bytes.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Who may see an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Administrators.
    Panel,
    /// They, and whose it is.
    Tenant {
        /// The owner.
        owner: Option<UserId>,
        /// The account.
        account: Option<AccountId>,
    },
}

impl Audience {
    /// Those whose it is.
    pub fn of(owner: Option<UserId>, account: Option<AccountId>) -> Self {
        Audience::Tenant { owner, account }
    }

    /// Whether who has this part of the tenant tree sees it.
    pub fn includes(&self, scope: Scope) -> bool {
        match (scope, self) {
            (Scope::All, _) => true,
            (_, Audience::Panel) => false,
            (Scope::Owner(id), Audience::Tenant { owner, .. }) => *owner == Some(id),
            (Scope::Account(id), Audience::Tenant { account, .. }) => *account == Some(id),
        }
    }
}

/// An event as it is kept.
#[derive(Debug)]
pub struct Stored {
    /// Who may see it.
    pub audience: Audience,
    /// Its topics.
    pub topics: Vec<Topic>,
    /// For an entry of the trail: who acted.
    pub actor: Option<String>,
    /// The message, as JSON.
    pub text: String,
}

/// A place in the stream. Another epoch is another stream: the panel was started anew, or nobody listened for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    epoch: u64,
    number: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.number)
    }
}

impl FromStr for Position {
    type Err = Lost;
    fn from_str(text: &str) -> Result<Self, Lost> {
        let (epoch, number) = text.split_once('-').ok_or(Lost)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| Lost)?;
        Ok(Self { epoch, number: number.parse().map_err(|_| Lost)? })
    }
}

/// Events that come next are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    epoch: u64,
    /// The number of the last event.
    last: u64,
    events: VecDeque<Arc<Stored>>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { epoch: random(), last: 0, events: VecDeque::new(), bytes: 0 }
    }

    /// Another stream; numbers go on, so that who waits for a higher one is not disappointed.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { last: self.last, ..Self::new() };
    }

    pub(super) fn now(&self) -> Position {
        Position { epoch: self.epoch, number: self.last }
    }

    /// Adds an event; its number.
    pub(super) fn push(&mut self, at: Timestamp, audience: Audience, topics: &[Topic], body: EventBody) -> u64 {
        self.last += 1;
        let actor = match &body {
            EventBody::Audit { entry } => Some(entry.actor.clone()),
            _ => None,
        };
        let event = FromPanel::Event(Event { position: self.now().to_string(), at, body });
        let text = serde_json::to_string(&event).expect("plain data has a JSON form");
        self.bytes += text.len();
        self.events.push_back(Arc::new(Stored { audience, topics: topics.to_vec(), actor, text }));
        while self.events.len() > MOST || (self.bytes > MOST_BYTES && self.events.len() > 1) {
            if let Some(gone) = self.events.pop_front() {
                self.bytes -= gone.text.len();
            }
        }
        self.last
    }

    pub(super) fn read(&self, position: &mut Position, most: usize) -> Result<Vec<Arc<Stored>>, Lost> {
        let before_first = self.last - self.events.len() as u64;
        if position.epoch != self.epoch || position.number < before_first || position.number > self.last {
            return Err(Lost);
        }
        let skip = usize::try_from(position.number - before_first).unwrap_or(usize::MAX);
        let found: Vec<_> = self.events.iter().skip(skip).take(most).cloned().collect();
        position.number += found.len() as u64;
        Ok(found)
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Only to tell one start from another: the time does as well.
    if getrandom::fill(&mut bytes).is_err() {
        return Timestamp::now().as_nanosecond() as u64;
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wcp360_types::api::event::AlertSeverity;

    fn alert(ring: &mut Ring, message: &str) {
        let body = EventBody::Alert { severity: AlertSeverity::Error, message: message.into() };
        ring.push(Timestamp::now(), Audience::Panel, &[Topic::Alerts], body);
    }

    #[test]
    fn eng_09_everybody_reads_on_from_their_own_position() {
        let mut ring = Ring::new();
        let mut early = ring.now();
        for n in 0..10 {
            alert(&mut ring, &format!("no {n}"));
        }
        let mut late: Position = ring.now().to_string().parse().unwrap();
        assert_eq!(ring.read(&mut early, 4).unwrap().len(), 4);
        let rest = ring.read(&mut early, 100).unwrap();
        assert!(rest.len() == 6 && rest[0].text.contains("no 4"));
        assert!(ring.read(&mut late, 100).unwrap().is_empty());
        alert(&mut ring, "one more");
        assert_eq!(ring.read(&mut early, 100).unwrap().len(), 1);
        assert_eq!(ring.read(&mut late, 100).unwrap().len(), 1);
    }

    #[test]
    fn eng_09_who_is_overtaken_is_told_so_and_memory_is_bounded() {
        let mut ring = Ring::new();
        let mut slow = ring.now();
        for n in 0..MOST + 1 {
            alert(&mut ring, &n.to_string());
        }
        assert_eq!(ring.read(&mut slow, 1).unwrap_err(), Lost);
        let mut recent = Position { number: ring.last - 5, ..ring.now() };
        assert_eq!(ring.read(&mut recent, 100).unwrap().len(), 5);
        let text = "x".repeat(1024 * 1024);
        for _ in 0..20 {
            alert(&mut ring, &text);
        }
        assert!(ring.bytes <= MOST_BYTES && ring.events.len() < 10);
        assert_eq!(ring.bytes, ring.events.iter().map(|e| e.text.len()).sum::<usize>());
    }

    #[test]
    fn eng_09_a_position_of_another_stream_is_not_mistaken() {
        let mut ring = Ring::new();
        alert(&mut ring, "a");
        let mut foreign = Ring::new().now();
        assert_eq!(ring.read(&mut foreign, 1).unwrap_err(), Lost);
        let mut ahead = Position { number: 100, ..ring.now() };
        assert_eq!(ring.read(&mut ahead, 1).unwrap_err(), Lost);
        let mut before = ring.now();
        ring.begin_anew();
        assert_eq!(ring.read(&mut before, 1).unwrap_err(), Lost);
        for bad in ["", "-", "x-1", "1", "1-x", "ffffffffffffffffff-1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }

    #[test]
    fn eng_09_only_those_whose_it_is_see_it() {
        let (owner, account) = (UserId::new(), AccountId::new());
        let own = Audience::of(Some(owner), Some(account));
        assert!(own.includes(Scope::All) && own.includes(Scope::Owner(owner)) && own.includes(Scope::Account(account)));
        assert!(!own.includes(Scope::Owner(UserId::new())) && !own.includes(Scope::Account(AccountId::new())));
        let of_nobody = Audience::of(None, None);
        for audience in [Audience::Panel, of_nobody] {
            assert!(audience.includes(Scope::All));
            assert!(!audience.includes(Scope::Owner(owner)) && !audience.includes(Scope::Account(account)));
        }
    }
}
