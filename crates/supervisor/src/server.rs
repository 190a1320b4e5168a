//! The control socket: connections, lines, and answers that may come later.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::log::Level;
use crate::manager::{Manager, ReplyTo};
use crate::poller::{Id, Source};
use crate::protocol::{ErrorCode, MAX_REQUEST, Request, Response};

/// How many connections may be open.
const MAX_CONNECTIONS: usize = 256;

struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// A request is under way; the next line waits.
    busy: bool,
    /// The other side sends no more.
    ended: bool,
    /// What epoll watches: (reading, writing). Neither: it is not in epoll, which would report a hang-up for ever.
    watched: (bool, bool),
}

/// The control socket and its connections.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    connections: HashMap<Id, Connection>,
    next_id: Id,
}

impl Server {
    /// Listens at a path, for root alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|d| !d.is_dir()) {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(umask);
        let listener = listener?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), connections: HashMap::new(), next_id: 1 })
    }

    pub(crate) fn register(&self, m: &Manager) -> io::Result<()> {
        m.poller.add(&self.listener, Source::Control)
    }

    pub(crate) fn remove_file(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Takes new connections.
    pub(crate) fn accept(&mut self, m: &mut Manager) {
        while let Ok((stream, _)) = self.listener.accept() {
            let uid = rustix::net::sockopt::socket_peercred(&stream).map(|c| c.uid.as_raw());
            if uid != Ok(0) {
                m.log.write(Level::Warn, None, &format!("refused a control connection of user {uid:?}: only root may"));
                continue;
            }
            if self.connections.len() >= MAX_CONNECTIONS {
                m.log.write(Level::Warn, None, "refused a control connection: too many are open");
                continue;
            }
            let id = self.next_id;
            self.next_id = self.next_id.wrapping_add(1);
            if stream.set_nonblocking(true).is_err() || m.poller.add(&stream, Source::Connection(id)).is_err() {
                continue;
            }
            let c = Connection {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                busy: false,
                ended: false,
                watched: (true, false),
            };
            self.connections.insert(id, c);
        }
    }

    /// A connection can be read or written.
    pub(crate) fn ready(&mut self, id: Id, m: &mut Manager) {
        let Some(c) = self.connections.get_mut(&id) else { return };
        let mut buf = [0u8; 4096];
        let mut broken = false;
        // While a request is under way, a bounded amount is taken in.
        while !c.ended && c.input.len() <= MAX_REQUEST {
            match c.stream.read(&mut buf) {
                Ok(0) => c.ended = true,
                Ok(n) => c.input.extend_from_slice(&buf[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        if broken {
            return self.drop_connection(id, m);
        }
        self.next_line(id, m);
        self.flush(id, m);
    }

    fn next_line(&mut self, id: Id, m: &mut Manager) {
        let Some(c) = self.connections.get_mut(&id) else { return };
        if c.busy {
            return;
        }
        // Empty lines are nothing to answer.
        let blank = c.input.iter().take_while(|b| b.is_ascii_whitespace()).count();
        c.input.drain(..blank);
        let Some(end) = c.input.iter().position(|b| *b == b'\n') else {
            if c.input.len() > MAX_REQUEST {
                c.input.clear();
                c.ended = true;
                self.answer(id, &Response::failed(ErrorCode::BadRequest, "the request is longer than 16 kB"));
            }
            return;
        };
        let line: Vec<u8> = c.input.drain(..=end).collect();
        c.busy = true;
        match serde_json::from_slice::<Request>(&line) {
            Ok(request) => m.request(id, request),
            Err(e) => {
                let why = format!("not a request: {e}. Expected one JSON object per line, such as {{\"op\":\"ping\"}}");
                m.replies.push((id, Response::failed(ErrorCode::BadRequest, why)));
            }
        }
    }

    fn answer(&mut self, id: ReplyTo, response: &Response) {
        if let Some(c) = self.connections.get_mut(&id) {
            if let Ok(mut text) = serde_json::to_vec(response) {
                text.push(b'\n');
                c.output.extend_from_slice(&text);
            }
            c.busy = false;
        }
    }

    /// Sends the answers that are ready, and takes the next requests of those connections.
    pub(crate) fn deliver(&mut self, m: &mut Manager) {
        while !m.replies.is_empty() {
            for (id, response) in std::mem::take(&mut m.replies) {
                self.answer(id, &response);
                self.next_line(id, m);
                self.flush(id, m);
            }
        }
    }

    fn flush(&mut self, id: Id, m: &mut Manager) {
        let Some(c) = self.connections.get_mut(&id) else { return };
        let mut broken = false;
        while !c.output.is_empty() {
            match c.stream.write(&c.output) {
                Ok(n) => drop(c.output.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        if broken || (c.ended && c.output.is_empty() && !c.busy) {
            return self.drop_connection(id, m);
        }
        let writing = !c.output.is_empty();
        // A full input buffer or the end of input would wake us for nothing.
        let reading = !c.ended && c.input.len() <= MAX_REQUEST;
        let wanted = (reading, writing);
        if wanted != c.watched {
            match (c.watched, wanted) {
                (_, (false, false)) => m.poller.remove(&c.stream),
                ((false, false), _) => {
                    let _ = m.poller.add(&c.stream, Source::Connection(id));
                    let _ = m.poller.modify(&c.stream, Source::Connection(id), writing, reading);
                }
                _ => drop(m.poller.modify(&c.stream, Source::Connection(id), writing, reading)),
            }
            c.watched = wanted;
        }
    }

    fn drop_connection(&mut self, id: Id, m: &mut Manager) {
        if let Some(c) = self.connections.remove(&id) {
            m.poller.remove(&c.stream);
            if c.busy {
                m.cancel_waiter(id);
            }
        }
    }

    /// Tries to send what was not sent yet.
    pub(crate) fn flush_all(&mut self, m: &mut Manager) {
        let ids: Vec<Id> = self.connections.keys().copied().collect();
        for id in ids {
            self.flush(id, m);
        }
    }

    /// Whether everything was sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.connections.values().all(|c| c.output.is_empty())
    }
}
