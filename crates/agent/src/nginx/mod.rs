//! nginx's configuration as a sequence of complete generations.
//!
//! A plain site changes nothing here: it is an entry in the names tree. What does change the configuration, a site with a
//! server block of its own or the node's settings, goes through a candidate: a complete directory `gen-<n>`, tested as a
//! whole, then made `current` in one step, then loaded, and then asked for: the workers must answer with its number.
//!
//! All changes that wait are taken together. If the candidate is refused, each change is tested on its own: the good ones
//! go live together, the bad ones are refused with nginx's own message.

mod control;
mod generation;
pub(crate) mod snippets;
mod suspects;

pub use control::{NginxControl, Real};

use crate::fsx::Fs;
pub use generation::EditedBase;
use generation::{Generations, Origin};
use snippets::Snippets;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nginx may take to answer with a new generation. Old workers stop accepting at once; 10,000 blocks are parsed in
/// a few seconds.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a change is not live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NginxError {
    /// nginx does not accept it.
    #[error("nginx refuses this configuration: {0}")]
    Rejected(String),
    /// Something else.
    #[error("nginx could not be changed: {0}")]
    Failed(String),
}

/// Sites with a block of their own that change together: file name and content, `None` to remove.
pub type SiteChange = BTreeMap<String, Option<String>>;

/// How a block that is not ours came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandMade {
    /// Somebody made it.
    Foreign,
    /// Somebody edited one of ours.
    Edited,
}

struct Request {
    change: SiteChange,
    answer: Sender<Result<(), NginxError>>,
}

/// The generations, with one thread that changes them.
pub struct Nginx {
    generations: Arc<Generations>,
    control: Arc<dyn NginxControl>,
    queue: Mutex<Sender<Request>>,
}

impl Nginx {
    /// Brings the files that every generation has up to date, and starts the thread.
    ///
    /// Nothing is made anew or loaded if nothing differs. If the base does not pass nginx's test, what is live stays live,
    /// and the error is returned beside the manager.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(
        fs: Arc<Fs>,
        control: Arc<dyn NginxControl>,
        base: BTreeMap<String, String>,
    ) -> std::io::Result<(Self, Result<(), NginxError>)> {
        let generations = Arc::new(Generations::new(fs, base));
        let started = refresh(&generations, &*control);
        let (queue, requests) = channel();
        let worker = Arc::clone(&generations);
        let asked = Arc::clone(&control);
        let thread = std::thread::Builder::new().name("nginx".into());
        thread.spawn(move || serve(&worker, &*control, &requests))?;
        Ok((Self { generations, control: asked, queue: Mutex::new(queue) }, started))
    }

    /// The block that is live in `file`.
    ///
    /// # Errors
    /// It can't be read.
    pub fn site(&self, file: &str) -> Result<Option<String>, NginxError> {
        self.generations.site(file)
    }

    /// The names of all blocks that are live.
    ///
    /// # Errors
    /// They can't be read.
    pub fn sites(&self) -> Result<Vec<String>, NginxError> {
        self.generations.sites()
    }

    /// Blocks that are live and that somebody else has written, or has edited.
    ///
    /// # Errors
    /// They can't be read.
    pub fn made_by_hand(&self) -> Result<Vec<(String, HandMade)>, NginxError> {
        let mut out = Vec::new();
        for file in self.generations.sites()? {
            match self.generations.origin_of(&file)? {
                Origin::Foreign => out.push((file, HandMade::Foreign)),
                Origin::Edited => out.push((file, HandMade::Edited)),
                Origin::Ours | Origin::Gone => {}
            }
        }
        Ok(out)
    }

    /// Where a block of the current generation is.
    ///
    /// # Errors
    /// It can't be read.
    pub fn site_path(&self, file: &str) -> Result<Option<String>, NginxError> {
        self.generations.site_path(file)
    }

    /// Files of the current generation that are the node's and were edited.
    ///
    /// # Errors
    /// They can't be read.
    pub fn edited_base(&self) -> Result<Vec<EditedBase>, NginxError> {
        self.generations.edited_base()
    }

    /// Snippets that differ from the copies that are live: directory and file.
    ///
    /// # Errors
    /// They can't be read.
    pub fn new_snippets(&self) -> Result<Vec<(String, String)>, NginxError> {
        let (written, live) = (Snippets::written(self.generations.fs())?, self.generations.snippets()?);
        let keys: std::collections::BTreeSet<_> = written.0.keys().chain(live.0.keys()).cloned().collect();
        Ok(keys.into_iter().filter(|key| written.0.get(key) != live.0.get(key)).collect())
    }

    /// The generation that is current, and the one that answers.
    ///
    /// # Errors
    /// It can't be read.
    pub fn generation(&self) -> Result<(Option<u64>, Option<u64>), NginxError> {
        Ok((self.generations.current()?, self.control.running_generation()))
    }

    /// Makes what was made by hand live if nginx accepts it, moves it aside if it does not, and puts the node's own files
    /// back. Does nothing if nothing of that kind is there.
    ///
    /// # Errors
    /// nginx refuses its own configuration; or the disk.
    pub fn follow(&self) -> Result<bool, NginxError> {
        let (current, running) = self.generation()?;
        let behind = running.is_some() && running != current;
        let edited = !self.edited_base()?.is_empty() || !self.new_snippets()?.is_empty();
        // What nginx would refuse, should it be started or reloaded by somebody else.
        let broken = || -> Result<bool, NginxError> {
            let Some(current) = current else { return Ok(false) };
            let made = !self.made_by_hand()?.is_empty();
            Ok(made && self.control.test(&self.generations.path_of(current)).is_err())
        };
        if !behind && !edited && !broken()? {
            return Ok(false);
        }
        self.apply(SiteChange::new())?;
        if let Err(error) = self.control.start_if_failed() {
            tracing::error!(error, "nginx does not start");
        }
        Ok(true)
    }

    /// Makes a change live; waits until nginx answers with it.
    ///
    /// # Errors
    /// It was refused or could not be made; then it is not live.
    pub fn apply(&self, change: SiteChange) -> Result<(), NginxError> {
        let stopped = || NginxError::Failed("its thread has ended; restart wcp360-agent".into());
        let (answer, result) = channel();
        {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.send(Request { change, answer }).map_err(|_| stopped())?;
        }
        result.recv().map_err(|_| stopped())?
    }
}

