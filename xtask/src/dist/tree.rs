//! What a release consists of.

use super::pages;
use crate::repo;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Directories that are copied: from the repository, to the release, whether a release makes no sense without.
const DIRECTORIES: &[(&str, &str, bool)] = &[
    ("packaging/systemd", "systemd", true),
    ("packaging/tmpfiles.d", "tmpfiles.d", true),
    ("packaging/pam", "pam", true),
    ("packaging/logrotate", "logrotate", true),
    ("packaging/fail2ban", "fail2ban", true),
    ("scripts/install.d", "scripts/install.d", true),
    ("ui/dist", "ui", false),
];
/// Files that are copied.
const FILES: &[(&str, &str)] = &[
    ("install-wcp360.sh", "scripts/install-wcp360.sh"),
    ("scripts/uninstall-wcp360.sh", "scripts/uninstall-wcp360.sh"),
    ("LICENSE", "LICENSE"),
];

/// Makes the release's directory.
///
/// # Errors
/// Something is missing or can't be copied.
pub(super) fn lay_out(release: &Path, programs: &Path, names: &[&str]) -> Result<()> {
    let root = repo::root();
    for name in names {
        let program = programs.join(name);
        if !program.is_file() {
            bail!("the build made no {}: which crate has the program {name}?", program.display());
        }
        copy(&program, &release.join("bin").join(name), 0o755)?;
    }
    for (from, to, needed) in DIRECTORIES {
        let from = root.join(from);
        if from.is_dir() {
            copy_directory(&from, &release.join(to))?;
        } else if *needed {
            bail!("{} is missing", from.display());
        }
    }
    pages::write(&root.join("templates/pages"), &release.join("share/pages"))?;
    for (from, to) in FILES {
        let from = root.join(from);
        let mode = if from.metadata().is_ok_and(|m| m.permissions().mode() & 0o100 != 0) { 0o755 } else { 0o644 };
        copy(&from, &release.join(to), mode)?;
    }
    let version = release.join("version");
    fs::write(&version, format!("{}\n", repo::VERSION))
        .with_context(|| format!("can't write {}", version.display()))?;
    fs::set_permissions(&version, fs::Permissions::from_mode(0o644))?;
    directories(release)
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type()? {
            kind if kind.is_dir() => copy_directory(&path, &target)?,
            kind if kind.is_file() => copy(&path, &target, 0o644)?,
            _ => bail!("{} is neither a file nor a directory", path.display()),
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let failed = || format!("can't copy {} to {}", from.display(), to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(failed)?;
    }
    fs::copy(from, to).with_context(failed)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).with_context(failed)
}

/// Gives all directories the same mode, whatever this machine's umask is.
fn directories(directory: &Path) -> Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories(&entry.path())?;
        }
    }
    Ok(())
}
