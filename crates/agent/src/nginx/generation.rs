//! Generations on disk.

use super::snippets::Snippets;
use super::{NginxError, SiteChange};
use crate::engine::text::digest;
use crate::fsx::{Access, Durability, Fs, FsError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use wcp360_agent_render::nginx::{GENERATION_FILE, SITES_DIR, generation_file};
use wcp360_agent_render::paths::NGINX;

const FILE: Access = Access { uid: 0, gid: 0, mode: 0o644 };
const DIR: Access = Access { uid: 0, gid: 0, mode: 0o755 };
/// The line before a block, with a digest of it: one that was edited, or that somebody else wrote, is known by it.
const MARK: &str = "# wcp360 ";
/// The directory of a generation with its copies of the administrators' snippets.
pub(super) const SNIPPETS_DIR: &str = "snippets";
/// How many generations are kept, the current one included.
const KEEP: usize = 3;

/// The directories `gen-<n>` and the link `current`.
pub(super) struct Generations {
    fs: Arc<Fs>,
    base: BTreeMap<String, String>,
}

/// Whose a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Ours, as we have written it.
    Ours,
    /// Ours, edited by hand.
    Edited,
    /// Made by hand.
    Foreign,
    /// Nobody's: it is not there.
    Gone,
}

/// A file that every generation has, edited by hand.
#[derive(Debug, Clone)]
pub struct EditedBase {
    /// Its name.
    pub file: String,
    /// Where it is.
    pub path: String,
    /// What should be in it.
    pub wanted: String,
    /// What is in it; `None`: it is missing, or no file.
    pub found: Option<String>,
    /// What is known of it.
    pub meta: Option<crate::fsx::Meta>,
}

