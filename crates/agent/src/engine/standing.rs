//! What an account is: what was applied last, whatever somebody has done to its manifests since.

use super::drift::text;
use super::{Engine, failed};
use crate::applied::LastGood;
use crate::manifests::ManifestsError;
use std::collections::BTreeSet;
use wcp360_agent_proto::{AccountRecord, AgentError, ListPage, ListRequest, ListedAccount, MAX_DIFF, ManifestsState};
use wcp360_types::Username;

/// What was applied last, and what is on disk.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) record: AccountRecord,
    pub(crate) on_disk: ManifestsState,
}

/// How many accounts a page of a list may have.
const LARGEST_LIST: u32 = 2000;

impl Engine {
    /// The names of all accounts: those with manifests, and those whose manifests were removed by hand.
    pub(crate) fn all_names(&self) -> Result<BTreeSet<Username>, AgentError> {
        let mut names: BTreeSet<Username> = self.manifests.accounts().map_err(|e| failed(&e))?.into_iter().collect();
        for name in self.applied.accounts().map_err(|e| failed(&e))? {
            // Deleted since the last checkpoint, perhaps.
            if !names.contains(&name) && self.last_good(&name).map_err(|e| failed(&e))?.is_some() {
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// What `name` is; `None` if it does not exist.
    ///
    /// # Errors
    /// Its manifests can't be used, and what was applied last is not known.
    pub(crate) fn standing(&self, name: &Username) -> Result<Option<Standing>, AgentError> {
        let disk = self.manifests.load(name);
        let good = self.last_good(name).map_err(|e| failed(&e))?;
        let record = |LastGood { manifests, meta, .. }| AccountRecord {
            revision: manifests.revision(),
            manifests,
            meta,
            on_disk: None,
        };
        let (record, on_disk) = match (disk, good) {
            (Ok(None), None) => return Ok(None),
            (Ok(Some(record)), Some(good)) if record.manifests == good.manifests => (record, ManifestsState::Same),
            // Of a release that did not keep it: all that is known is what the manifests say themselves.
            (Ok(Some(record)), None) if record.meta.last_applied_revision == record.revision => {
                (record, ManifestsState::Same)
            }
            (Ok(Some(record)), None) => {
                let manifests = Box::new(record.manifests.clone());
                let revision = record.revision.clone();
                (record, ManifestsState::Edited { revision, manifests, diff: String::new() })
            }
            (Ok(Some(edited)), Some(good)) => {
                let diff =
                    text::diff(&text::of(&good.manifests), &text::of(&edited.manifests), "manifests", MAX_DIFF).0;
                let state =
                    ManifestsState::Edited { revision: edited.revision, manifests: Box::new(edited.manifests), diff };
                (record(good), state)
            }
            (Ok(None), Some(good)) => (record(good), ManifestsState::Missing),
            (Err(ManifestsError::Unreadable { path, field, reason }), Some(good)) => {
                let error = format!("{reason}; correct the file, or put back what was applied last with a repair");
                (record(good), ManifestsState::Refused { file: path, field, error })
            }
            (Err(error), _) => return Err(failed(&error)),
        };
        Ok(Some(Standing { record, on_disk }))
    }

    /// A page of all accounts, also of those whose manifests can't be used.
    ///
    /// # Errors
    /// The names can't be read.
    pub fn list(&self, request: &ListRequest) -> Result<ListPage, AgentError> {
        let limit = request.limit.unwrap_or(500).clamp(1, LARGEST_LIST) as usize;
        let (names, next) = page(self.all_names()?, request.after.as_ref(), limit);
        let listed = |username: Username| match self.account(&username) {
            Ok(record) => ListedAccount { username, record: Some(record), error: None },
            Err(error) => ListedAccount { username, record: None, error: Some(error.message) },
        };
        Ok(ListPage { accounts: names.into_iter().map(listed).collect(), next })
    }
}

/// The first `limit` names behind `after`, and the last of them if there are more.
pub(super) fn page(
    names: BTreeSet<Username>,
    after: Option<&Username>,
    limit: usize,
) -> (Vec<Username>, Option<Username>) {
    let mut behind = names.into_iter().filter(|name| after.is_none_or(|after| name > after));
    let page: Vec<Username> = behind.by_ref().take(limit).collect();
    let next = behind.next().and_then(|_| page.last().cloned());
    (page, next)
}
