//! The reference of all commands, in Markdown.

use clap::{Arg, Command};
use std::fmt::Write;

/// Writes it, from the tree itself.
pub(crate) fn markdown(root: &Command) -> String {
    let mut page = String::from("## Commands\n\n| command | |\n|---|---|\n");
    let mut commands = Vec::new();
    collect(root, "wcp360", &mut commands);
    for (words, command) in &commands {
        let _ = writeln!(page, "| [`{words}`](#{}) | {} |", words.replace(' ', "-"), about(command));
    }
    page.push_str("\n## Global options\n\n");
    options(&mut page, root.get_arguments());
    for (words, command) in &commands {
        let _ = write!(page, "\n## {words}\n\n{}\n", text(command));
        let usage = (*command).clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let usage = if usage.starts_with("wcp360 ") { usage.to_owned() } else { format!("{words} {}", rest(usage)) };
        let _ = write!(page, "\n```\n{usage}\n```\n");
        if command.get_arguments().any(|arg| !hidden(arg)) {
            page.push('\n');
            options(&mut page, command.get_arguments());
        }
    }
    page
}

/// A usage line without its first word, which is the command's own name.
fn rest(usage: &str) -> &str {
    usage.split_once(' ').map_or("", |(_, rest)| rest)
}

fn collect<'c>(command: &'c Command, words: &str, found: &mut Vec<(String, &'c Command)>) {
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let words = format!("{words} {}", inner.get_name());
        match inner.has_subcommands() {
            true => collect(inner, &words, found),
            false => found.push((words, inner)),
        }
    }
}

fn options<'a>(page: &mut String, args: impl Iterator<Item = &'a Arg>) {
    page.push_str("| option | |\n|---|---|\n");
    for arg in args.filter(|arg| !hidden(arg)) {
        let value = arg.get_value_names().map(|names| names.join(" ")).filter(|_| arg.get_action().takes_values());
        let name = match (arg.get_long(), value) {
            (Some(long), Some(value)) if arg.is_require_equals_set() => format!("--{long}[={value}]"),
            (Some(long), Some(value)) => format!("--{long} {value}"),
            (Some(long), None) => format!("--{long}"),
            (None, value) => value.unwrap_or_default(),
        };
        let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let choices: Vec<String> = arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
        if !choices.is_empty() && !arg.is_hide_possible_values_set() {
            let _ = write!(help, ": {}", choices.join(", "));
        }
        let _ = writeln!(page, "| `{name}` | {} |", help.replace('|', "\\|").replace('<', "&lt;"));
    }
}

fn hidden(arg: &Arg) -> bool {
    arg.is_hide_set() || ["help", "version"].contains(&arg.get_id().as_str())
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn text(command: &Command) -> String {
    command.get_long_about().map_or_else(|| about(command), ToString::to_string)
}