impl From<FsError> for NginxError {
    fn from(error: FsError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Generations {
    pub(super) fn new(fs: Arc<Fs>, base: BTreeMap<String, String>) -> Self {
        Self { fs, base }
    }

    pub(super) fn dir(number: u64) -> String {
        format!("{NGINX}/gen-{number}")
    }

    pub(super) fn path_of(&self, number: u64) -> PathBuf {
        self.fs.layout().real(&format!("{}/nginx.conf", Self::dir(number)))
    }

    pub(super) fn current(&self) -> Result<Option<u64>, NginxError> {
        let target = self.fs.read_link(&format!("{NGINX}/current"))?;
        Ok(target.and_then(|target| target.strip_prefix("gen-")?.parse().ok()))
    }

    pub(super) fn site(&self, file: &str) -> Result<Option<String>, NginxError> {
        let Some(current) = self.current()? else { return Ok(None) };
        let content = self.fs.read(&format!("{}/{SITES_DIR}/{file}", Self::dir(current)))?;
        Ok(content.map(|(bytes, _)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match text.strip_prefix(MARK).and_then(|rest| rest.split_once('\n')) {
                Some((_, block)) => block.to_owned(),
                None => text,
            }
        }))
    }

    /// Whether the block that is live in `file` is as we have written it.
    pub(super) fn origin_of(&self, file: &str) -> Result<Origin, NginxError> {
        let Some(current) = self.current()? else { return Ok(Origin::Gone) };
        let read = match self.fs.read(&format!("{}/{SITES_DIR}/{file}", Self::dir(current))) {
            Ok(read) => read,
            // A link, a directory: none of ours.
            Err(_) => return Ok(Origin::Foreign),
        };
        let Some((bytes, _)) = read else { return Ok(Origin::Gone) };
        let text = String::from_utf8_lossy(&bytes);
        Ok(match text.strip_prefix(MARK).and_then(|rest| rest.split_once('\n')) {
            Some((sum, block)) if sum == digest(&[block.as_bytes()]) => Origin::Ours,
            Some(_) => Origin::Edited,
            // Releases that did not mark them: whether they were edited, nobody knows.
            None if text.starts_with("# Written by wcp360-agent") => Origin::Ours,
            None => Origin::Foreign,
        })
    }

    /// Moves what is in `file` of the current generation away, so that the next one is without it.
    pub(super) fn site_path(&self, file: &str) -> Result<Option<String>, NginxError> {
        Ok(self.current()?.map(|current| format!("{}/{SITES_DIR}/{file}", Self::dir(current))))
    }

    pub(super) fn fs(&self) -> &Arc<Fs> {
        &self.fs
    }

    /// The files that every generation has which are not as they should be, with what is there instead.
    pub(super) fn edited_base(&self) -> Result<Vec<EditedBase>, NginxError> {
        let Some(current) = self.current()? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let number = (GENERATION_FILE.to_owned(), generation_file(current));
        let base = self.base.iter().map(|(file, content)| (file.clone(), content.clone()));
        for (file, wanted) in base.chain([number]) {
            let path = format!("{}/{file}", Self::dir(current));
            let found = self.fs.read(&path).ok().flatten();
            if found.as_ref().is_none_or(|(bytes, _)| bytes != wanted.as_bytes()) {
                let meta = found.as_ref().map(|(_, meta)| *meta);
                let found = found.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
                out.push(EditedBase { file, path, wanted, found, meta });
            }
        }
        Ok(out)
    }

    /// The snippets that are live.
    pub(super) fn snippets(&self) -> Result<Snippets, NginxError> {
        match self.current()? {
            Some(current) => Ok(Snippets::read(&self.fs, &format!("{}/{SNIPPETS_DIR}", Self::dir(current)))?),
            None => Ok(Snippets::default()),
        }
    }

    pub(super) fn sites(&self) -> Result<Vec<String>, NginxError> {
        let Some(current) = self.current()? else { return Ok(Vec::new()) };
        let mut files = self.fs.list(&format!("{}/{SITES_DIR}", Self::dir(current)))?;
        files.retain(|file| file.ends_with(".conf"));
        Ok(files)
    }

    /// Whether the current generation has the base that this program renders.
    pub(super) fn base_is_current(&self) -> Result<bool, NginxError> {
        let Some(current) = self.current()? else { return Ok(false) };
        for (file, content) in &self.base {
            let found = self.fs.read(&format!("{}/{file}", Self::dir(current)))?;
            if found.is_none_or(|(bytes, _)| bytes != content.as_bytes()) {
                return Ok(false);
            }
        }
        let number = self.fs.read(&format!("{}/{GENERATION_FILE}", Self::dir(current)))?;
        Ok(number.is_some_and(|(bytes, _)| bytes == generation_file(current).as_bytes()))
    }

    fn numbers(&self) -> Result<Vec<u64>, NginxError> {
        let mut numbers: Vec<u64> =
            self.fs.list(NGINX)?.iter().filter_map(|name| name.strip_prefix("gen-")?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Builds the next generation: the base, the sites of the current one but `without`, the snippets, and `change` on top.
    pub(super) fn build(
        &self,
        change: &SiteChange,
        snippets: &Snippets,
        without: &BTreeSet<String>,
    ) -> Result<u64, NginxError> {
        let current = self.current()?;
        let number = self.numbers()?.last().copied().max(current).unwrap_or(0) + 1;
        let dir = Self::dir(number);
        let sites = format!("{dir}/{SITES_DIR}");
        self.fs.ensure_dir(&dir, DIR)?;
        self.fs.ensure_dir(&sites, DIR)?;
        for (file, content) in &self.base {
            self.fs.write(&format!("{dir}/{file}"), content.as_bytes(), FILE, Durability::Derived)?;
        }
        let own = generation_file(number);
        self.fs.write(&format!("{dir}/{GENERATION_FILE}"), own.as_bytes(), FILE, Durability::Derived)?;
        if let Some(current) = current {
            let old = format!("{}/{SITES_DIR}", Self::dir(current));
            for file in self.fs.list(&old)? {
                if file.ends_with(".conf") && !change.contains_key(&file) && !without.contains(&file) {
                    self.fs.hard_link(&format!("{old}/{file}"), &format!("{sites}/{file}"))?;
                }
            }
        }
        for (file, content) in change {
            if let Some(content) = content {
                let marked = format!("{MARK}{}\n{content}", digest(&[content.as_bytes()]));
                self.fs.write(&format!("{sites}/{file}"), marked.as_bytes(), FILE, Durability::Derived)?;
            }
        }
        snippets.write(&self.fs, &format!("{dir}/{SNIPPETS_DIR}"))?;
        Ok(number)
    }

    /// Takes away what a crash left: candidates that never became current.
    pub(super) fn tidy(&self) -> Result<(), NginxError> {
        self.fs.remove_temporary(&format!("{NGINX}/current"))?;
        let current = self.current()?.unwrap_or(0);
        self.numbers()?.into_iter().filter(|number| *number > current).for_each(|number| self.discard(number));
        Ok(())
    }

    pub(super) fn make_current(&self, number: u64) -> Result<(), NginxError> {
        let link = format!("{NGINX}/current");
        self.fs.symlink(&link, &format!("gen-{number}"), 0, 0)?;
        Ok(self.fs.sync_parent(&link)?)
    }

    /// Removes a candidate that was not used. What can't be removed is only litter.
    pub(super) fn discard(&self, number: u64) {
        if let Err(error) = self.fs.remove_tree(&Self::dir(number)) {
            tracing::warn!(%error, "an unused nginx generation stays behind");
        }
    }

    /// Removes all but the last few.
    pub(super) fn prune(&self, current: u64) {
        let Ok(numbers) = self.numbers() else { return };
        let old = numbers.into_iter().filter(|number| *number < current).rev().skip(KEEP - 1);
        old.for_each(|number| self.discard(number));
    }
}
