//! What people and programs get to see.

mod cell;
mod detail;
mod list;
mod plan;
mod problem;
mod style;
mod table;

pub use cell::{clean, shorten};
pub use detail::detail;
pub use list::List;
pub use plan::plan;
pub use problem::problem;
pub use style::Style;
pub use table::Table;

use crate::failure::Failure;
use serde_json::Value;
use std::io::Write;

/// Prints JSON, as the API gave it.
///
/// # Errors
/// Standard output does not work.
pub fn json(out: &mut dyn Write, value: &Value) -> Result<(), Failure> {
    writeln!(out, "{}", cell::clean_json(&format!("{value:#}")))?;
    Ok(())
}

/// Prints a line on standard error. That nobody reads it is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
