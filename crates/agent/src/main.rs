//! `wcp360-agent`: see the library.

use std::process::ExitCode;

const USAGE: &str = "\
wcp360-agent [serve]   run the agent (the default)
wcp360-agent check     check the settings and all manifests, and say what is wrong
wcp360-agent reopen-setup
                       open first setup again, when the panel's database is gone for good; root only
wcp360-agent --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["serve"] => wcp360_agent::serve::run().map(|()| false),
        ["check"] => wcp360_agent::serve::check(),
        ["reopen-setup"] => wcp360_agent::serve::reopen_setup().map(|()| false),
        ["--version"] => {
            println!("wcp360-agent {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("wcp360-agent: {error}");
            ExitCode::FAILURE
        }
    }
}
