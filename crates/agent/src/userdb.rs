//! Linux users, by editing passwd(5), shadow(5), group(5) and gshadow(5) directly.
//!
//! `useradd` rewrites the four files one after the other for every user, flushes caches, and takes longer the more users
//! there are. Here all waiting changes are applied together: one lock (the one that `useradd`, `passwd` and `vipw` take),
//! one rewrite of each file. A hundred accounts created at once cost a few rewrites.
//!
//! Lines of other users are kept byte for byte. Every change is idempotent, so that one which a crash interrupted between
//! two files is completed by making it again.

mod files;
mod lines;

use crate::crash;
use crate::fsx::{Access, Fs, FsError};
use files::Files;
use lines::Lines;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wcp360_agent_render::resource::UserSpec;
use wcp360_types::Username;

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const GROUP: &str = "/etc/group";
const GSHADOW: &str = "/etc/gshadow";
const LOCK: &str = "/etc/.pwd.lock";
/// How long another program may hold the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15);
/// Expired on the second of January 1970: no login by any means, not even by key.
const EXPIRED: &str = "1";

/// Why users can't be changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UserDbError {
    /// Another program holds the lock.
    #[error("the user database is locked by another program for more than {} s; try again, or see who holds {LOCK}", LOCK_TIMEOUT.as_secs())]
    Locked,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// The name belongs to somebody else.
    #[error("{0}")]
    Taken(String),
}

impl From<FsError> for UserDbError {
    fn from(error: FsError) -> Self {
        Self::Io(error.to_string())
    }
}

/// What is known about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserState {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Whether it can't log in at all; `None` if passwd and shadow disagree about it or the user's group is missing.
    pub locked: Option<bool>,
}

enum Change {
    Put(UserSpec),
    Remove(Username, u32),
}

struct Request {
    change: Change,
    answer: Sender<Result<(), UserDbError>>,
}

/// The four files, with one thread that changes them.
pub struct UserDb {
    files: Arc<Files>,
    queue: Mutex<Sender<Request>>,
    rewrites: Arc<AtomicU64>,
}

