//! Starts units together.
//!
//! Whenever an entry in the directory of unit files has changed, systemd reads the names of all unit files again before it
//! loads the next unit. Accounts that are created at the same time therefore write their files first, and are started in
//! one go, for one such reading.

use super::{ServiceError, ServiceManager};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

struct Request {
    unit: String,
    answer: Sender<Result<(), ServiceError>>,
}

/// Collects units that wait for being started.
pub(crate) struct Starter {
    queue: Mutex<Sender<Request>>,
    files: Arc<RwLock<()>>,
}

impl Starter {
    /// Starts the thread that starts units.
    pub(crate) fn new(services: Arc<dyn ServiceManager>) -> std::io::Result<Self> {
        let (queue, requests) = channel();
        let files = Arc::new(RwLock::new(()));
        let shared = Arc::clone(&files);
        std::thread::Builder::new().name("starter".into()).spawn(move || serve(&*services, &shared, &requests))?;
        Ok(Self { queue: Mutex::new(queue), files })
    }

    /// To be held while an entry in the directory of unit files is changed.
    pub(crate) fn files(&self) -> RwLockReadGuard<'_, ()> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts `unit`, together with others that wait.
    pub(crate) fn start(&self, unit: &str) -> Result<(), ServiceError> {
        let stopped = || ServiceError::new("start", unit, "the agent's thread for it has ended; restart wcp360-agent");
        let (answer, result) = channel();
        {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.send(Request { unit: unit.into(), answer }).map_err(|_| stopped())?;
        }
        result.recv().map_err(|_| stopped())?
    }
}

fn serve(services: &dyn ServiceManager, files: &RwLock<()>, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let _no_changes = files.write().unwrap_or_else(PoisonError::into_inner);
        let mut batch = vec![first];
        batch.extend(requests.try_iter());
        let units: Vec<&str> = batch.iter().map(|request| request.unit.as_str()).collect();
        let results = services.start_all(&units);
        for (request, result) in batch.into_iter().zip(results) {
            // Nobody waits any more: it was started all the same.
            let _ = request.answer.send(result);
        }
    }
}
