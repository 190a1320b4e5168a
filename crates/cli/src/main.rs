//! `wcp360`: see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wcp360_cli::run(std::env::args_os()))
}
