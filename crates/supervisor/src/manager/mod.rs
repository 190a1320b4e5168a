//! The units and what happens to them: the state machine behind the control protocol.
//!
//! Nothing here blocks: every operation starts something and returns; events (a child ended, a pipe closed, a timer ran out)
//! carry it on. Answers to requests that take time are collected in [`Manager::replies`].
//!
//! ```text
//!             start            pre done         executed / READY=1
//! Dead ──► WaitDeps ──► StartPre ──► Start ──► Active ⇄ Reload
//!   ▲                      │           │          │
//!   │                      └─ failed ──┴──────────┴─► StopCommand ─► StopSignal ─► StopKill
//!   └───────── no process is left ◄──────────────────────────────────────┘ │
//!                AutoRestart ◄── Restart= ─────────────────────────────────┘
//! ```

mod adopt;
mod enable;
mod requests;
mod service;
mod shutdown;
mod sockets;
mod spawn;
mod status;
mod stop;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Rlimit;

use crate::credentials::Credentials;
use crate::kill::{CgroupRoot, Tracker};
use crate::loader::Loader;
use crate::log::{Level, Log, now_ms};
use crate::name::{UnitKind, UnitName};
use crate::namespace::PrivateTmp;
use crate::poller::{Id, Poller};
use crate::proc::ProcId;
use crate::protocol::{ErrorCode, Failure, Response};
use crate::state::{Record, Stage, Store};
use crate::unit::{Service, UnitFile};

/// Which request an answer belongs to: the connection's number.
pub(crate) type ReplyTo = u32;

/// Where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Dead,
    /// What it requires or wants is starting.
    WaitDeps,
    /// Running this `ExecStartPre=`.
    StartPre(usize),
    /// Running this `ExecStart=`, not yet ready.
    Start(usize),
    /// Running, listening, or reached.
    Active,
    /// A oneshot that ended and remains.
    Exited,
    /// Running this `ExecReload=`.
    Reload(usize),
    /// Running this `ExecStop=`.
    StopCommand(usize),
    /// The kill signal was sent.
    StopSignal,
    /// SIGKILL was sent.
    StopKill,
    /// Waiting for `RestartSec=`.
    AutoRestart,
}

impl Phase {
    fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Exited | Self::Reload(_))
    }

    fn is_stopping(self) -> bool {
        matches!(self, Self::StopCommand(_) | Self::StopSignal | Self::StopKill)
    }

    fn is_settled(self) -> bool {
        matches!(self, Self::Active | Self::Exited | Self::Dead | Self::AutoRestart)
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Start,
    Stop,
    Reload,
}

/// A main process.
struct Main {
    id: ProcId,
    /// Held where its number could be reused before we know of its end.
    pidfd: Option<OwnedFd>,
}

/// A service that is not dead.
struct Running {
    unit: Service,
    file: Rc<UnitFile>,
    credentials: Credentials,
    tracker: Tracker,
    /// Pipes of the reapers, when there is no cgroup.
    reaper_pipes: Vec<OwnedFd>,
    main: Option<Main>,
    /// A process of `ExecStartPre=`, `ExecReload=` or `ExecStop=`.
    control: Option<ProcId>,
    /// Where the last child reports until it executes its program.
    report: Option<(OwnedFd, Vec<u8>)>,
    notify: Option<OwnedFd>,
    /// Its log, and how long that was when it started.
    log: Option<(PathBuf, u64)>,
    private_tmp: Option<PrivateTmp>,
    /// To be removed when it stops.
    private_tmp_bases: Vec<PathBuf>,
    runtime: Vec<PathBuf>,
    env: std::collections::BTreeMap<String, String>,
    /// When it became active.
    up_since: Option<Instant>,
    begun: Instant,
    deadline: Option<Instant>,
    poll: Duration,
    /// Why it failed.
    result: Option<String>,
    awaiting_pid_file: bool,
    /// What could not be done when it was started.
    notes: Vec<String>,
    /// Socket units that were passed.
    sockets: Vec<String>,
}

/// A socket that listens.
struct SocketUnit {
    fd: OwnedFd,
    file: (u64, u64),
    path: Box<str>,
    /// Whether it is being polled.
    armed: bool,
    /// How many times in a row its service died at once.
    strikes: u8,
    /// Its service, if that has another stem.
    service: Option<Box<UnitName>>,
}

/// A unit that is not plainly inactive. Small: there may be ten thousand.
struct Unit {
    name: UnitName,
    phase: Phase,
    since: u64,
    /// Orders units by when they were started.
    seq: u64,
    waiters: Vec<(ReplyTo, Want)>,
    failure: Option<Box<Failure>>,
    service: Option<Box<Running>>,
    socket: Option<Box<SocketUnit>>,
    timer: u32,
    /// How many units it waits for.
    waiting: u32,
    restarts: u32,
    /// Quick failures in a row.
    quick: u8,
    /// Start it again when it has stopped.
    again: bool,
    /// It is being stopped on purpose.
    wanted_down: bool,
}

/// Settings of a manager.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) state_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    /// The limit of open files that units inherit.
    pub(crate) open_files: Rlimit,
}

