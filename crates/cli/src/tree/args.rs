//! The arguments of one operation's command.

use crate::audit;
use crate::document::{Document, Field, Kind, Operation};
use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, value_parser};
use std::path::PathBuf;

/// Names under which arguments are found again.
pub mod ids {
    /// The body from a file.
    pub const FROM_JSON: &str = "from-json";
    /// Keep what is not given.
    pub const KEEP: &str = "keep";
    /// Only if the revision is this.
    pub const IF_MATCH: &str = "if-match";
    /// The key of a request that may be repeated.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// Whether all pages are wanted.
    pub const ALL: &str = "all";
    /// Where a token that is shown once is kept.
    pub const SAVE_TOKEN: &str = "save-token";

    /// A parameter of the path.
    pub fn path(name: &str) -> String {
        format!("path.{name}")
    }
    /// A query parameter.
    pub fn query(name: &str) -> String {
        format!("query.{name}")
    }
    /// A field of the body.
    pub fn body(name: &str) -> String {
        format!("body.{name}")
    }
}

/// The ways in which a secret can be given.
pub struct Secret {
    /// Read its first line.
    pub file: String,
    /// Read standard input's first line.
    pub stdin: String,
    /// Ask at the terminal, although it is not required.
    pub prompt: String,
}

impl Secret {
    /// The flags of a secret field.
    pub fn of(field: &Field) -> Self {
        let flag = field.flag();
        Self { file: format!("{flag}-file"), stdin: format!("{flag}-stdin"), prompt: format!("{flag}-prompt") }
    }
}

/// All arguments of an operation.
pub(super) fn of(document: &Document, operation: &Operation) -> Vec<Arg> {
    let mut args: Vec<Arg> = operation
        .path_parameters
        .iter()
        .map(|name| {
            Arg::new(ids::path(name)).value_name(name.to_uppercase()).required(true).help(path_help(operation, name))
        })
        .collect();
    let body = operation.body.as_deref().unwrap_or_default();
    for name in &operation.positional {
        if let Some(field) = body.iter().find(|f| f.name() == *name) {
            let arg = valued(Arg::new(ids::body(name)), field).value_name(name.to_uppercase());
            args.push(required(arg, field));
        }
    }
    let mut flags: Vec<&Field> = body.iter().filter(|f| !operation.positional.contains(&f.name())).collect();
    flags.sort_by_key(|field| !operation.needs(field));
    for field in flags {
        if field.is_secret() {
            args.extend(secret(field));
        } else {
            let arg = valued(Arg::new(ids::body(&field.name())).long(field.flag()), field);
            args.push(if operation.needs(field) { required(arg, field) } else { arg });
        }
    }
    if operation.body.is_some() {
        args.push(from_json());
    }
    if operation.keeps_from(document).is_some() {
        let help = "Keep what is not given here as it is now; without it, it gets its default";
        args.push(Arg::new(ids::KEEP).long(ids::KEEP).action(ArgAction::SetTrue).help(help));
    }
    for field in &operation.query {
        let arg = valued(Arg::new(ids::query(&field.name())).long(field.flag()), field);
        args.push(arg.required(field.required));
    }
    args.extend(special(operation));
    args
}

/// How a command is called. Ours, because clap calls everything optional that `--from-json` can stand for.
pub(super) fn usage(operation: &Operation) -> String {
    let body = operation.body.as_deref().unwrap_or_default();
    let mut words = vec!["wcp360".to_owned()];
    words.extend(operation.words.iter().cloned());
    for field in body.iter().filter(|f| operation.needs(f) && !operation.positional.contains(&f.name())) {
        if !field.is_secret() {
            words.push(format!("--{} <{}>", field.flag(), field.placeholder));
        }
    }
    for name in operation.path_parameters.iter().chain(&operation.positional) {
        words.push(format!("<{}>", name.to_uppercase()));
    }
    words.push("[OPTIONS]".to_owned());
    words.join(" ")
}

fn path_help(operation: &Operation, name: &str) -> String {
    // `/jobs/{job}` names a job by its id, `/accounts/{account}` an account by its name.
    match operation.path.contains("/jobs/") || operation.path.contains("/tokens/") {
        true => format!("Id of the {}, as lists show it", name.replace('_', " ")),
        false => format!("Name of the {}", name.replace('_', " ")),
    }
}

fn required(arg: Arg, field: &Field) -> Arg {
    if field.required { arg.required_unless_present(ids::FROM_JSON) } else { arg }
}

