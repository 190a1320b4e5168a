//! Opening paths as root without following what others planted: a symlink is followed only if root owns it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

/// Why a path could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// A part does not exist.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// A symlink that root does not own.
    #[error("{0} is a symlink that root does not own: not followed")]
    Unsafe(PathBuf),
    /// Anything else.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
}

/// What to make where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    /// Nothing: it is an error.
    No,
    /// A directory.
    Dir,
    /// An empty file, in directories that are made too.
    File,
}

/// A path that was opened (`O_PATH`), and what it is really called.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The handle.
    pub(crate) fd: OwnedFd,
    /// The path without symlinks.
    pub(crate) path: PathBuf,
    /// Whether it is a directory.
    pub(crate) is_dir: bool,
}

fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir))
        .map(|c| c.as_os_str().to_owned())
        .collect()
}

/// Walks an absolute path from the root, part by part.
pub(crate) fn resolve(path: &Path, create: Create) -> Result<Resolved, ResolveError> {
    let io = |p: &Path, e: Errno| ResolveError::Io(p.to_owned(), e.into());
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, "/", flags, Mode::empty()).map_err(|e| io(path, e))?;
    let mut stack: Vec<(OwnedFd, OsString)> = vec![(root, OsString::new())];
    let mut todo: VecDeque<OsString> = parts(path).into();
    let mut links = 0;
    let mut is_dir = true;
    let called = |stack: &[(OwnedFd, OsString)], last: Option<&OsString>| {
        let mut p = PathBuf::from("/");
        p.extend(stack.iter().skip(1).map(|(_, n)| n));
        p.extend(last);
        p
    };
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            if stack.len() > 1 {
                stack.pop();
            }
            is_dir = true;
            continue;
        }
        let Some((parent, _)) = stack.last() else { break };
        let parent = parent.as_fd();
        let here = || called(&stack, Some(&part));
        let fd = match openat(parent, &part, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                let made = match (create, todo.is_empty()) {
                    (Create::No, _) => return Err(ResolveError::Missing(here())),
                    (Create::File, true) => {
                        let f = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY | OFlags::NOFOLLOW;
                        openat(parent, &part, f, Mode::from_raw_mode(0o644)).map(drop)
                    }
                    _ => mkdirat(parent, &part, Mode::from_raw_mode(0o755)),
                };
                match made {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(io(&here(), e)),
                }
                openat(parent, &part, flags, Mode::empty()).map_err(|e| io(&here(), e))?
            }
            Err(Errno::NOTDIR) => return Err(ResolveError::Missing(here())),
            Err(e) => return Err(io(&here(), e)),
        };
        let st = fstat(&fd).map_err(|e| io(&here(), e))?;
        let kind = FileType::from_raw_mode(st.st_mode);
        if kind == FileType::Symlink {
            if st.st_uid != 0 {
                return Err(ResolveError::Unsafe(here()));
            }
            links += 1;
            if links > 40 {
                return Err(io(&here(), Errno::LOOP));
            }
            let target = readlinkat(&fd, "", Vec::new()).map_err(|e| io(&here(), e))?;
            let target = PathBuf::from(<OsString as std::os::unix::ffi::OsStringExt>::from_vec(target.into_bytes()));
            if target.is_absolute() {
                stack.truncate(1);
            }
            for p in parts(&target).into_iter().rev() {
                todo.push_front(p);
            }
            continue;
        }
        is_dir = kind == FileType::Directory;
        stack.push((fd, part));
    }
    let path = called(&stack, None);
    let is_dir = is_dir || stack.len() == 1;
    match stack.pop() {
        Some((fd, _)) => Ok(Resolved { fd, path, is_dir }),
        None => Err(ResolveError::Missing(path)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{lchown, symlink};

    #[test]
    fn follows_only_roots_links() {
        let t = tempfile::tempdir().unwrap();
        let dir = t.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::write(dir.join("a/f"), "x").unwrap();
        symlink("a", dir.join("good")).unwrap();
        symlink(dir.join("a"), dir.join("absolute")).unwrap();
        symlink("../a/b", dir.join("a/up")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        for (given, real, is_dir) in
            [("a/b", "a/b", true), ("good/f", "a/f", false), ("absolute/b", "a/b", true), ("a/up", "a/b", true)]
        {
            let r = resolve(&dir.join(given), Create::No).unwrap();
            assert_eq!((r.path, r.is_dir), (dir.join(real), is_dir));
        }
        assert!(matches!(resolve(&dir.join("loop"), Create::No), Err(ResolveError::Io(..))));
        assert!(matches!(resolve(&dir.join("nope/x"), Create::No), Err(ResolveError::Missing(_))));
        assert!(matches!(resolve(&dir.join("a/f/x"), Create::Dir), Err(ResolveError::Missing(_))));
        // Somebody else's link is refused, also in the middle.
        symlink("/etc", dir.join("evil")).unwrap();
        lchown(dir.join("evil"), Some(65534), None).unwrap();
        assert!(matches!(resolve(&dir.join("evil/passwd"), Create::No), Err(ResolveError::Unsafe(_))));
        // Mount points are made.
        assert!(resolve(&dir.join("n/e/w"), Create::Dir).unwrap().is_dir);
        assert!(!resolve(&dir.join("n/e/file"), Create::File).unwrap().is_dir);
        assert_eq!(resolve(Path::new("/"), Create::No).unwrap().path, Path::new("/"));
    }
}