/// All units.
pub(crate) struct Manager {
    pub(crate) poller: Poller,
    pub(crate) log: Log,
    /// Answers that are ready.
    pub(crate) replies: Vec<(ReplyTo, Response)>,
    settings: Settings,
    loader: Loader,
    store: Store,
    cgroups: Option<CgroupRoot>,
    units: HashMap<Id, Unit>,
    names: HashMap<Arc<str>, Id>,
    next_id: Id,
    next_seq: u64,
    /// (who waits, for whom, whether it can't do without).
    blocked: Vec<(Id, Id, bool)>,
    /// Sockets whose service has another stem, by service.
    other_sockets: HashMap<Arc<str>, Vec<Id>>,
    children: HashMap<i32, Id>,
    /// Children that remove directories.
    helpers: HashSet<i32>,
    timers: BinaryHeap<Reverse<(Instant, Id, u32)>>,
    shutdown: Option<shutdown::Shutdown>,
    null: File,
    blank: PathBuf,
}

/// How often the end of a shutdown is looked for, besides events.
const POLL_AT_END: Duration = Duration::from_millis(500);

impl Manager {
    pub(crate) fn new(
        settings: Settings,
        loader: Loader,
        store: Store,
        cgroups: Option<CgroupRoot>,
        poller: Poller,
        log: Log,
    ) -> std::io::Result<Self> {
        let blank = settings.state_dir.join("blank");
        if !blank.exists() {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(&blank, "")?;
            std::fs::set_permissions(&blank, std::fs::Permissions::from_mode(0o000))?;
        }
        Ok(Self {
            poller,
            log,
            replies: Vec::new(),
            settings,
            loader,
            store,
            cgroups,
            units: HashMap::new(),
            names: HashMap::new(),
            next_id: 1,
            next_seq: 1,
            blocked: Vec::new(),
            other_sockets: HashMap::new(),
            children: HashMap::new(),
            helpers: HashSet::new(),
            timers: BinaryHeap::new(),
            shutdown: None,
            null: File::options().read(true).write(true).open("/dev/null")?,
            blank,
        })
    }

    /// The number of a unit, making an inactive entry if it has none.
    fn intern(&mut self, name: &UnitName) -> Id {
        if let Some(id) = self.names.get(name.as_str()) {
            return *id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.names.insert(name.shared(), id);
        self.units.insert(
            id,
            Unit {
                name: name.clone(),
                phase: Phase::Dead,
                since: 0,
                seq: 0,
                waiters: Vec::new(),
                failure: None,
                service: None,
                socket: None,
                timer: 0,
                waiting: 0,
                restarts: 0,
                quick: 0,
                again: false,
                wanted_down: false,
            },
        );
        id
    }

    fn phase(&self, id: Id) -> Phase {
        self.units.get(&id).map_or(Phase::Dead, |u| u.phase)
    }

    fn phase_of(&self, name: &str) -> Phase {
        self.names.get(name).map_or(Phase::Dead, |id| self.phase(*id))
    }

    fn set_phase(&mut self, id: Id, phase: Phase) {
        if let Some(u) = self.units.get_mut(&id) {
            u.phase = phase;
            u.since = now_ms();
        }
    }

    fn say(&mut self, level: Level, id: Id, message: &str) {
        let name = self.units.get(&id).map(|u| u.name.clone());
        self.log.write(level, name.as_ref().map(UnitName::as_str), message);
    }

    /// Sets the unit's one timer.
    fn set_timer(&mut self, id: Id, at: Instant) {
        if let Some(u) = self.units.get_mut(&id) {
            u.timer = u.timer.wrapping_add(1);
            self.timers.push(Reverse((at, id, u.timer)));
        }
    }

    fn clear_timer(&mut self, id: Id) {
        if let Some(u) = self.units.get_mut(&id) {
            u.timer = u.timer.wrapping_add(1);
        }
    }

    /// How long until the next timer runs out.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let next = self.timers.peek().map(|Reverse((at, _, _))| at.saturating_duration_since(Instant::now()));
        // At the end, children that remove directories are waited for, but not for ever.
        if self.shutdown.is_some() { Some(next.map_or(POLL_AT_END, |n| n.min(POLL_AT_END))) } else { next }
    }

