//! The commands, made from the document.

mod args;
mod composite;
mod globals;

pub use args::{Secret, ids};
pub use composite::{Composite, composite};
pub use globals::Globals;

use crate::document::{Document, Operation};
use clap::{ArgMatches, Command};
use std::collections::BTreeMap;

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 not logged in or not allowed · 4 not found
            5 conflict, or changed meanwhile · 6 the job failed or was taken back, of many accounts some · 7 the panel can't be reached";

/// The whole command line.
pub fn build(document: &Document) -> Command {
    let mut root = Command::new("wcp360")
        .about("Hosting control panel: accounts, domains, packages, jobs")
        .long_about(
            "Hosting control panel: accounts, domains, packages, jobs.\n\n\
             Every command is one operation of the panel's API; see `wcp360 COMMAND --help`.",
        )
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .infer_long_args(false)
        .after_help(EXIT_CODES)
        .args(globals::args());
    let mut groups: BTreeMap<&str, Vec<(String, Command)>> = BTreeMap::new();
    for operation in &document.operations {
        let (group, name) = match operation.words.as_slice() {
            [only] => (only, only),
            [group, .., last] => (group, last),
            [] => continue,
        };
        groups.entry(group).or_default().push((name.clone(), leaf(document, operation, name)));
    }
    for (group, name, command) in composite::commands(document) {
        groups.entry(group).or_default().push((name.to_owned(), command));
    }
    for (group, mut commands) in groups {
        root = match commands.as_slice() {
            [(name, _)] if name == group => root.subcommand(commands.remove(0).1),
            _ => root.subcommand(group_command(document, group, commands)),
        };
    }
    root
}

fn group_command(document: &Document, group: &str, commands: Vec<(String, Command)>) -> Command {
    let visible: Vec<&str> = commands.iter().filter(|(_, c)| !c.is_hide_set()).map(|(name, _)| name.as_str()).collect();
    let about = document.groups.get(group).cloned().unwrap_or_else(|| match visible.as_slice() {
        [only] => commands.iter().find(|(n, _)| n == only).map(|(_, c)| about(c)).unwrap_or_default(),
        several => format!("{} {}", capital(several).join(", "), group),
    });
    Command::new(group.to_owned())
        .about(about)
        .hide(visible.is_empty())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(commands.into_iter().map(|(_, command)| command))
}

fn capital(words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    if let Some(first) = words.first_mut()
        && let Some(start) = first.get_mut(0..1)
    {
        start.make_ascii_uppercase();
    }
    words
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// The command of one operation.
fn leaf(document: &Document, operation: &Operation, name: &str) -> Command {
    let mut command = Command::new(name.to_owned())
        .override_usage(args::usage(operation))
        .about(operation.summary.clone())
        .hide(operation.hidden)
        .args(args::of(document, operation));
    if !operation.description.is_empty() {
        command = command.long_about(format!("{}\n\n{}", operation.summary, operation.description));
    }
    command
}

/// What the user wants done.
pub enum Wanted<'a> {
    /// One operation of the API.
    Operation(&'a Operation, &'a ArgMatches),
    /// A command that is more or less than one operation.
    Composite(Composite, &'a ArgMatches),
}

/// The command that was given.
pub fn wanted<'a>(document: &'a Document, matches: &'a ArgMatches) -> Option<Wanted<'a>> {
    let mut words = Vec::new();
    let mut matches = matches;
    while let Some((word, inner)) = matches.subcommand() {
        words.push(word);
        matches = inner;
    }
    if let Some(composite) = composite(&words) {
        return Some(Wanted::Composite(composite, matches));
    }
    let operation = document.operations.iter().find(|o| o.words == words)?;
    Some(Wanted::Operation(operation, matches))
}
