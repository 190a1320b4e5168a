//! The trash: trees of deleted accounts, until their time is over or their deletion is taken back.
//!
//! A tree is named `<account>-<number>-<seconds since 1970>`, in a directory that only root can look into. That name, which
//! the agent gave, is what says whose number it was; a request alone can't.

use super::{Engine, Work, failed, guard};
use jiff::Timestamp;
use std::borrow::Cow;
use wcp360_agent_proto::{AgentError, AgentErrorCode};
use wcp360_types::Username;
use wcp360_types::manifest::ManifestSet;

/// A tree in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    name: String,
    account: String,
    pub(super) uid: u32,
    since: i64,
}

impl Tree {
    pub(super) fn new(account: &Username, uid: u32, since: Timestamp) -> Self {
        let (account, since) = (account.to_string(), since.as_second());
        Self { name: format!("{account}-{uid}-{since}"), account, uid, since }
    }

    fn parse(name: &str) -> Option<Self> {
        let (account, rest) = name.split_once('-')?;
        let (uid, since) = rest.split_once('-')?;
        Some(Self { name: name.into(), account: account.into(), uid: uid.parse().ok()?, since: since.parse().ok()? })
    }

    /// Its name in the trash, which the journal keeps.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What a change that brings back a deleted account starts from.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) tree: Tree,
    /// The account as it was, without the number: that comes from the tree.
    pub(super) desired: ManifestSet,
}

/// A tree that a change brings back from the trash.
#[derive(Debug)]
pub(crate) struct Returning {
    tree: Tree,
    home: String,
    /// Whether it was still there when the change was planned.
    pub(super) waits: bool,
}

impl Engine {
    fn trash(&self) -> String {
        format!("{}/.trash", self.facts.base_dir)
    }

    /// Where a tree waits.
    pub(super) fn place_of(&self, tree: &str) -> String {
        format!("{}/{tree}", self.trash())
    }

    fn is_over(&self, tree: &Tree, now: i64) -> bool {
        now - tree.since > i64::from(self.facts.config.retention_days) * 86_400
    }

    /// Refuses to bring back an account whose name is in use again. The account's lock is held.
    pub(super) fn refuse_given_again(&self, name: &Username) -> Result<(), AgentError> {
        if self.standing(name)?.is_none() {
            return Ok(());
        }
        let message = format!("the name \"{name}\" was given to a new account since; only one of the two can be there");
        Err(AgentError::new(AgentErrorCode::Taken, message))
    }

    /// Whether a deleted account, whose name is free, can come back as `desired` says: its tree waits, and nobody else has its
    /// number. The account's lock is held.
    pub(super) fn returning(&self, name: &Username, desired: Option<&ManifestSet>) -> Result<Return, AgentError> {
        let refused = |code, message: String| Err(AgentError::new(code, message));
        let Some(desired) = desired else {
            return Err(super::validate::invalid("bring_back: it needs \"desired\", what the account was"));
        };
        let Some(uid) = desired.account.uid.filter(|uid| desired.account.gid.is_none_or(|gid| gid == *uid)) else {
            return Err(super::validate::invalid(
                "account.json: uid: bringing back needs the one that it had, as gid too",
            ));
        };
        let now = Timestamp::now().as_second();
        let trees = self.fs.list(&self.trash()).map_err(|e| failed(&e))?;
        let its = |tree: &Tree| tree.account == name.as_str() && tree.uid == uid && !self.is_over(tree, now);
        let found = trees.iter().filter_map(|tree| Tree::parse(tree)).filter(its).max_by_key(|tree| tree.since);
        let tree = found.ok_or_else(|| self.gone(name))?;
        // Numbers are given once; only by hand can somebody have got this one.
        if self.userdb.is_number_taken(uid).map_err(|e| failed(&e))? {
            let message =
                format!("user or group id {uid}, which the files belong to, is somebody else's on this machine by now");
            return refused(AgentErrorCode::Taken, message);
        }
        let mut desired = desired.clone();
        desired.account.uid = None;
        desired.account.gid = None;
        Ok(Return { tree, desired })
    }

