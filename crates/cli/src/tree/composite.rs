//! The few commands that are not exactly one operation.

use super::args;
use crate::document::Document;
use clap::{Arg, Command, value_parser};
use clap_complete::Shell;

/// A command that is more or less than one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Composite {
    /// `jobs watch`: follows a job to its end.
    JobsWatch,
    /// `bulk watch`: follows a change of many accounts to its end.
    BulkWatch,
    /// `admin create`: `users create --role admin` in other words (PLT-04).
    AdminCreate,
    /// `completion`: a script for the shell.
    Completion,
    /// `reference`: all commands, in Markdown.
    Reference,
}

/// The composite command with these words.
pub fn composite(words: &[&str]) -> Option<Composite> {
    match words {
        ["jobs", "watch"] => Some(Composite::JobsWatch),
        ["bulk", "watch"] => Some(Composite::BulkWatch),
        ["admin", "create"] => Some(Composite::AdminCreate),
        ["completion"] => Some(Composite::Completion),
        ["reference"] => Some(Composite::Reference),
        _ => None,
    }
}

/// Their commands, each with its group and name.
pub(super) fn commands(document: &Document) -> Vec<(&'static str, &'static str, Command)> {
    let watch = Command::new("watch")
        .about("Follow a job to its end")
        .long_about("Follow a job to its end\n\nPrints its log as it grows; the exit code says how it ended.")
        .arg(Arg::new("path.job").value_name("JOB").required(true).help("Id of the job, as lists show it"));
    let watch_bulk = Command::new("watch")
        .about("Follow a change of many accounts to its end")
        .long_about(
            "Follow a change of many accounts to its end\n\nNames the accounts that were not changed; the exit code says whether \
             there were any.",
        )
        .arg(Arg::new("path.bulk").value_name("BULK").required(true).help("Id of the change, as lists show it"));
    let completion = Command::new("completion")
        .about("Print a completion script for a shell")
        .long_about(
            "Print a completion script for a shell\n\nFor bash: wcp360 completion bash > \
             /etc/bash_completion.d/wcp360",
        )
        .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell)).help("The shell"));
    let reference = Command::new("reference").about("Print the reference of all commands, in Markdown");
    let mut commands = vec![
        ("jobs", "watch", watch),
        ("bulk", "watch", watch_bulk),
        ("completion", "completion", completion),
        ("reference", "reference", reference),
    ];
    if let Some(create) = document.find("users.create") {
        let args = args::of(document, create).into_iter().filter(|arg| arg.get_id() != "body.role");
        let command = Command::new("create")
            .about("Create an administrator")
            .long_about("Create an administrator\n\nThe same as `wcp360 users create NAME --role admin`.")
            .args(args);
        commands.push(("admin", "create", command));
    }
    commands
}
