//! Verifying a file.

use crate::csv::CsvReader;
use crate::line::parse_line;
use crate::verify::Verifier;
use std::io::{BufRead, Read};
use std::time::Instant;
use wcp360_types::api::audit::AuditVerification;

/// Longer lines are none of ours.
const MAX_LINE: usize = 1024 * 1024;

/// A file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FileError(#[from] std::io::Error);

impl From<FileError> for std::io::Error {
    fn from(error: FileError) -> Self {
        error.0
    }
}

/// Verifies an export or an `audit.json`, as JSON lines or as a table, one line at a time.
///
/// # Errors
/// It can't be read.
pub fn verify_file(mut input: impl BufRead, mut verifier: Verifier) -> Result<AuditVerification, FileError> {
    let began = Instant::now();
    let is_table = input.fill_buf()?.first().is_some_and(|first| *first == b'k');
    if is_table {
        table(input, &mut verifier)?;
    } else {
        lines(input, &mut verifier)?;
    }
    let mut found = verifier.finish();
    found.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(found)
}

fn lines(mut input: impl BufRead, verifier: &mut Verifier) -> Result<(), FileError> {
    let mut line = Vec::new();
    let mut number = 0u64;
    while !verifier.is_decided() {
        line.clear();
        number += 1;
        if input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = std::str::from_utf8(&line).map(str::trim_end);
        let place = || format!("line {number}");
        match text.map(|text| (text, parse_line(text))) {
            Ok(("", _)) => {}
            Ok((_, Ok(record))) => verifier.record(&record),
            Ok((_, Err(error))) => verifier.unreadable(&place(), &error.to_string()),
            Err(_) => verifier.unreadable(&place(), "it is not text"),
        }
    }
    Ok(())
}

fn table(input: impl BufRead, verifier: &mut Verifier) -> Result<(), FileError> {
    let mut reader = CsvReader::new(input);
    let mut number = 0u64;
    while !verifier.is_decided() {
        number += 1;
        match reader.next_record()? {
            None => return Ok(()),
            Some(Ok(Some(record))) => verifier.record(&record),
            Some(Ok(None)) => {}
            Some(Err(error)) => verifier.unreadable(&format!("row {number}"), &error.to_string()),
        }
    }
    Ok(())
}
