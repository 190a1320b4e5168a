//! How many may listen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use wcp360_types::{Problem, UserId};

/// Connections of one person,
const PER_USER: usize = 16;
/// and of all.
const IN_ALL: usize = 2000;
/// When the panel stops, connections are given so long to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// All connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sockets {
    taken: Arc<Mutex<HashMap<UserId, usize>>>,
    stopping: watch::Receiver<bool>,
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().expect("no panic while counting");
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

impl Sockets {
    /// No connections yet; `stopping` turns true when they shall end.
    pub(crate) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self { taken: Arc::default(), stopping }
    }

    /// A place for one more connection.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn place(&self, user: UserId) -> Result<Place, Problem> {
        let mut taken = self.taken.lock().expect("no panic while counting");
        let own = taken.get(&user).copied().unwrap_or(0);
        if own >= PER_USER || taken.values().sum::<usize>() >= IN_ALL {
            let detail = format!("There are too many connections that listen; {PER_USER} per login are allowed.");
            return Err(Problem::too_many_requests(10, detail));
        }
        taken.insert(user, own + 1);
        Ok(Place { taken: self.taken.clone(), user })
    }

    /// Turns true when the panel stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }

    /// Waits, not for long, until all connections have ended.
    pub(crate) async fn emptied(&self) {
        let until = tokio::time::Instant::now() + FAREWELL;
        while tokio::time::Instant::now() < until && !self.taken.lock().expect("no panic while counting").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eng_09_places_are_bounded_per_person_and_given_back() {
        let (_stop, stopping) = watch::channel(false);
        let sockets = Sockets::new(stopping);
        let (one, two) = (UserId::new(), UserId::new());
        let held: Vec<Place> = (0..PER_USER).map(|_| sockets.place(one).unwrap()).collect();
        assert_eq!(sockets.place(one).unwrap_err().status, 429);
        drop(sockets.place(two).unwrap());
        drop(held);
        assert!(sockets.place(one).is_ok());
        assert!(sockets.taken.lock().unwrap().is_empty());
    }
}
