//! The authorisation matrix is a test: see `tests/main.rs` and `run`.
//!
//! It knows nothing of the panel's code, on purpose. What it expects is written in `tests/policy.rs`; which operations there
//! are comes from the panel that runs.
