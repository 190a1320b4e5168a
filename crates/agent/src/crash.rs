//! Crash points: where tests let the process die, to prove that a restart ends in one state or the other.
//!
//! `WCP360_AGENT_CRASH=<n>` aborts at the n-th point that is passed. In a release build nothing of this exists.

/// A point between two effects.
#[inline]
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static LIMIT: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("WCP360_AGENT_CRASH").ok().and_then(|v| v.parse().ok()));
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn pass(name: &str) {
        let Some(limit) = *LIMIT else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == limit {
            eprintln!("crash point {limit}: {name}");
            std::process::abort();
        }
    }
}
