//! User ids: given once, in ascending order, and never again.

use crate::fsx::{Access, Durability, Fs, FsError};
use crate::userdb::UserDbError;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use wcp360_agent_render::paths::AGENT_STATE;

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
pub enum UidError {
    /// All are given.
    #[error("all user ids from {0} to {1} have been given once; raise uid_max in /etc/wcp360/wcp360.yaml")]
    Exhausted(u32, u32),
    /// The disk, or the user database.
    #[error("{0}")]
    Io(String),
}

/// Gives out numbers. The journal has a number on disk before it is used, and the record here is brought up to date before
/// the journal forgets, so that neither a deletion nor a crash makes one come twice: files of a deleted account can't
/// become somebody else's.
#[derive(Debug)]
pub struct Uids {
    fs: Arc<Fs>,
    min: u32,
    max: u32,
    next: Mutex<u32>,
    recorded: Mutex<u32>,
}

fn path() -> String {
    format!("{AGENT_STATE}/next-uid")
}

impl Uids {
    /// Reads where it was left off. Without that record, numbers above all of `used` are free.
    ///
    /// # Errors
    /// The record can't be read.
    pub fn open(fs: Arc<Fs>, min: u32, max: u32, used: &HashSet<u32>) -> Result<Self, FsError> {
        fs.remove_temporary(&path())?;
        let recorded = match fs.read(&path())? {
            Some((content, _)) => {
                let text = String::from_utf8_lossy(&content);
                text.trim().parse::<u32>().map_err(|e| {
                    FsError::new(
                        "read",
                        &path(),
                        std::io::Error::other(format!("{e}: write the next free uid into it")),
                    )
                })?
            }
            None => min,
        };
        let highest = used.iter().copied().filter(|uid| (min..=max).contains(uid)).max();
        let next = recorded.max(min).max(highest.map_or(0, |uid| uid + 1));
        Ok(Self { fs, min, max, next: Mutex::new(next), recorded: Mutex::new(recorded) })
    }

    /// The number that would be given next.
    pub fn peek(&self) -> u32 {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that was never given, and that nobody else has.
    ///
    /// # Errors
    /// None is left, or the user database can't be read.
    pub fn allocate(&self, taken: impl Fn(u32) -> Result<bool, UserDbError>) -> Result<u32, UidError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut uid = *next;
        while uid <= self.max && taken(uid).map_err(|e| UidError::Io(e.to_string()))? {
            uid += 1;
        }
        if uid > self.max {
            return Err(UidError::Exhausted(self.min, self.max));
        }
        *next = uid + 1;
        Ok(uid)
    }

    /// Records where it was left off; on disk when this returns.
    ///
    /// # Errors
    /// The disk.
    pub fn record(&self) -> Result<(), FsError> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.peek();
        if *recorded != next {
            let access = Access { uid: 0, gid: 0, mode: 0o600 };
            self.fs.write(&path(), format!("{next}\n").as_bytes(), access, Durability::Durable)?;
            *recorded = next;
        }
        Ok(())
    }
}
