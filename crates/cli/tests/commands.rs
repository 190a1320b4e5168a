//! The commands are the API's operations, no more and no less (API-02).

#![allow(clippy::unwrap_used)]

use clap::{ArgMatches, Command};
use std::collections::BTreeSet;
use wcp360_cli::document::{Document, Field, Kind, Operation, is_secret};
use wcp360_cli::tree::{self, Wanted};

/// Commands that are not exactly one operation.
const COMPOSITE: [&str; 5] = ["jobs watch", "bulk watch", "admin create", "completion", "reference"];

fn document() -> Document {
    Document::parse(&wcp360_api::openapi::document()).unwrap()
}

/// All commands without subcommands, with their words.
fn leaves<'c>(command: &'c Command, words: &str, found: &mut Vec<(String, &'c Command)>) {
    for inner in command.get_subcommands() {
        let words = format!("{words} {}", inner.get_name()).trim().to_owned();
        match inner.has_subcommands() {
            true => leaves(inner, &words, found),
            false => found.push((words, inner)),
        }
    }
}

/// What clap makes of `args`, and which operation that is.
fn parse(document: &Document, args: &[String]) -> Result<(String, ArgMatches), clap::Error> {
    let all = ["wcp360".to_owned()].into_iter().chain(args.iter().cloned());
    let matches = tree::build(document).try_get_matches_from(all)?;
    let id = match tree::wanted(document, &matches) {
        Some(Wanted::Operation(operation, _)) => operation.id.clone(),
        _ => "composite".to_owned(),
    };
    Ok((id, matches))
}

/// A value that a field takes.
fn sample(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Integer { min, .. } => (*min).max(1).to_string(),
        Kind::Boolean => "true".into(),
        Kind::Choice(choices) => choices[0].0.clone(),
        Kind::List(inner) => sample(inner),
        Kind::Json => "{}".into(),
    }
}

fn flag(field: &Field) -> String {
    format!("--{}={}", field.flag(), sample(&field.kind))
}

/// The shortest command line of an operation.
fn shortest(operation: &Operation) -> Vec<String> {
    let mut args = operation.words.clone();
    args.extend(operation.path_parameters.iter().map(|_| "name".to_owned()));
    let body = operation.body.as_deref().unwrap_or_default();
    for name in &operation.positional {
        let field = body.iter().find(|f| f.name() == *name).unwrap();
        args.push(sample(&field.kind));
    }
    for field in body.iter().filter(|f| operation.needs(f) && !f.is_secret()) {
        if !operation.positional.contains(&field.name()) {
            args.push(flag(field));
        }
    }
    args.extend(operation.query.iter().filter(|q| q.required).map(flag));
    args
}

#[test]
fn the_tree_is_sound() {
    tree::build(&document()).debug_assert();
    tree::build(&Document::embedded().unwrap()).debug_assert();
}

#[test]
fn api_02_the_embedded_document_is_the_api() {
    let embedded: serde_json::Value = serde_json::from_str(include_str!("../../../openapi/wcp360.json")).unwrap();
    assert!(embedded == wcp360_api::openapi::document(), "run `cargo xtask openapi`");
}

#[test]
fn api_02_every_operation_is_one_command() {
    let document = document();
    let reachable: BTreeSet<String> = document
        .operations
        .iter()
        .map(|o| parse(&document, &shortest(o)).unwrap_or_else(|e| panic!("{}: {e}", o.id)).0)
        .collect();
    let operations: BTreeSet<String> = wcp360_api::operations().iter().map(|o| o.id.to_owned()).collect();
    assert_eq!(reachable, operations);

    let tree = tree::build(&document);
    let mut commands = Vec::new();
    leaves(&tree, "", &mut commands);
    let commands: BTreeSet<String> = commands.into_iter().map(|(words, _)| words).collect();
    let expected: BTreeSet<String> = document
        .operations
        .iter()
        .map(|o| o.words.join(" "))
        .chain(COMPOSITE.iter().map(|words| (*words).to_owned()))
        .collect();
    assert_eq!(commands, expected);
}

#[test]
fn api_02_every_field_can_be_given() {
    let document = document();
    for operation in &document.operations {
        let body = operation.body.as_deref().unwrap_or_default();
        for field in body.iter().chain(&operation.query) {
            if operation.positional.contains(&field.name()) {
                continue;
            }
            let mut args = shortest(operation);
            let given = match field.is_secret() {
                true => format!("--{}-file=/dev/null", field.flag()),
                false => flag(field),
            };
            args.retain(|a| *a != given);
            args.push(given);
            let id = parse(&document, &args).unwrap_or_else(|e| panic!("{args:?}: {e}")).0;
            assert_eq!(id, operation.id);
        }
        for header in [("--if-match", &operation.if_match), ("--idempotency-key", &operation.idempotency_key)] {
            let mut args = shortest(operation);
            args.extend([header.0.to_owned(), "x".to_owned()]);
            assert_eq!(parse(&document, &args).is_ok(), header.1.is_some(), "{args:?}");
        }
    }
}

#[test]
fn plt_05_no_secret_on_the_command_line() {
    let document = document();
    for operation in &document.operations {
        for field in operation.body.iter().flatten().filter(|f| f.is_secret()) {
            assert!(!operation.positional.contains(&field.name()), "{}", operation.id);
            for arg in [
                format!("--{}=hunter2", field.flag()),
                format!("--{}-stdin=hunter2", field.flag()),
                format!("--{}-prompt=hunter2", field.flag()),
                format!("--{}=hunter2", field.name()),
            ] {
                let mut args = shortest(operation);
                args.push(arg.clone());
                assert!(parse(&document, &args).is_err(), "{}: {arg} is taken", operation.id);
            }
        }
    }
    // Nor under a name that nobody thought of: what sounds like a secret takes a file, or nothing.
    let tree = tree::build(&document);
    let mut commands = Vec::new();
    leaves(&tree, "", &mut commands);
    for (words, command) in commands {
        for arg in command.get_arguments().chain(tree.get_arguments()) {
            let name = arg.get_long().unwrap_or_default().replace('-', "_");
            let sounds = ["password", "secret", "token", "passphrase", "credential"].iter().any(|s| name.contains(s))
                || is_secret(&name);
            let is_file = arg.get_value_names().is_some_and(|v| v.len() == 1 && v[0] == "FILE");
            assert!(!sounds || is_file || !arg.get_action().takes_values(), "{words}: --{name}");
        }
    }
}

#[test]
fn every_command_says_what_it_does() {
    let tree = tree::build(&document());
    let mut commands = Vec::new();
    leaves(&tree, "", &mut commands);
    for (words, command) in commands {
        assert!(command.get_about().is_some_and(|a| !a.to_string().is_empty()), "{words}");
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some_and(|h| !h.to_string().is_empty()), "{words}: {}", arg.get_id());
        }
    }
}