fn from_json() -> Arg {
    Arg::new(ids::FROM_JSON)
        .long(ids::FROM_JSON)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(clap::ValueHint::FilePath)
        .help("Take the whole request from a JSON file (- is standard input); other flags change it")
}

/// Arguments that come with headers, lists and tokens.
fn special(operation: &Operation) -> Vec<Arg> {
    let mut args = Vec::new();
    if operation.is_paged() {
        args.push(
            Arg::new(ids::ALL)
                .long(ids::ALL)
                .value_name("BOOL")
                .value_parser(value_parser!(bool))
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .help("Fetch every page; --all=false fetches one [default: true]"),
        );
    }
    if audit::is_verify(operation) {
        args.extend(audit::args());
    }
    if let Some(help) = &operation.if_match {
        args.push(
            Arg::new(ids::IF_MATCH)
                .long(ids::IF_MATCH)
                .value_name("REVISION")
                .help(help.trim_end_matches('.').to_owned()),
        );
    }
    if let Some(help) = &operation.idempotency_key {
        let help = format!("{} [default: a random one]", help.trim_end_matches('.'));
        args.push(Arg::new(ids::IDEMPOTENCY_KEY).long(ids::IDEMPOTENCY_KEY).value_name("KEY").help(help));
    }
    if operation.token_field().is_some() {
        args.push(
            Arg::new(ids::SAVE_TOKEN)
                .long(ids::SAVE_TOKEN)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(clap::ValueHint::FilePath)
                .help("Write the token to this file, readable by you alone, instead of printing it"),
        );
    }
    args
}

fn secret(field: &Field) -> Vec<Arg> {
    let Secret { file, stdin, prompt } = Secret::of(field);
    let what = field.help.trim_end_matches('.');
    let asked = if field.required { "; asked for at a terminal" } else { "" };
    let mut args = vec![
        Arg::new(file.clone())
            .long(file.clone())
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .value_hint(clap::ValueHint::FilePath)
            .conflicts_with_all([&stdin, &prompt])
            .help(format!("{what}: the first line of this file{asked}")),
        Arg::new(stdin.clone())
            .long(stdin)
            .action(ArgAction::SetTrue)
            .conflicts_with(&prompt)
            .help("The same, from the first line of standard input"),
    ];
    args.push(
        Arg::new(prompt.clone())
            .long(prompt)
            .action(ArgAction::SetTrue)
            .hide(field.required)
            .help("The same, asked for at the terminal"),
    );
    args
}

/// An argument that takes a field's value.
fn valued(arg: Arg, field: &Field) -> Arg {
    let arg = arg.value_name(field.placeholder.clone()).help(field.help.trim_end_matches('.').to_owned());
    match &field.kind {
        Kind::Boolean => arg
            .value_parser(value_parser!(bool))
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true),
        Kind::Integer { .. } => arg.value_parser(integer(field)).allow_hyphen_values(true),
        Kind::Choice(choices) => arg.value_parser(possible(choices)),
        Kind::List(inner) => {
            let arg = match inner.as_ref() {
                Kind::Choice(choices) => arg.value_parser(possible(choices)),
                _ => arg,
            };
            arg.action(ArgAction::Append).value_delimiter(',')
        }
        Kind::Text | Kind::Json => arg,
    }
}

fn possible(choices: &[(String, String)]) -> clap::builder::PossibleValuesParser {
    let values = choices.iter().map(|(word, meaning)| {
        let value = PossibleValue::new(word.clone());
        if meaning.is_empty() { value } else { value.help(meaning.clone()) }
    });
    values.collect::<Vec<_>>().into()
}

/// Whole numbers stay text, checked, so that `none` can stand for `null` where that is allowed.
fn integer(field: &Field) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    let (kind, nullable) = (field.kind.clone(), field.nullable);
    move |text: &str| {
        let Kind::Integer { min, max } = kind else { return Ok(text.to_owned()) };
        if nullable && text == "none" {
            return Ok(text.to_owned());
        }
        let range = || match max {
            u64::MAX => format!("a whole number from {min}"),
            max => format!("a whole number from {min} to {max}"),
        };
        match text.parse::<i128>() {
            Ok(number) if number >= min.into() && number <= max.into() => Ok(number.to_string()),
            _ => Err(format!("give {}{}", range(), if nullable { ", or none" } else { "" })),
        }
    }
}
