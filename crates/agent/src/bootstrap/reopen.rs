//! The way back to first setup, for root alone: when the panel's database is gone for good (PLT-04).
//!
//! The seal is looked at with each request, so it can be taken away while the agent runs. Nothing else is opened by it: with a
//! database that knows an administrator, core refuses setup by itself and closes the agent again at its next start.

use super::{Bootstrap, flag};
use crate::fsx::FsError;
use crate::layout::Layout;
use jiff::Timestamp;
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};

/// What firewalls and people watch; core writes it too.
const SECURITY_LOG: &str = "/var/log/wcp360/security.log";

/// What is to be done next.
pub const NEXT: &str = "\
First setup is open again. What to do next:
  1. With an empty database, start wcp360-core.service if it does not run. A new one-time token is then in
     /var/lib/wcp360/setup.token (if core has run since the database was lost, it is there already).
  2. wcp360 setup --username admin --save-token /etc/wcp360/api.key
  3. Make the resellers again, by their old names, and import packages that were exported.
  4. wcp360 index rebuild
If the database was not lost, restart wcp360-core.service: it closes setup again.
";

/// Why setup could not be opened again.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// Somebody else than root.
    #[error("only root may open first setup again; run it as root, on the machine itself")]
    NotRoot,
    /// It can't be noted, and what is not noted is not done.
    #[error("{SECURITY_LOG}: {0}; setup stays closed until this can be written there")]
    Log(std::io::Error),
    /// The disk.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Bootstrap {
    /// Opens first setup again, after noting so in the security log. Whether it was closed.
    ///
    /// # Errors
    /// The caller is not root, or something can't be written; then it stays closed.
    pub fn reopen(&self, caller: u32) -> Result<bool, ReopenError> {
        if caller != 0 {
            return Err(ReopenError::NotRoot);
        }
        if !self.is_initialized()? {
            return Ok(false);
        }
        note(self.fs.layout()).map_err(ReopenError::Log)?;
        self.fs.remove_file(&flag())?;
        self.fs.sync_parent(&flag())?;
        Ok(true)
    }
}

/// A line in the security log. The folder is also the panel's, so nothing in it is followed or waited for.
fn note(layout: &Layout) -> std::io::Result<()> {
    let path = layout.real(SECURITY_LOG);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let open = || OpenOptions::new().append(true).custom_flags(flags).open(&path);
    let mut file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).custom_flags(flags).open(&path)?;
            // Core goes on writing it: as a member of the folder's group.
            let group = path.parent().map(std::fs::metadata).transpose()?.map(|folder| folder.gid());
            fchown(&file, None, group)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o660))?;
            file
        }
        other => other?,
    };
    if !file.metadata()?.is_file() {
        return Err(Error::other("it is not a file; move away what is there"));
    }
    let at = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    file.write_all(
        format!("{at} wcp360 setup-reopened source=local reason=root user=\"root\" request=-\n").as_bytes(),
    )?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx::Fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    #[test]
    fn plt_04_only_root_opens_setup_again_and_it_is_noted_first() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib/wcp360/agent")).unwrap();
        let layout = Layout::below(dir.path());
        let fs = Arc::new(Fs::open(&layout, "/srv/www").unwrap());
        let bootstrap = Bootstrap::new(fs);
        let log = dir.path().join("var/log/wcp360/security.log");
        // Open already: nothing to do, nothing to note.
        assert!(!bootstrap.reopen(0).unwrap() && !log.exists());
        if !rustix::process::geteuid().is_root() {
            return;
        }
        bootstrap.seal().unwrap();
        assert!(matches!(bootstrap.reopen(999), Err(ReopenError::NotRoot)));
        assert!(bootstrap.is_initialized().unwrap() && !log.exists());
        // What can't be noted is not done: the panel's user may put links there.
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        symlink(&elsewhere, &log).unwrap();
        let error = bootstrap.reopen(0).unwrap_err().to_string();
        assert!(error.contains("security.log") && error.contains("stays closed"), "{error}");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "");
        assert!(bootstrap.is_initialized().unwrap());
        std::fs::remove_file(&log).unwrap();
        for times in 1..3 {
            assert!(bootstrap.reopen(0).unwrap());
            assert!(!bootstrap.is_initialized().unwrap());
            let text = std::fs::read_to_string(&log).unwrap();
            assert_eq!(text.matches(" wcp360 setup-reopened source=local ").count(), times, "{text}");
            bootstrap.seal().unwrap();
        }
        assert_eq!(std::fs::metadata(&log).unwrap().mode() & 0o777, 0o660);
    }
}
