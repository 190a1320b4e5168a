//! One epoll(7) instance for everything the supervisor waits for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// The number of a unit or connection.
pub(crate) type Id = u32;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A signal came.
    Signals,
    /// Somebody connects to the control socket.
    Control,
    /// A control connection can be read or written.
    Connection(Id),
    /// Somebody connects to a socket unit.
    Listen(Id),
    /// The child of a unit reports (see [`crate::exec`]).
    Report(Id),
    /// A reaper of a unit reports.
    Reaper(Id),
    /// A unit sent a notification.
    Notify(Id),
    /// The main process of a unit, which is not our child, ended.
    Main(Id),
}

impl Source {
    fn encode(self) -> u64 {
        let (kind, id) = match self {
            Self::Signals => (0, 0),
            Self::Control => (1, 0),
            Self::Connection(i) => (2, i),
            Self::Listen(i) => (3, i),
            Self::Report(i) => (4, i),
            Self::Reaper(i) => (5, i),
            Self::Notify(i) => (6, i),
            Self::Main(i) => (7, i),
        };
        (kind << 32) | u64::from(id)
    }

    fn decode(n: u64) -> Option<Self> {
        let id = (n & 0xffff_ffff) as Id;
        Some(match n >> 32 {
            0 => Self::Signals,
            1 => Self::Control,
            2 => Self::Connection(id),
            3 => Self::Listen(id),
            4 => Self::Report(id),
            5 => Self::Reaper(id),
            6 => Self::Notify(id),
            7 => Self::Main(id),
            _ => return None,
        })
    }
}

/// The epoll instance. A descriptor leaves it when it is closed, if it was not duplicated.
pub(crate) struct Poller {
    fd: OwnedFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Waits for input on a descriptor.
    pub(crate) fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.encode());
        Ok(epoll::add(&self.fd, fd, data, epoll::EventFlags::IN)?)
    }

    /// Waits for input, and for room to write if asked.
    pub(crate) fn modify(&self, fd: impl AsFd, source: Source, write: bool, read: bool) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.encode());
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, read);
        flags.set(epoll::EventFlags::OUT, write);
        Ok(epoll::modify(&self.fd, fd, data, flags)?)
    }

    /// Waits no more.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.fd, fd);
    }

    /// Waits until something happens or the time is over.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX).min(86_400),
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        let mut buf = [MaybeUninit::<epoll::Event>::uninit(); 256];
        match epoll::wait(&self.fd, &mut buf, timeout.as_ref()) {
            Ok((events, _)) => Ok(events.iter().filter_map(|e| Source::decode(e.data.u64())).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_round_trip() {
        for s in [Source::Signals, Source::Control, Source::Connection(7), Source::Listen(u32::MAX), Source::Main(0)] {
            assert_eq!(Source::decode(s.encode()), Some(s));
        }
        assert_eq!(Source::decode(u64::MAX), None);
    }
}
