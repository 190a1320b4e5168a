//! `audit verify --file`: verifies an export or an `audit.json` on any machine, without a panel (SEC-06).

use crate::document::Operation;
use crate::failure::Failure;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use wcp360_audit_chain::{PublicKey, Verifier, verify_file};

const FILE: &str = "file";
const KEY: &str = "key";
const EXPECT_LAST: &str = "expect-last";

/// Larger steps than usual: files are long.
const STEP: usize = 256 * 1024;

/// Whether this operation can be done without a panel.
pub(crate) fn is_verify(operation: &Operation) -> bool {
    operation.id == "audit.verify"
}

/// What that takes.
pub(crate) fn args() -> [Arg; 3] {
    [
        Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .value_hint(clap::ValueHint::FilePath)
            .help("Verify this export or audit.json instead of the panel's database (- is standard input)"),
        Arg::new(KEY)
            .long(KEY)
            .value_name("KEY")
            .action(ArgAction::Append)
            .requires(FILE)
            .help("Trust this public key, or the keys in this file, instead of those that FILE names itself"),
        Arg::new(EXPECT_LAST)
            .long(EXPECT_LAST)
            .value_name("SEQ")
            .value_parser(value_parser!(u64))
            .requires(FILE)
            .help("The trail is known to have reached this entry"),
    ]
}

/// Verifies a file, if one was given.
///
/// # Errors
/// It, or a key, can't be read.
pub(crate) fn verify(matches: &ArgMatches) -> Result<Option<Value>, Failure> {
    let Some(path) = matches.get_one::<PathBuf>(FILE) else { return Ok(None) };
    let mut keys = Vec::new();
    for text in matches.get_many::<String>(KEY).into_iter().flatten() {
        keys.extend(keys_of(text)?);
    }
    let mut verifier = Verifier::new(keys);
    if let Some(last) = matches.get_one::<u64>(EXPECT_LAST) {
        verifier.expect_last(*last);
    }
    let input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(path).map_err(|e| Failure::file(path, e))?),
    };
    let found = verify_file(BufReader::with_capacity(STEP, input), verifier);
    let found = found.map_err(|error| Failure::file(path, std::io::Error::from(error)))?;
    Ok(Some(serde_json::to_value(&found).expect("plain data has a JSON form")))
}

/// The key that is given, or those in the file of this name: one per line, or what `wcp360 --json audit key` printed.
fn keys_of(given: &str) -> Result<Vec<PublicKey>, Failure> {
    if let Ok(key) = given.parse() {
        return Ok(vec![key]);
    }
    let path = Path::new(given);
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(1024 * 1024).read_to_string(&mut text));
    opened.map_err(|e| Failure::file(path, e))?;
    let named =
        serde_json::from_str::<Value>(&text).ok().and_then(|shown| shown["public_key"].as_str().map(str::to_owned));
    let keys: Result<Vec<PublicKey>, _> =
        named.as_deref().unwrap_or(&text).lines().filter(|line| !line.trim().is_empty()).map(str::parse).collect();
    keys.map_err(|error| Failure::Content { path: path.to_owned(), reason: error.to_string() })
}
