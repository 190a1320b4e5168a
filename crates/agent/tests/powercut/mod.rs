//! What a power cut leaves: of everything that was not forced to disk, any part.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// Numbers that look random and are the same in every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One in `n`.
    fn one_in(&mut self, n: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11).is_multiple_of(n)
    }
}

/// What is forced to disk before it is relied upon: it is as it was written.
const DURABLE: &[&str] = &[
    "var/lib/wcp360/agent/journal",
    "var/lib/wcp360/agent/accepted",
    "etc/wcp360/nginx/current",
    "etc/wcp360/ssl",
    "etc/wcp360/quarantine",
    "proc",
];
/// Files whose content is on disk before they take the place of others: the old or the new one, never half of it.
const WHOLE: &[&str] = &["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow"];

/// Makes of `work`, a copy of `after`, what the disk may hold: each thing as it was in `before`, as it is, or, if it is a
/// file that is not synced, empty.
pub(crate) fn power_cut(before: &Path, after: &Path, work: &Path, chance: &mut Chance) {
    let mut paths = BTreeSet::new();
    list(before, before, &mut paths);
    list(after, after, &mut paths);
    // A directory that was renamed is in one place or the other.
    let trash = |root: &Path| std::fs::read_dir(root.join("srv/www/.trash")).map_or(0, Iterator::count);
    let moved = trash(before) + trash(after) > 0;
    if moved && chance.one_in(2) {
        replace(before, work, Path::new("srv/www"));
    }
    for path in paths {
        let text = path.to_str().unwrap();
        // Neither what is durable, nor the directories that lead to it.
        if DURABLE.iter().any(|durable| text.starts_with(durable) || durable.starts_with(&format!("{text}/"))) {
            continue;
        }
        if (moved && text.starts_with("srv/www")) || work.join(&path).parent().is_some_and(|dir| !dir.is_dir()) {
            continue;
        }
        if chance.one_in(2) {
            replace(before, work, &path);
        }
        let is_file = std::fs::symlink_metadata(work.join(&path)).is_ok_and(|meta| meta.is_file());
        let changed = std::fs::read(before.join(&path)).ok() != std::fs::read(after.join(&path)).ok();
        if is_file && changed && !WHOLE.contains(&text) && chance.one_in(4) {
            let file = std::fs::OpenOptions::new().write(true).open(work.join(&path)).unwrap();
            file.set_len(0).unwrap();
        }
    }
    if chance.one_in(3) {
        let users = Path::new("etc/wcp360/users");
        copy(&after.join(users).join("alice"), &work.join(users).join(".new-alice"));
    }
}

fn list(root: &Path, dir: &Path, out: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        out.insert(path.strip_prefix(root).unwrap().to_owned());
        if path.is_dir() && !path.is_symlink() {
            list(root, &path, out);
        }
    }
}

/// Makes `path` in `work` what it is in `before`; of a directory that is in both, only what is known of it itself.
fn replace(before: &Path, work: &Path, path: &Path) {
    let (old, new) = (before.join(path), work.join(path));
    let is_dir = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if is_dir(&old) && is_dir(&new) && path != Path::new("srv/www") {
        return access(&old, &new);
    }
    if is_dir(&new) {
        std::fs::remove_dir_all(&new).unwrap();
    } else {
        let _ = std::fs::remove_file(&new);
    }
    copy(&old, &new);
}

fn copy(old: &Path, new: &Path) {
    let Ok(meta) = std::fs::symlink_metadata(old) else { return };
    if meta.is_symlink() {
        symlink(std::fs::read_link(old).unwrap(), new).unwrap();
        return lchown(new, Some(meta.uid()), Some(meta.gid())).unwrap();
    }
    if meta.is_dir() {
        std::fs::create_dir_all(new).unwrap();
        for entry in std::fs::read_dir(old).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&old.join(&name), &new.join(&name));
        }
    } else {
        std::fs::copy(old, new).unwrap();
    }
    access(old, new);
}

fn access(old: &Path, new: &Path) {
    let meta = std::fs::symlink_metadata(old).unwrap();
    lchown(new, Some(meta.uid()), Some(meta.gid())).unwrap();
    std::fs::set_permissions(new, std::fs::Permissions::from_mode(meta.mode() & 0o7777)).unwrap();
}
