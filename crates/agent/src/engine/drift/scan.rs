//! All accounts, one after the other: about one look at each thing, and no write.

use super::super::standing::page;
use super::super::{Engine, guard};
use super::View;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use wcp360_agent_proto::{AgentError, DriftItem, ManifestsState, ScanError, ScanPage, ScanRequest};
use wcp360_types::Username;

const LARGEST_PAGE: u32 = 5000;
/// Comparing is waiting for the kernel and computing in equal parts; more threads than this would slow sites down.
const THREADS: usize = 2;
/// A diff in a page is cut to this, in bytes: the account's own comparison has more.
const SHORT_DIFF: usize = 2048;
/// A page ends early when this many accounts are not healthy: their differences may be long.
const MOST_DRIFTED: usize = 200;

impl Engine {
    /// Compares a page of accounts with what was applied last.
    ///
    /// # Errors
    /// The accounts can't be listed.
    pub fn scan(&self, request: &ScanRequest) -> Result<ScanPage, AgentError> {
        let limit = request.limit.unwrap_or(1000).clamp(1, LARGEST_PAGE) as usize;
        let (names, mut next) = page(self.all_names()?, request.after.as_ref(), limit);
        let view = self.view()?;
        let mut out = ScanPage { compared: 0, busy: vec![], drifted: vec![], errors: vec![], next: None };
        // In portions, so that a page can end early.
        for (n, names) in names.chunks(MOST_DRIFTED).enumerate() {
            self.portion(names, &view, &mut out);
            let done = (n + 1) * MOST_DRIFTED;
            if out.drifted.len() >= MOST_DRIFTED && (done < limit || next.is_some()) {
                next = names.last().cloned();
                break;
            }
        }
        out.next = next;
        out.drifted.sort_by(|a, b| a.account.cmp(&b.account));
        out.errors.sort_by(|a, b| a.account.cmp(&b.account));
        Ok(out)
    }

    fn portion(&self, names: &[Username], view: &View, out: &mut ScanPage) {
        let at = AtomicUsize::new(0);
        let shared = Mutex::new(out);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while let Some(name) = names.get(at.fetch_add(1, Ordering::Relaxed)) {
                        self.one(name, view, &shared);
                    }
                });
            }
        });
    }

    fn one(&self, name: &Username, view: &View, out: &Mutex<&mut ScanPage>) {
        let lock = self.lock_of(name);
        let _held = match lock.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return guard(out).busy.push(name.clone()),
        };
        let compared = self.compared(name, view);
        let mut out = guard(out);
        out.compared += 1;
        match compared {
            Ok(Some(compared)) => {
                let mut report = compared.report(name);
                report.items.iter_mut().for_each(shorten);
                if !report.items.is_empty() || report.manifests != ManifestsState::Same {
                    out.drifted.push(report);
                }
            }
            // Deleted since it was listed.
            Ok(None) => {}
            Err(error) => out.errors.push(ScanError { account: name.clone(), error: error.message }),
        }
    }
}

fn shorten(item: &mut DriftItem) {
    let Some(diff) = item.diff.as_mut().filter(|diff| diff.len() > SHORT_DIFF) else { return };
    let end = (0..=SHORT_DIFF).rev().find(|at| diff.is_char_boundary(*at)).unwrap_or(0);
    diff.truncate(diff[..end].rfind('\n').map_or(end, |at| at + 1));
    item.diff_cut = true;
}