impl UserDb {
    /// Takes away what a crash left half-written, and starts the thread.
    ///
    /// # Errors
    /// The disk, or no thread can be started.
    pub fn start(fs: Arc<Fs>) -> std::io::Result<Self> {
        for file in [PASSWD, SHADOW, GROUP, GSHADOW] {
            fs.remove_temporary(file).map_err(|e| e.source)?;
        }
        let (queue, requests) = channel();
        let files = Arc::new(Files::new(fs));
        let worker = Arc::clone(&files);
        let rewrites = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rewrites);
        let thread = std::thread::Builder::new().name("userdb".into());
        thread.spawn(move || serve(&worker, &requests, &counted))?;
        Ok(Self { files, queue: Mutex::new(queue), rewrites })
    }

    /// How often the files were rewritten since the start.
    pub fn rewrites(&self) -> u64 {
        self.rewrites.load(Ordering::Relaxed)
    }

    /// Makes the user exist as specified. Waits for the rewrite that includes it.
    ///
    /// # Errors
    /// The name or number is somebody else's, or the files can't be written.
    pub fn put(&self, user: &UserSpec) -> Result<(), UserDbError> {
        self.ask(Change::Put(user.clone()))
    }

    /// Makes the user not exist; a user of that name with another number is left alone.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn remove(&self, name: &Username, uid: u32) -> Result<(), UserDbError> {
        self.ask(Change::Remove(name.clone(), uid))
    }

    fn ask(&self, change: Change) -> Result<(), UserDbError> {
        let stopped = || UserDbError::Io("the user database's thread has ended; restart wcp360-agent".into());
        let (answer, result) = channel();
        {
            let queue = self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            queue.send(Request { change, answer }).map_err(|_| stopped())?;
        }
        result.recv().map_err(|_| stopped())?
    }

    /// What there is under `name`, user or group; `None`: neither.
    ///
    /// # Errors
    /// The files can't be read.
    pub fn find(&self, name: &str) -> Result<Option<UserState>, UserDbError> {
        let passwd = self.files.read(PASSWD)?;
        let group = self.files.read(GROUP)?;
        let group = group.get(name).and_then(|fields| fields.get(2)?.parse::<u32>().ok());
        let Some(user) = passwd.get(name) else {
            // A group of that name without a user stands in the way as well.
            return Ok(group.map(|gid| UserState {
                uid: u32::MAX,
                gid,
                home: String::new(),
                shell: String::new(),
                locked: None,
            }));
        };
        let number = |n: usize| user.get(n).and_then(|f| f.parse().ok()).unwrap_or(u32::MAX);
        let text = |n: usize| user.get(n).map_or(String::new(), |f| (*f).to_owned());
        let shadow = self.files.read(SHADOW)?;
        let locked = shadow.get(name).and_then(|fields| {
            match (fields.get(1)?.starts_with('!'), fields.get(7)?.is_empty(), fields.get(7) == Some(&EXPIRED)) {
                (true, _, true) => Some(true),
                (false, true, _) => Some(false),
                _ => None,
            }
        });
        let gid = number(3);
        let locked = locked.filter(|_| group == Some(gid));
        Ok(Some(UserState { uid: number(2), gid, home: text(5), shell: text(6), locked }))
    }

    /// Numbers that users or groups have.
    ///
    /// # Errors
    /// The files can't be read.
    pub fn numbers(&self) -> Result<HashSet<u32>, UserDbError> {
        let mut out = HashSet::new();
        for file in [PASSWD, GROUP] {
            out.extend(self.files.read(file)?.column(2).filter_map(|field| field.parse::<u32>().ok()));
        }
        Ok(out)
    }

    /// Whether a user or group has this number.
    ///
    /// # Errors
    /// The files can't be read.
    pub fn is_number_taken(&self, number: u32) -> Result<bool, UserDbError> {
        Ok(self.files.read(PASSWD)?.has(2, number) || self.files.read(GROUP)?.has(2, number))
    }

    /// The name of the user with this number.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn name_of(&self, uid: u32) -> Result<Option<String>, UserDbError> {
        Ok(self.files.read(PASSWD)?.name_by(2, uid))
    }

    /// The number of a system group such as `www-data`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn group_id(&self, name: &str) -> Result<Option<u32>, UserDbError> {
        Ok(self.files.read(GROUP)?.get(name).and_then(|fields| fields.get(2)?.parse().ok()))
    }

    /// The number of a system user such as `www-data`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn user_id(&self, name: &str) -> Result<Option<u32>, UserDbError> {
        Ok(self.files.read(PASSWD)?.get(name).and_then(|fields| fields.get(2)?.parse().ok()))
    }
}

