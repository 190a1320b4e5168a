//! The event bus (ENG-09): what happened lately, for those who listen.
//!
//! There is one ring of recent events and no queue per listener: everybody has a position in it. Who is so slow that the ring
//! overtakes them is told so, and nobody else notices. Events are made of what is committed: who changes a job says only
//! which one, and [`Engine::run_events`](crate::Engine::run_events) reads how it stands. With several processes on one database it looks for the
//! others' changes too.

mod pump;
mod ring;

pub use ring::{Audience, Lost, Position, Stored};

use jiff::Timestamp;
use ring::Ring;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use wcp360_types::JobId;
use wcp360_types::api::audit::AuditEntry;
use wcp360_types::api::event::{AlertSeverity, EventBody, Topic};

/// Without anybody who listens, events are still kept for so long: who lost the connection may come back.
const LINGER: Duration = Duration::from_secs(120);
/// Jobs that wait for being looked at; more are found by looking for changes.
const MAX_HINTS: usize = 10_000;

/// The bus. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Hub {
    ring: Mutex<Ring>,
    /// Rises with every event.
    newest: watch::Sender<u64>,
    /// Jobs that changed and were not looked at yet.
    hints: Mutex<BTreeSet<JobId>>,
    hinted: Notify,
    listeners: AtomicUsize,
    last_listener: Mutex<Option<Instant>>,
}

/// Somebody who listens; while there are any, events are made.
#[derive(Debug)]
pub struct Listening {
    hub: Arc<Hub>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        *self.hub.last_listener.lock().expect("no panic while noting") = Some(Instant::now());
        self.hub.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Events {
    fn default() -> Self {
        let (newest, _) = watch::channel(0);
        Self {
            hub: Arc::new(Hub {
                ring: Mutex::new(Ring::new()),
                newest,
                hints: Mutex::default(),
                hinted: Notify::new(),
                listeners: AtomicUsize::new(0),
                last_listener: Mutex::new(None),
            }),
        }
    }
}

impl Events {
    /// Says that a job changed. To be called after the change is committed.
    pub(crate) fn job(&self, id: JobId) {
        if !self.is_wanted() {
            return;
        }
        let mut hints = self.hub.hints.lock().expect("no panic while noting");
        if hints.len() < MAX_HINTS {
            hints.insert(id);
        }
        drop(hints);
        self.hub.hinted.notify_one();
    }

    /// Tells administrators that something needs attention.
    pub(crate) fn alert(&self, severity: AlertSeverity, message: String) {
        self.publish(Audience::Panel, &[Topic::Alerts], EventBody::Alert { severity, message });
    }

    /// Tells of a new entry of the audit trail.
    pub(crate) fn audit(&self, entry: &AuditEntry) {
        let audience = Audience::of(entry.owner, entry.account);
        self.publish(audience, &[Topic::Audit], EventBody::Audit { entry: Box::new(entry.clone()) });
    }

    fn publish(&self, audience: Audience, topics: &[Topic], body: EventBody) {
        if !self.is_wanted() {
            return;
        }
        let number = {
            let mut ring = self.hub.ring.lock().expect("no panic while publishing");
            ring.push(Timestamp::now(), audience, topics, body)
        };
        self.hub.newest.send_replace(number);
    }

    /// Begins to listen.
    pub fn listen(&self) -> Listening {
        self.hub.listeners.fetch_add(1, Ordering::Relaxed);
        Listening { hub: self.hub.clone() }
    }

    /// Wakes with every event.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.hub.newest.subscribe()
    }

    /// Where the stream stands now.
    pub fn now(&self) -> Position {
        self.hub.ring.lock().expect("no panic while reading").now()
    }

    /// At most `most` events after a position, which moves on.
    ///
    /// # Errors
    /// [`Lost`] if some that come next are gone.
    pub fn read(&self, position: &mut Position, most: usize) -> Result<Vec<Arc<Stored>>, Lost> {
        self.hub.ring.lock().expect("no panic while reading").read(position, most)
    }

    /// Whether anybody listens, or did a moment ago.
    fn is_wanted(&self) -> bool {
        if self.hub.listeners.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let last = *self.hub.last_listener.lock().expect("no panic while reading");
        let lingering = last.is_some_and(|last| last.elapsed() < LINGER);
        if !lingering && last.is_some() {
            // From here on events are missed: positions of before lead nowhere.
            *self.hub.last_listener.lock().expect("no panic while noting") = None;
            self.hub.ring.lock().expect("no panic while writing").begin_anew();
        }
        lingering
    }

    fn take_hints(&self, most: usize) -> Vec<JobId> {
        let mut hints = self.hub.hints.lock().expect("no panic while taking");
        let taken: Vec<JobId> = hints.iter().take(most).copied().collect();
        for id in &taken {
            hints.remove(id);
        }
        taken
    }

    async fn hinted(&self) {
        self.hub.hinted.notified().await;
    }
}