    /// Why a tree can't come back.
    pub(super) fn gone(&self, name: &Username) -> AgentError {
        let days = self.facts.config.retention_days;
        let message = format!(
            "the files of \"{name}\" are not in the trash any more; they are kept there for {days} days after a deletion"
        );
        AgentError::new(AgentErrorCode::Gone, message)
    }

    /// Removes trees whose time is over.
    pub(super) fn empty_trash(&self) {
        let now = Timestamp::now().as_second();
        for tree in self.fs.list(&self.trash()).unwrap_or_default().iter().filter_map(|tree| Tree::parse(tree)) {
            if !self.is_over(&tree, now) || self.is_in_use(&tree) {
                continue;
            }
            match self.fs.remove_tree(&self.place_of(tree.name())) {
                Ok(_) => tracing::info!(tree = tree.name(), "removed from the trash"),
                Err(error) => tracing::error!(tree = tree.name(), %error, "can't be removed from the trash"),
            }
        }
    }

    /// Whether an operation is under way that may still want the tree. One that begins later is refused it: its time is over.
    fn is_in_use(&self, tree: &Tree) -> bool {
        let Ok(account) = Username::parse(&tree.account) else { return false };
        let lock = self.lock_of(&account);
        let _held = guard(&lock);
        guard(&self.unfinished).contains_key(&account)
    }
}

impl Work<'_> {
    /// What comes back besides what is made anew, in words.
    pub(super) fn comes_back(&self) -> Vec<String> {
        let Some(Returning { tree, home, waits: true }) = &self.returns else { return Vec::new() };
        let at = Timestamp::from_second(tree.since).map_or_else(|_| "then".into(), |at| at.to_string());
        vec![
            format!("{home}: with everything in it, as it was when the account was deleted ({at})"),
            format!(
                "the user and group {} with their number {}, so that the files are theirs again",
                tree.account, tree.uid
            ),
        ]
    }

    /// Where what shall be at `path` is at first: in the trash, if the account's tree is.
    pub(super) fn place<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match &self.returns {
            Some(returning) if returning.waits => self.in_trash(&returning.home, path),
            _ => path.into(),
        }
    }

    /// Where what was at `path` is after the change was taken back: in the trash, if the account's tree came from there.
    pub(super) fn place_after_all<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match &self.returns {
            Some(returning) => self.in_trash(&returning.home, path),
            None => path.into(),
        }
    }

    fn in_trash<'p>(&self, home: &str, path: &'p str) -> Cow<'p, str> {
        match path.strip_prefix(home) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", self.trash).into(),
            _ => path.into(),
        }
    }

    /// Makes it a change that brings the account's tree back from the trash, and on its way back puts it there again.
    /// Returns whether the tree is in one of the two places.
    pub(super) fn bring_back(&mut self, name: &Username, tree: &str) -> Result<bool, AgentError> {
        let engine = self.engine;
        self.trash = engine.place_of(tree);
        self.discard = false;
        let home = engine.facts.home(name).to_string();
        let is_there = |path: &str| engine.fs.meta(path).map(|meta| meta.is_some()).map_err(|e| failed(&e));
        let is_back = is_there(&home)?;
        let waits = !is_back && is_there(&self.trash)?;
        self.returns = Tree::parse(tree).map(|tree| Returning { tree, home, waits });
        Ok(is_back || waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eng_08_a_tree_is_known_by_its_name() {
        let account = Username::parse("alice").unwrap();
        let tree = Tree::new(&account, 20_000, Timestamp::from_second(1_700_000_000).unwrap());
        assert_eq!(tree.name(), "alice-20000-1700000000");
        assert_eq!(Tree::parse(tree.name()), Some(tree));
        for other in ["alice", "alice-20000", "alice-x-1", "lost+found", "alice-20000-1700000000-2"] {
            assert_eq!(Tree::parse(other), None, "{other}");
        }
    }
}
