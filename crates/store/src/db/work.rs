//! A transaction on its way to a thread of the database and its answer on the way back.

use crate::{StoreError, Tx};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// A transaction that waits for a thread.
pub(crate) trait Work: Send {
    /// Whether it only reads, over one state of the database.
    fn reads(&self) -> bool;
    /// Runs its statements. Whether the changes are to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells who waits for it, once it is known whether the changes are on disk.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look, at one state of the database.
    Read,
    /// To see what would happen.
    Rehearse,
    /// To change something.
    Change,
}

pub(crate) struct Task<T, E, F> {
    work: Option<F>,
    purpose: Purpose,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Task<T, E, F> {
    pub(crate) fn new(work: F, purpose: Purpose) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { work: Some(work), purpose, outcome: None, answer }, receiver)
    }
}

impl<T, E, F> Work for Task<T, E, F>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn reads(&self) -> bool {
        self.purpose == Purpose::Read
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        // A mistake in one transaction must not end the thread that serves all.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(tx)));
        let outcome = outcome.unwrap_or_else(|_| {
            Err(E::from(StoreError::Database("a transaction panicked; the log says where".into())))
        });
        let keep = self.purpose == Purpose::Change && outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(E::from(error)),
            (None, Ok(())) => Err(E::from(StoreError::Database("the transaction did not run".into()))),
        };
        // Nobody waits any more: fine.
        let _ = self.answer.send(outcome);
    }
}
