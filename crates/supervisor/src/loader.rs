//! Finds unit files and their drop-ins, and keeps what was parsed: once per template, as long as no file changed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::name::{UnitKind, UnitName};
use crate::parse::parse;
use crate::unit::{DirectiveError, UnitFile};

/// Why a unit could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no file for it.
    #[error("{unit} was not found in {dir}: install its unit file, or check the spelling")]
    NotFound {
        /// The unit.
        unit: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The file is a link to `/dev/null`, or empty.
    #[error("{unit} is masked: {path} is empty or a link to /dev/null; remove it (systemctl unmask)")]
    Masked {
        /// The unit.
        unit: String,
        /// The file.
        path: PathBuf,
    },
    /// A file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds a directive that can't be obeyed.
    #[error("{path}, {source}")]
    Directive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DirectiveError,
    },
    /// The file has not the section that its name promises.
    #[error("{path} has no [{section}] section")]
    Section {
        /// The file.
        path: PathBuf,
        /// The missing section.
        section: &'static str,
    },
}

/// What identifies a version of a file; `None` when it does not exist.
type Stamp = Option<(i64, i64, u64, u64)>;

struct Cached {
    stamps: Vec<(PathBuf, Stamp)>,
    file: Rc<UnitFile>,
}

/// The unit files of one directory.
pub struct Loader {
    dir: PathBuf,
    cache: HashMap<String, Cached>,
    parsed: u64,
}

fn stamp(path: &Path) -> Stamp {
    fs::metadata(path).ok().map(|m| (m.mtime(), m.mtime_nsec(), m.ino(), m.size()))
}

impl Loader {
    /// Reads units from `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, cache: HashMap::new(), parsed: 0 }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many times files were parsed: to see that the cache works.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.parsed
    }

    /// Forgets everything (`daemon-reload`).
    pub fn clear(&mut self) {
        self.cache.clear();
    }

    /// The file that defines a unit: its own, or its template's.
    #[must_use]
    pub fn fragment(&self, name: &UnitName) -> Option<PathBuf> {
        let own = self.dir.join(name.as_str());
        if fs::symlink_metadata(&own).is_ok() {
            return Some(own);
        }
        let template = self.dir.join(name.template()?);
        fs::symlink_metadata(&template).is_ok().then_some(template)
    }

    /// Loads a unit: its file, the drop-ins of its template, its own drop-ins (`<unit>.d/*.conf`, by file name; the unit's own
    /// win over the template's of the same name).
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&mut self, name: &UnitName) -> Result<Rc<UnitFile>, LoadError> {
        let own_dir = self.dir.join(format!("{name}.d"));
        let own = self.dir.join(name.as_str());
        // An instance with nothing of its own shares what was parsed for its template.
        let template = match name.template() {
            Some(t) if fs::symlink_metadata(&own).is_err() && fs::symlink_metadata(&own_dir).is_err() => Some(t),
            _ => None,
        };
        let key = template.clone().unwrap_or_else(|| name.as_str().to_owned());
        if let Some(c) = self.cache.get(&key)
            && c.stamps.iter().all(|(p, s)| stamp(p) == *s)
        {
            return Ok(Rc::clone(&c.file));
        }
        let fragment = self
            .fragment(name)
            .ok_or_else(|| LoadError::NotFound { unit: name.as_str().to_owned(), dir: self.dir.clone() })?;
        let mut stamps = vec![(fragment.clone(), stamp(&fragment))];
        let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
        let template_dir = name.template().map(|t| self.dir.join(format!("{t}.d")));
        for dir in template_dir.into_iter().chain([own_dir]) {
            stamps.push((dir.clone(), stamp(&dir)));
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|e| e == "conf") {
                    drop_ins.insert(entry.file_name(), path);
                }
            }
        }
        stamps.extend(drop_ins.values().map(|p| (p.clone(), stamp(p))));

        let mut file = UnitFile::default();
        let text = read(&fragment)?;
        if text.trim().is_empty() {
            return Err(LoadError::Masked { unit: name.as_str().to_owned(), path: fragment });
        }
        apply(&mut file, &fragment, &text)?;
        for path in drop_ins.values() {
            let text = read(path)?;
            apply(&mut file, path, &text)?;
        }
        let section = match name.kind() {
            UnitKind::Service if file.service.is_none() => Some("Service"),
            UnitKind::Socket if file.socket.is_none() => Some("Socket"),
            _ => None,
        };
        if let Some(section) = section {
            return Err(LoadError::Section { path: fragment, section });
        }
        self.parsed += 1;
        let file = Rc::new(file);
        self.cache.insert(key, Cached { stamps, file: Rc::clone(&file) });
        Ok(file)
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    let bytes = fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|_| LoadError::Read {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"),
    })
}

