//! Crash points: where tests let the process die, to prove that a restart ends in one state or the other.
//!
//! `WCP360_AGENT_CRASH=<n>` aborts at the n-th point that is passed after [`arm`]. In a release build nothing of this exists.

/// A point between two effects.
#[inline]
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// From here on points count.
#[doc(hidden)]
pub fn arm() {
    #[cfg(debug_assertions)]
    armed::arm();
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn arm() {
        LIMIT.get_or_init(|| std::env::var("WCP360_AGENT_CRASH").ok().and_then(|v| v.parse().ok()));
    }

    pub(super) fn pass(name: &str) {
        let Some(Some(limit)) = LIMIT.get() else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *limit {
            eprintln!("crash point {limit}: {name}");
            std::process::abort();
        }
    }
}
