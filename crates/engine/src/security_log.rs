//! `security.log`: a line per event that firewalls and people watch for (SEC-04), e.g. fail2ban.
//!
//! `<time> wcp360 <event> source=<address> reason=<word> user="<name>" request=<id>`. What a stranger can choose comes after
//! the address and holds no quote, so that no line can name somebody else's address.

use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A login failed.
    LoginFailed,
    /// Somebody has to wait after failed logins.
    LockedOut,
    /// Setup was tried without the right proof.
    SetupFailed,
    /// A token that is none, or is used from where it must not be.
    TokenFailed,
    /// A person logged in from a new address or with a new browser.
    NewPlace,
}

impl Event {
    fn as_str(self) -> &'static str {
        match self {
            Event::LoginFailed => "login-failed",
            Event::LockedOut => "locked-out",
            Event::SetupFailed => "setup-failed",
            Event::TokenFailed => "token-failed",
            Event::NewPlace => "new-place",
        }
    }
}

/// Appends lines.
#[derive(Debug)]
pub(crate) struct SecurityLog {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl SecurityLog {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Mutex::default() }
    }

    /// Appends one line. A log that can't be written is reported and stops nothing.
    pub(crate) fn note(&self, event: Event, source: &str, reason: &'static str, user: &str, request: &str) {
        let line = line(Timestamp::now(), event, source, reason, user, request);
        let mut file = self.file.lock().expect("no panic while writing");
        if let Err(error) = append(&mut file, &self.path, line.as_bytes()) {
            tracing::error!(%error, path = %self.path.display(), "the security log can't be written");
        }
    }
}

/// Appending, so that logrotate's copytruncate works; opened anew where somebody moved the file away.
fn append(file: &mut Option<File>, path: &Path, line: &[u8]) -> std::io::Result<()> {
    let open = || OpenOptions::new().create(true).append(true).open(path);
    if file.is_none() || !path.exists() {
        *file = Some(open()?);
    }
    match file {
        Some(file) => file.write_all(line),
        None => Ok(()),
    }
}

fn line(at: Timestamp, event: Event, source: &str, reason: &str, user: &str, request: &str) -> String {
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    let user: String = user.chars().take(64).map(plain).collect();
    let event = event.as_str();
    format!("{at} wcp360 {event} source={source} reason={reason} user=\"{user}\" request={request}\n")
}

/// What names may hold; anything else becomes a question mark.
fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() || "._-@+".contains(c) { c } else { '?' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_04_a_line_tells_one_address_and_no_other() {
        let at: Timestamp = "2026-11-21T12:00:00.123Z".parse().unwrap();
        let name = "x\" source=192.0.2.1\n2026-11-21T12:00:00Z wcp360 login-failed source=192.0.2.1";
        let line = line(at, Event::LoginFailed, "203.0.113.9", "password", name, "r");
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(line.matches("source=").count(), 1, "{line}");
        assert!(
            line.starts_with("2026-11-21T12:00:00Z wcp360 login-failed source=203.0.113.9 reason=password user=\"x??")
        );
        assert!(line.ends_with("request=r\n"));
    }

    #[test]
    fn sec_04_lines_go_on_after_the_file_was_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("security.log");
        let log = SecurityLog::new(&path);
        log.note(Event::LoginFailed, "203.0.113.9", "password", "alice", "1");
        std::fs::rename(&path, dir.path().join("security.log.1")).unwrap();
        log.note(Event::LockedOut, "203.0.113.9", "failures", "alice", "2");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("locked-out") && !text.contains("login-failed"), "{text}");
    }
}