fn apply(file: &mut UnitFile, path: &Path, text: &str) -> Result<(), LoadError> {
    let parsed = parse(text);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let before = file.warnings.len();
    for item in &parsed.items {
        file.apply(item).map_err(|source| LoadError::Directive { path: path.to_owned(), source })?;
    }
    file.warnings.extend(parsed.warnings);
    for w in &mut file.warnings[before..] {
        *w = format!("{name}: {w}");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(s: &str) -> UnitName {
        UnitName::parse(s).unwrap()
    }

    #[test]
    fn parsed_once_per_template() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p@.service"), "[Service]\nExecStart=/bin/true %i\n").unwrap();
        let mut l = Loader::new(dir.path().to_owned());
        let first = l.load(&name("p@a0.service")).unwrap();
        for i in 1..100 {
            let f = l.load(&name(&format!("p@a{i}.service"))).unwrap();
            assert!(Rc::ptr_eq(&first, &f));
        }
        assert_eq!(l.parsed(), 1);
        // A new drop-in of the template is seen without a reload.
        fs::create_dir(dir.path().join("p@.service.d")).unwrap();
        fs::write(dir.path().join("p@.service.d/10.conf"), "[Service]\nUMask=0077\n").unwrap();
        assert_eq!(l.load(&name("p@a1.service")).unwrap().service.as_ref().unwrap().exec.umask, 0o077);
        // An instance's own drop-in concerns it alone.
        fs::create_dir(dir.path().join("p@a2.service.d")).unwrap();
        fs::write(dir.path().join("p@a2.service.d/10.conf"), "[Service]\nUMask=0007\n").unwrap();
        assert_eq!(l.load(&name("p@a2.service")).unwrap().service.as_ref().unwrap().exec.umask, 0o007);
        assert_eq!(l.load(&name("p@a3.service")).unwrap().service.as_ref().unwrap().exec.umask, 0o077);
        // A changed file is read again.
        fs::write(dir.path().join("p@.service.d/10.conf"), "[Service]\nUMask=0027\nWhat=1\n").unwrap();
        let f = l.load(&name("p@a3.service")).unwrap();
        assert_eq!(f.service.as_ref().unwrap().exec.umask, 0o027);
        assert!(f.warnings[0].starts_with("10.conf: "), "{:?}", f.warnings);
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut l = Loader::new(dir.path().to_owned());
        assert!(matches!(l.load(&name("a.service")), Err(LoadError::NotFound { .. })));
        std::os::unix::fs::symlink("/dev/null", dir.path().join("a.service")).unwrap();
        assert!(matches!(l.load(&name("a.service")), Err(LoadError::Masked { .. })));
        fs::write(dir.path().join("b.service"), "[Unit]\nDescription=x\n").unwrap();
        assert!(matches!(l.load(&name("b.service")), Err(LoadError::Section { .. })));
        fs::write(dir.path().join("c.service"), "[Service]\nExecStart=/bin/a\nUMask=x\n").unwrap();
        let e = l.load(&name("c.service")).unwrap_err().to_string();
        assert!(e.contains("c.service") && e.contains("line 3") && e.contains("UMask"), "{e}");
    }
}