    /// Handles the timers that ran out.
    pub(crate) fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, id, n))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            if self.units.get(&id).is_some_and(|u| u.timer == n) {
                self.on_timer(id);
            }
        }
    }

    fn on_timer(&mut self, id: Id) {
        match self.units.get(&id) {
            Some(u) if u.socket.is_some() => self.arm(id),
            Some(_) => self.on_service_timer(id),
            None => {}
        }
    }

    /// Answers those who waited for what has happened, lets go on who waited for this unit, and forgets it if nothing is left.
    fn settle(&mut self, id: Id) {
        let Some(u) = self.units.get_mut(&id) else { return };
        let phase = u.phase;
        let failure = u.failure.as_deref().cloned();
        let name = u.name.clone();
        let mut done = Vec::new();
        u.waiters.retain(|(to, want)| {
            let result = match (want, phase) {
                (Want::Start | Want::Reload, Phase::Active | Phase::Exited) => Some(Ok(())),
                (Want::Stop, Phase::Dead) => Some(Ok(())),
                (Want::Start, Phase::Dead | Phase::AutoRestart) => Some(failure.clone().map_or(Ok(()), Err)),
                (Want::Reload, Phase::Dead | Phase::AutoRestart) => Some(Err(failure.clone().unwrap_or(Failure {
                    code: ErrorCode::Cancelled,
                    message: format!("{name} stopped during the reload"),
                    log: Vec::new(),
                }))),
                _ => None,
            };
            match result {
                Some(r) => {
                    done.push((*to, r));
                    false
                }
                None => true,
            }
        });
        for (to, result) in done {
            let response = match result {
                Ok(()) => Response::status(self.status_by_name(&name)),
                Err(f) => Response::failure(f),
            };
            self.replies.push((to, response));
        }
        if phase.is_settled() {
            self.unblock(id);
        }
        if phase == Phase::Dead {
            self.shutdown_step(id);
            self.forget(id);
        }
    }

    /// Lets those go on who waited for a unit to start.
    fn unblock(&mut self, dep: Id) {
        let up = self.phase(dep).is_up();
        // A oneshot that ended well is as good as up.
        let failed = !up && self.units.get(&dep).is_some_and(|u| u.failure.is_some());
        let (now, later): (Vec<_>, Vec<_>) = self.blocked.drain(..).partition(|(_, d, _)| *d == dep);
        self.blocked = later;
        for (id, _, required) in now {
            let Some(u) = self.units.get_mut(&id) else { continue };
            u.waiting = u.waiting.saturating_sub(1);
            let ready = u.waiting == 0;
            if u.phase != Phase::WaitDeps {
                continue;
            }
            if failed && required {
                let what = self.units.get(&dep).map(|u| u.name.to_string()).unwrap_or_default();
                self.fail_plainly(id, &format!("{what}, which it requires, failed"));
            } else if ready {
                self.begin(id);
            }
        }
    }

    /// Drops the entry of a unit that is inactive and has nothing to tell.
    fn forget(&mut self, id: Id) {
        let Some(u) = self.units.get(&id) else { return };
        let idle = u.phase == Phase::Dead
            && u.failure.is_none()
            && u.waiters.is_empty()
            && u.service.is_none()
            && u.socket.is_none()
            && !u.again;
        if idle && let Some(u) = self.units.remove(&id) {
            self.names.remove(u.name.as_str());
        }
    }

    /// Marks a unit failed that has no processes.
    fn fail_plainly(&mut self, id: Id, reason: &str) {
        self.say(Level::Error, id, reason);
        let Some(u) = self.units.get_mut(&id) else { return };
        let message = format!("{}: {reason}", u.name);
        u.failure = Some(Box::new(Failure { code: ErrorCode::Failed, message, log: Vec::new() }));
        u.phase = Phase::Dead;
        u.since = now_ms();
        u.wanted_down = false;
        let name = u.name.clone();
        // It waits for nobody any more: who is still starting must not count when it is started again.
        self.blocked.retain(|(i, _, _)| *i != id);
        self.clear_timer(id);
        self.unrecord(id);
        if name.kind() == UnitKind::Service {
            self.rearm_sockets_of(&name, true);
        }
        self.settle(id);
    }

    /// Writes down what a unit is doing, for a supervisor after this one.
    fn record(&mut self, id: Id) {
        let Some(u) = self.units.get(&id) else { return };
        let r = u.service.as_deref();
        let stage = match u.phase {
            Phase::Dead | Phase::WaitDeps => return,
            Phase::StartPre(_) | Phase::Start(_) => Stage::Starting,
            Phase::Active if u.socket.is_some() => Stage::Listening,
            Phase::Active if r.is_none() => Stage::Reached,
            Phase::Exited => Stage::Reached,
            Phase::Active | Phase::Reload(_) => Stage::Active,
            Phase::StopCommand(_) | Phase::StopSignal | Phase::StopKill => Stage::Stopping,
            Phase::AutoRestart => Stage::Waiting,
        };
        let record = Record {
            unit: u.name.to_string(),
            stage,
            main: r.and_then(|r| r.main.as_ref()).map(|m| m.id),
            tracker: r.map(|r| r.tracker.clone()),
            private_tmp: r.map(|r| r.private_tmp_bases.clone()).unwrap_or_default(),
            runtime: r.map(|r| r.runtime.clone()).unwrap_or_default(),
            sockets: r.map(|r| r.sockets.clone()).unwrap_or_default(),
            since: u.since,
        };
        if let Err(e) = self.store.put(&record) {
            self.say(Level::Error, id, &format!("the state file can't be written, it will not survive a crash: {e}"));
        }
    }

    fn unrecord(&mut self, id: Id) {
        let Some(u) = self.units.get(&id) else { return };
        if let Err(e) = self.store.remove(u.name.as_str()) {
            self.say(Level::Error, id, &format!("the state file can't be written: {e}"));
        }
    }
}
