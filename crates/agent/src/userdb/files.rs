//! The four files, read once for each time they change.

use super::{UserDbError, lines::Lines};
use crate::fsx::{Fs, Meta};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A file that changed within this time, in seconds, before it was read may change again without looking different: the
/// clock that files are stamped by is coarse.
const COARSE: f64 = 0.1;

/// What was read last of each file, and what it looked like then.
type Known = HashMap<&'static str, (Meta, Arc<Vec<u8>>)>;

/// The files, as they were read last.
#[derive(Debug)]
pub(super) struct Files {
    fs: Arc<Fs>,
    known: Mutex<Known>,
}

impl Files {
    pub(super) fn new(fs: Arc<Fs>) -> Self {
        Self { fs, known: Mutex::default() }
    }

    pub(super) fn fs(&self) -> &Fs {
        &self.fs
    }

    /// The lines of `path`, as they are now.
    pub(super) fn read(&self, path: &'static str) -> Result<Lines, UserDbError> {
        let now = self.fs.meta(path)?;
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some((then, content)), Some(now)) = (known.get(path), now)
                && (then.inode, then.size, then.modified, then.changed)
                    == (now.inode, now.size, now.modified, now.changed)
            {
                return Ok(Lines::new(Some(Arc::clone(content))));
            }
        }
        let Some((content, meta)) = self.fs.read(path)? else { return Ok(Lines::new(None)) };
        let content = Arc::new(content);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let age = jiff::Timestamp::now().as_duration().as_secs_f64() - seconds(meta.changed);
        if age > COARSE {
            known.insert(path, (meta, Arc::clone(&content)));
        } else {
            known.remove(path);
        }
        Ok(Lines::new(Some(content)))
    }
}

#[allow(clippy::cast_precision_loss)] // hundredths of seconds are enough
fn seconds((whole, nanos): (i64, i64)) -> f64 {
    whole as f64 + nanos as f64 / 1e9
}
