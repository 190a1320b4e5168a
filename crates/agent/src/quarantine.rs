//! Where things go that are in the way: moved aside, never deleted, with a note beside each that says where it was and why.

use crate::fsx::{Access, Durability, FileType, Fs, FsError};
use std::sync::Arc;
use wcp360_agent_proto::Quarantined;
use wcp360_agent_render::paths::QUARANTINE;

const PRIVATE: Access = Access { uid: 0, gid: 0, mode: 0o600 };
const PRIVATE_DIR: Access = Access { uid: 0, gid: 0, mode: 0o700 };

/// `/etc/wcp360/quarantine`.
#[derive(Debug, Clone)]
pub struct Quarantine {
    fs: Arc<Fs>,
}

impl Quarantine {
    /// The one of this machine.
    pub fn new(fs: Arc<Fs>) -> Self {
        Self { fs }
    }

    /// Moves what is at `path` aside. Returns where it is now.
    ///
    /// # Errors
    /// It can't be moved: a directory on another disk, for one.
    pub fn take(&self, path: &str, why: &str) -> Result<String, FsError> {
        let place = self.place(path, why, "moved from")?;
        match self.fs.rename_new(path, &place) {
            Ok(()) => Ok(place),
            Err(error) if error.source.raw_os_error() == Some(libc::EXDEV) => {
                self.copy(path, &place)?;
                self.fs.remove_file(path)?;
                Ok(place)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps a copy of the file at `path`, or of the files in the directory there. Returns where it is.
    ///
    /// # Errors
    /// It can't be copied.
    pub fn keep_copy(&self, path: &str, why: &str) -> Result<String, FsError> {
        let place = self.place(path, why, "copied from")?;
        if self.fs.meta(path)?.is_none_or(|meta| meta.file_type != FileType::Dir) {
            self.copy(path, &place)?;
            return Ok(place);
        }
        self.fs.ensure_dir(&place, PRIVATE_DIR)?;
        for file in self.fs.list(path)? {
            self.copy(&format!("{path}/{file}"), &format!("{place}/{file}"))?;
        }
        Ok(place)
    }

    /// What is here, by name.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn list(&self) -> Result<Vec<Quarantined>, FsError> {
        let mut out = Vec::new();
        for name in self.fs.list(QUARANTINE)? {
            if name.ends_with(".note") {
                continue;
            }
            let note = self.fs.read(&format!("{QUARANTINE}/{name}.note")).ok().flatten();
            let note = note.map(|(text, _)| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
            out.push(Quarantined { name, note });
        }
        Ok(out)
    }

    /// A free name, with its note.
    fn place(&self, path: &str, why: &str, what: &str) -> Result<String, FsError> {
        self.fs.ensure_dir(QUARANTINE, PRIVATE_DIR)?;
        let now = jiff::Timestamp::now();
        let name: String = path
            .rsplit('/')
            .next()
            .unwrap_or("")
            .chars()
            .take(100)
            .map(|c| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '_' })
            .collect();
        let mut place = format!("{QUARANTINE}/{}-{name}", now.strftime("%Y%m%dT%H%M%SZ"));
        let mut n = 1;
        while self.fs.meta(&place)?.is_some() || self.fs.meta(&format!("{place}.note"))?.is_some() {
            n += 1;
            place = format!("{QUARANTINE}/{}-{n}-{name}", now.strftime("%Y%m%dT%H%M%SZ"));
        }
        let note = format!("{what} {path}\nat {now}\nbecause {why}\n");
        self.fs.write(&format!("{place}.note"), note.as_bytes(), PRIVATE, Durability::Derived)?;
        Ok(place)
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), FsError> {
        match self.fs.meta(from)? {
            Some(meta) if meta.file_type == FileType::File => {
                let content = self.fs.read(from)?.map(|(content, _)| content).unwrap_or_default();
                self.fs.write(to, &content, PRIVATE, Durability::Derived)
            }
            Some(meta) if meta.file_type == FileType::Symlink => {
                let target = self.fs.read_link(from)?.unwrap_or_default();
                self.fs.symlink(to, &target, 0, 0)
            }
            Some(_) => Err(FsError::new("move aside", from, std::io::Error::other("move it elsewhere by hand"))),
            None => Ok(()),
        }
    }
}