/// At start: a new generation if the files that every generation has differ, or if there is none.
fn refresh(generations: &Generations, control: &dyn NginxControl) -> Result<(), NginxError> {
    generations.tidy()?;
    let current = generations.current()?;
    if current.is_some() && generations.base_is_current()? {
        // It may be that a crash came between switching and loading.
        return match (current, control.running_generation()) {
            (Some(current), Some(running)) if current != running => go_live(generations, control, current, None),
            _ => Ok(()),
        };
    }
    let candidate = suspects::candidate(generations, control, &BTreeMap::new())?;
    switch(generations, control, current, candidate)
}

fn serve(generations: &Generations, control: &dyn NginxControl, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter());
        let changes: Vec<&SiteChange> = batch.iter().map(|request| &request.change).collect();
        let results = process(generations, control, &changes);
        tracing::info!(
            changes = batch.len(),
            refused = results.iter().filter(|r| r.is_err()).count(),
            "nginx configuration changed"
        );
        for (request, result) in batch.into_iter().zip(results) {
            // Nobody waits any more: it was made all the same.
            let _ = request.answer.send(result);
        }
    }
}

/// Makes the changes live that can be; one result for each.
fn process(
    generations: &Generations,
    control: &dyn NginxControl,
    changes: &[&SiteChange],
) -> Vec<Result<(), NginxError>> {
    match together(generations, control, changes) {
        Ok(results) => results,
        Err(error) => changes.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn together(
    generations: &Generations,
    control: &dyn NginxControl,
    changes: &[&SiteChange],
) -> Result<Vec<Result<(), NginxError>>, NginxError> {
    let previous = generations.current()?;
    let merge = |changes: &[&SiteChange]| {
        let mut merged = SiteChange::new();
        for change in changes {
            merged.extend(change.iter().map(|(file, content)| (file.clone(), content.clone())));
        }
        merged
    };
    let mut results = vec![Ok(()); changes.len()];
    let live = match suspects::candidate(generations, control, &merge(changes)) {
        Ok(candidate) => Some(candidate),
        Err(error) => {
            if changes.len() == 1 || !matches!(error, NginxError::Rejected(_)) {
                return Err(error);
            }
            // Each on top of the good ones before it.
            let mut good: Vec<&SiteChange> = Vec::new();
            let mut best = None;
            for (change, result) in changes.iter().zip(&mut results) {
                good.push(change);
                match suspects::candidate(generations, control, &merge(&good)) {
                    Ok(candidate) => {
                        if let Some(superseded) = best.replace(candidate) {
                            generations.discard(superseded);
                        }
                    }
                    Err(error) => {
                        good.pop();
                        *result = Err(error);
                    }
                }
            }
            best
        }
    };
    if let Some(candidate) = live {
        switch(generations, control, previous, candidate)?;
    }
    Ok(results)
}

fn test(generations: &Generations, control: &dyn NginxControl, candidate: u64) -> Result<(), NginxError> {
    control.test(&generations.path_of(candidate)).map_err(|message| {
        // The generation's directory is nobody's business but ours.
        NginxError::Rejected(message.replace(&format!("{}/", Generations::dir(candidate)), ""))
    })
}

/// Makes `candidate` current, loads it and sees that it is live; otherwise goes back to `previous`.
fn switch(
    generations: &Generations,
    control: &dyn NginxControl,
    previous: Option<u64>,
    candidate: u64,
) -> Result<(), NginxError> {
    generations.make_current(candidate)?;
    go_live(generations, control, candidate, previous)?;
    generations.prune(candidate);
    Ok(())
}

fn go_live(
    generations: &Generations,
    control: &dyn NginxControl,
    candidate: u64,
    previous: Option<u64>,
) -> Result<(), NginxError> {
    if !control.is_running() {
        // It will start with what is current.
        return Ok(());
    }
    let result = control.reload().and_then(|()| wait_for(control, candidate));
    result.map_err(|message| {
        if let Some(previous) = previous {
            let back = generations.make_current(previous).map_err(|e| e.to_string()).and_then(|()| control.reload());
            if let Err(error) = back {
                tracing::error!(%error, "nginx could not be put back to the generation before");
            }
        }
        NginxError::Failed(message)
    })
}

/// Waits until the workers answer with `generation`, several times in a row: an old worker may answer until it has heard
/// that it is to end.
fn wait_for(control: &dyn NginxControl, generation: u64) -> Result<(), String> {
    let started = Instant::now();
    let mut in_a_row = 0;
    let mut pause = Duration::from_millis(1);
    while started.elapsed() < EFFECT_TIMEOUT {
        if control.running_generation() == Some(generation) {
            in_a_row += 1;
            if in_a_row == 3 {
                return Ok(());
            }
            continue;
        }
        in_a_row = 0;
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Err(format!(
        "it still answers with the old configuration {} s after the reload; see /var/log/wcp360/nginx-error.log",
        EFFECT_TIMEOUT.as_secs()
    ))
}

#[cfg(test)]
mod tests;
