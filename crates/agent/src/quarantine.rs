//! Where things go that are in the way: moved aside, never deleted, with a note beside each that says where it was and why.

use crate::fsx::{Access, Durability, FileType, Fs, FsError};
use std::sync::{Arc, Mutex};
use wcp360_agent_proto::Quarantined;
use wcp360_agent_render::paths::QUARANTINE;

/// Names of copies that are not complete yet begin so.
const UNFINISHED: &str = ".new-";
const PRIVATE: Access = Access { uid: 0, gid: 0, mode: 0o600 };
const PRIVATE_DIR: Access = Access { uid: 0, gid: 0, mode: 0o700 };

/// No tree with more entries is copied: configuration is smaller.
const MOST: usize = 2000;

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
        if self.fs.meta(path)?.is_none() {
            return Err(FsError::new("move aside", path, rustix::io::Errno::NOENT));
        }
        let place = self.place(path, why, "moved from")?;
        let moved = match self.fs.rename_new(path, &place) {
            // Another disk, or another mount of the same one.
            Err(error) if error.source.raw_os_error() == Some(libc::EXDEV) => {
                self.copy_whole(path, &place).and_then(|()| self.fs.remove_tree(path))
            }
            other => other,
        };
        if moved.is_err() {
            self.fs.remove_file(&format!("{place}.note"))?;
        }
        moved.map(|()| place)
    }

    /// Copies what is at `path`, so that the copy appears when it is complete.
    fn copy_whole(&self, path: &str, place: &str) -> Result<(), FsError> {
        let name = place.rsplit('/').next().unwrap_or("");
        let new = format!("{QUARANTINE}/{UNFINISHED}{name}");
        let copied = self.copy_all(path, &new, &mut 0).and_then(|()| self.fs.rename_new(&new, place));
        copied.inspect_err(|_| {
            if let Err(error) = self.fs.remove_tree(&new) {
                tracing::warn!(%error, "half a copy stays");
            }
        })
    }

    /// Takes away what was left by somebody who was killed here: half copies, and notes without what they are about. At start,
    /// when nobody else writes.
    ///
    /// # Errors
    /// The disk.
    pub fn tidy(&self) -> Result<(), FsError> {
        let names = self.fs.list(QUARANTINE)?;
        for name in &names {
            let about = name.strip_suffix(".note");
            if name.starts_with('.') || about.is_some_and(|about| !names.iter().any(|name| name == about)) {
                self.fs.remove_tree(&format!("{QUARANTINE}/{name}"))?;
            }
        }
        Ok(())
    }

    /// Copies what is at `path`, with everything in it.
    fn copy_all(&self, path: &str, place: &str, copied: &mut usize) -> Result<(), FsError> {
        *copied += 1;
        if *copied > MOST {
            return Err(FsError::new("move aside", path, std::io::Error::other("it is too large; move it by hand")));
        }
        if self.fs.meta(path)?.is_none_or(|meta| meta.file_type != FileType::Dir) {
            return self.copy(path, place);
        }
        self.fs.ensure_dir(place, PRIVATE_DIR)?;
        for file in self.fs.list(path)? {
            self.copy_all(&format!("{path}/{file}"), &format!("{place}/{file}"), copied)?;
        }
        Ok(())
    }

    /// Keeps a copy of the file at `path`, or of the files in the directory there. Returns where it is.
    ///
    /// # Errors
    /// It can't be copied.
    pub fn keep_copy(&self, path: &str, why: &str) -> Result<String, FsError> {
        let place = self.place(path, why, "copied from")?;
        self.copy_whole(path, &place)?;
        Ok(place)
    }

    /// What is here, by name.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn list(&self) -> Result<Vec<Quarantined>, FsError> {
        let mut out = Vec::new();
        for name in self.fs.list(QUARANTINE)? {
            if name.ends_with(".note") || name.starts_with('.') {
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
        // The note takes the name; until it is there, nobody else may look for one.
        static LOOKING: Mutex<()> = Mutex::new(());
        let _alone = crate::engine::guard(&LOOKING);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn eng_07_what_is_moved_aside_is_whole_also_from_another_disk() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        // The accounts' tree in memory, the rest on disk.
        let (dir, other) = (tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        std::fs::create_dir_all(dir.path().join("srv")).unwrap();
        std::fs::create_dir_all(dir.path().join("etc/wcp360")).unwrap();
        std::os::unix::fs::symlink(other.path(), dir.path().join("srv/www")).unwrap();
        let fs = Arc::new(Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap());
        let quarantine = Quarantine::new(fs);
        std::fs::create_dir_all(other.path().join("x/deep")).unwrap();
        std::fs::write(other.path().join("x/deep/file"), "mine").unwrap();
        std::os::unix::fs::symlink("/etc/shadow", other.path().join("x/link")).unwrap();
        let place = quarantine.take("/srv/www/x", "a test").unwrap();
        let place = dir.path().join(place.trim_start_matches('/'));
        assert_eq!(std::fs::read_to_string(place.join("deep/file")).unwrap(), "mine");
        assert!(place.join("link").is_symlink() && !other.path().join("x").exists());
        // Twice in a second: two places.
        std::fs::write(other.path().join("x"), "again").unwrap();
        quarantine.take("/srv/www/x", "a test").unwrap();
        assert_eq!(quarantine.list().unwrap().len(), 2);
        assert!(quarantine.list().unwrap().iter().all(|kept| kept.note.contains("moved from /srv/www/x")));
        // What can't be moved leaves nothing behind.
        for n in 0..=MOST {
            std::fs::create_dir_all(other.path().join(format!("many/{n}"))).unwrap();
        }
        assert!(quarantine.take("/srv/www/many", "a test").is_err());
        assert_eq!(quarantine.list().unwrap().len(), 2);
        assert!(other.path().join("many/0").exists());
        assert!(quarantine.take("/srv/www/nothing", "a test").is_err());
        assert_eq!(quarantine.list().unwrap().len(), 2);
    }
}
