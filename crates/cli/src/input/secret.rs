//! Secrets: from a file, from standard input, or asked for at the terminal. Never from arguments.

use super::{given, terminal};
use crate::document::Field;
use crate::failure::Failure;
use crate::tree::Secret;
use clap::ArgMatches;
use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Longer than any secret the API takes.
const MAX: u64 = 64 * 1024;

/// Reads secrets; remembers who has taken standard input.
#[derive(Default)]
pub(super) struct Secrets {
    stdin: Option<String>,
}

impl Secrets {
    /// Claims standard input.
    pub(super) fn take_stdin(&mut self, flag: &str) -> Result<(), Failure> {
        match self.stdin.replace(flag.to_owned()) {
            None => Ok(()),
            Some(other) => Err(Failure::Usage(format!("{other} and {flag} both read standard input; use files"))),
        }
    }

    /// The secret of a field. `wanted` says whether nobody else has given it.
    pub(super) fn of(&mut self, field: &Field, matches: &ArgMatches, wanted: bool) -> Result<Option<String>, Failure> {
        let ways = Secret::of(field);
        if let Some(file) = given::<PathBuf>(matches, &ways.file) {
            return from_file(file).map(Some);
        }
        if given(matches, &ways.stdin) == Some(&true) {
            self.take_stdin(&format!("--{}", ways.stdin))?;
            let mut line = String::new();
            std::io::stdin().lock().take(MAX).read_line(&mut line)?;
            return Ok(Some(nonempty(first_line(&line), "standard input")?.to_owned()));
        }
        let asked = given(matches, &ways.prompt) == Some(&true) || (field.required && wanted);
        if !asked {
            return Ok(None);
        }
        let required = format!(
            "give --{} FILE or --{}; passwords are not taken from the command line, where others could read them",
            ways.file, ways.stdin
        );
        if self.stdin.is_some() || !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(required));
        }
        ask(field).map(Some)
    }
}

/// Asks at the terminal; twice where a mistake would lock somebody out.
fn ask(field: &Field) -> Result<String, Failure> {
    let label = field.name().replace(['_', '.'], " ");
    let first = terminal::ask(&format!("{label}: "))?;
    if field.is_new_secret() && first != terminal::ask(&format!("{label}, again: "))? {
        return Err(Failure::Usage("the two passwords differ; nothing was done".into()));
    }
    if first.is_empty() { Err(Failure::Usage(format!("no {label} was typed"))) } else { Ok(first) }
}

fn from_file(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|e| Failure::file(file, e))?;
    opened.take(MAX).read_to_string(&mut text).map_err(|e| Failure::file(file, e))?;
    nonempty(first_line(&text), &file.display().to_string()).map(str::to_owned)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn nonempty<'t>(text: &'t str, place: &str) -> Result<&'t str, Failure> {
    match text {
        "" => Err(Failure::Usage(format!("{place} has no first line to read the secret from"))),
        text => Ok(text),
    }
}
