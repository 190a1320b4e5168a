//! Pieces of configuration that administrators write.
//!
//! nginx never reads them where they are: each generation has a copy, which was tested with it. An edit that nginx refuses
//! can so stop neither a reload nor a start.

use crate::fsx::{Access, Durability, FileType, Fs, FsError};
use std::collections::{BTreeMap, BTreeSet};
use wcp360_agent_render::paths::SNIPPETS;
use wcp360_types::Username;

const FILE: Access = Access { uid: 0, gid: 0, mode: 0o644 };
const DIR: Access = Access { uid: 0, gid: 0, mode: 0o755 };
/// The directory of those that are for the whole node.
pub(super) const GLOBAL: &str = "global";

/// Directory (`global` or an account) and file, and what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snippets(pub(super) BTreeMap<(String, String), Vec<u8>>);

impl Snippets {
    /// The ones that administrators have written.
    pub(super) fn written(fs: &Fs) -> Result<Self, FsError> {
        Self::read(fs, SNIPPETS)
    }

    /// The ones below `root`. What is no plain file that only root can change is passed over.
    pub(super) fn read(fs: &Fs, root: &str) -> Result<Self, FsError> {
        let mut out = BTreeMap::new();
        for dir in fs.list(root)? {
            if dir != GLOBAL && Username::parse(&dir).is_err() {
                continue;
            }
            for file in fs.list(&format!("{root}/{dir}")).unwrap_or_default() {
                if let Some(content) = snippet(fs, &format!("{root}/{dir}/{file}"))? {
                    out.insert((dir.clone(), file), content);
                }
            }
        }
        Ok(Self(out))
    }

    /// Copies them to `root`, which is new.
    pub(super) fn write(&self, fs: &Fs, root: &str) -> Result<(), FsError> {
        if self.0.is_empty() {
            return Ok(());
        }
        fs.ensure_dir(root, DIR)?;
        for ((dir, file), content) in &self.0 {
            fs.ensure_dir(&format!("{root}/{dir}"), DIR)?;
            fs.write(&format!("{root}/{dir}/{file}"), content, FILE, Durability::Derived)?;
        }
        Ok(())
    }

    /// Without those in `bad`.
    pub(super) fn without(&self, bad: &BTreeSet<(String, String)>) -> Self {
        Self(self.0.iter().filter(|(key, _)| !bad.contains(key)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

fn snippet(fs: &Fs, path: &str) -> Result<Option<Vec<u8>>, FsError> {
    let name = path.rsplit('/').next().unwrap_or("");
    if !name.ends_with(".conf") || name.starts_with('.') {
        return Ok(None);
    }
    match fs.meta(path)? {
        Some(meta) if meta.file_type == FileType::File && meta.access.uid == 0 && meta.access.mode & 0o022 == 0 => {
            Ok(fs.read(path)?.map(|(content, _)| content))
        }
        Some(_) => {
            tracing::warn!(path, "not used: it must be a plain file that belongs to root and that only root can write");
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Accounts that have snippets.
pub(crate) fn accounts(fs: &Fs) -> Result<BTreeSet<Username>, FsError> {
    let written = Snippets::written(fs)?;
    Ok(written.0.keys().filter_map(|(dir, _)| Username::parse(dir).ok()).collect())
}

/// Whether `account` has any.
pub(crate) fn has(fs: &Fs, account: &Username) -> bool {
    let files = fs.list(&format!("{SNIPPETS}/{account}")).unwrap_or_default();
    files.iter().any(|file| file.ends_with(".conf") && !file.starts_with('.'))
}