fn serve(files: &Files, requests: &Receiver<Request>, rewrites: &AtomicU64) {
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter());
        let results = apply(files, &batch);
        rewrites.fetch_add(1, Ordering::Relaxed);
        match results {
            Ok(results) => {
                for (request, result) in batch.into_iter().zip(results) {
                    // Nobody waits any more: the change is made all the same.
                    let _ = request.answer.send(result);
                }
            }
            Err(error) => {
                for request in batch {
                    let _ = request.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Applies a batch: one result for each request, or one error for all.
fn apply(files: &Files, batch: &[Request]) -> Result<Vec<Result<(), UserDbError>>, UserDbError> {
    let started = Instant::now();
    let fs = files.fs();
    let _lock = lock(fs)?;
    let mut passwd = files.read(PASSWD)?;
    let mut shadow = files.read(SHADOW)?;
    let mut group = files.read(GROUP)?;
    // Not every system has one; then we don't make one.
    let mut gshadow = files.read(GSHADOW)?;
    let today = jiff::Timestamp::now().as_second() / 86_400;
    let mut results = Vec::with_capacity(batch.len());
    for request in batch {
        let result = match &request.change {
            Change::Put(user) => check(user, &passwd, &group).map(|()| {
                put_passwd(&mut passwd, user);
                put_group(&mut group, &mut gshadow, user);
                put_shadow(&mut shadow, user, today);
            }),
            Change::Remove(name, uid) => {
                let number = |lines: &Lines| lines.get(name.as_str()).and_then(|f| f.get(2)?.parse::<u32>().ok());
                let foreign = [number(&passwd), number(&group)].into_iter().flatten().any(|found| found != *uid);
                if !foreign {
                    for lines in [&mut passwd, &mut shadow, &mut group, &mut gshadow] {
                        lines.remove(name.as_str());
                    }
                }
                Ok(())
            }
        };
        results.push(result);
    }
    // The order in which a half-done sequence harms nobody: a group without a user, and a user who can't log in because
    // there is no password for it, before one who can.
    let mut changed = Vec::new();
    for (lines, path, mode) in
        [(&group, GROUP, 0o644), (&gshadow, GSHADOW, 0o640), (&passwd, PASSWD, 0o644), (&shadow, SHADOW, 0o640)]
    {
        if lines.changed() {
            let access = fs.meta(path)?.map_or(Access { uid: 0, gid: 0, mode }, |meta| meta.access);
            changed.push((path, lines.bytes(), access));
        }
    }
    crash::point("userdb");
    fs.write_together(&changed)?;
    tracing::debug!(changes = batch.len(), micros = started.elapsed().as_micros() as u64, "user database rewritten");
    Ok(results)
}

fn check(user: &UserSpec, passwd: &Lines, group: &Lines) -> Result<(), UserDbError> {
    for (lines, what) in [(passwd, "user"), (group, "group")] {
        if let Some(fields) = lines.get(user.name.as_str())
            && fields.get(2).and_then(|f| f.parse().ok()) != Some(user.uid)
        {
            return Err(UserDbError::Taken(format!(
                "the Linux {what} \"{}\" exists and is not this account's; choose another name, or remove it",
                user.name
            )));
        }
    }
    Ok(())
}

fn put_passwd(passwd: &mut Lines, user: &UserSpec) {
    let uid = user.uid.to_string();
    let (password, comment) = match passwd.get(user.name.as_str()) {
        // `x`: the password is in shadow. What an administrator wrote as the full name stays.
        Some(fields) => ("x".to_owned(), fields.get(4).map_or("", |f| *f).to_owned()),
        None => ("x".to_owned(), String::new()),
    };
    let home = user.home.as_str();
    passwd.put(user.name.as_str(), &[user.name.as_str(), &password, &uid, &uid, &comment, home, user.shell]);
}

fn put_group(group: &mut Lines, gshadow: &mut Lines, user: &UserSpec) {
    let name = user.name.as_str();
    let gid = user.uid.to_string();
    let members = group.get(name).and_then(|f| f.get(3).map(|m| (*m).to_owned())).unwrap_or_default();
    group.put(name, &[name, "x", &gid, &members]);
    if gshadow.exists() && gshadow.get(name).is_none() {
        gshadow.put(name, &[name, "!", "", ""]);
    }
}

/// `*` is "no password", which leaves other ways in; `!` in front of whatever there is, together with the expiry, closes
/// all of them. Taking the `!` away gives back exactly what was there.
fn put_shadow(shadow: &mut Lines, user: &UserSpec, today: i64) {
    let name = user.name.as_str();
    let mut fields: Vec<String> = match shadow.get(name) {
        Some(fields) => fields.iter().map(|f| (*f).to_owned()).collect(),
        None => [name, "*", &today.to_string(), "0", "99999", "7", "", "", ""].map(str::to_owned).to_vec(),
    };
    fields.resize(9, String::new());
    match (user.locked, fields[1].starts_with('!')) {
        (true, false) => fields[1].insert(0, '!'),
        (false, true) => {
            fields[1].remove(0);
        }
        _ => {}
    }
    fields[7] = if user.locked { EXPIRED.into() } else { String::new() };
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    shadow.put(name, &fields);
}

/// Holds the lock that lckpwdf(3) takes. Closing the file releases it.
#[derive(Debug)]
struct Lock(#[allow(dead_code)] std::fs::File);

fn lock(fs: &Fs) -> Result<Lock, UserDbError> {
    let file = fs.open_lock(LOCK)?;
    let give_up = Instant::now() + LOCK_TIMEOUT;
    loop {
        match rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS | rustix::io::Errno::INTR) => {
                if Instant::now() > give_up {
                    return Err(UserDbError::Locked);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(FsError::new("lock", LOCK, error).into()),
        }
    }
}

#[cfg(test)]
mod tests;
