//! The same records as a table (RFC 4180). Cells that a spreadsheet would take for a formula begin with an apostrophe, which
//! reading takes off again.

use crate::checkpoint::Checkpoint;
use crate::line::{EntryLine, LineError, Record, millis};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::BufRead;

const COLUMNS: [&str; 20] = [
    "kind",
    "seq",
    "at",
    "actor",
    "on_behalf",
    "source",
    "action",
    "target",
    "owner",
    "account",
    "outcome",
    "detail",
    "before",
    "after",
    "request_id",
    "job",
    "previous",
    "hash",
    "key",
    "signature",
];

/// Longer rows are none of ours.
const MAX_ROW: usize = 1024 * 1024;

/// The first row, with the columns' names.
pub(crate) fn header() -> String {
    COLUMNS.join(",") + "\r\n"
}

/// A record as a row, with its line end. A head and an end have their JSON in `detail`. The first row of a file is the
/// columns' names, which this gives for the kind `columns`.
pub fn csv_line<T: Serialize>(kind: &str, value: &T) -> String {
    if kind == "columns" {
        return header();
    }
    let json = serde_json::to_value(value).expect("plain data has a JSON form");
    let mut cells: Vec<String> = Vec::with_capacity(COLUMNS.len());
    for column in COLUMNS {
        let text = match (column, kind) {
            ("kind", _) => kind.to_owned(),
            ("detail", "head" | "end") => json.to_string(),
            (_, "head" | "end") => String::new(),
            _ => match &json[column] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            },
        };
        cells.push(cell(&text));
    }
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'']);
    let safe = if formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) };
    if safe.contains(['"', ',', '\r', '\n', ';']) || formula {
        return format!("\"{}\"", safe.replace('"', "\"\""));
    }
    safe.into_owned()
}

/// Reads rows.
#[derive(Debug)]
pub struct CsvReader<R> {
    input: R,
    row: Vec<u8>,
    cells: Vec<String>,
}

impl<R: BufRead> CsvReader<R> {
    /// A reader of rows.
    pub fn new(input: R) -> Self {
        Self { input, row: Vec::new(), cells: Vec::new() }
    }

    /// The next row's record; `None` at the end, `Some(Ok(None))` for the columns' names.
    ///
    /// # Errors
    /// The outer ones are the input's. The inner ones: the row is none of ours.
    #[allow(clippy::type_complexity)]
    pub fn next_record(&mut self) -> std::io::Result<Option<Result<Option<Record<'_>>, LineError>>> {
        self.row.clear();
        loop {
            let before = self.row.len();
            let read = (&mut self.input).take_line(&mut self.row)?;
            let open = self.row.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            if read == 0 && before == 0 {
                return Ok(None);
            }
            if !open || read == 0 || self.row.len() > MAX_ROW {
                break;
            }
        }
        Ok(Some(self.parse()))
    }

    fn parse(&mut self) -> Result<Option<Record<'_>>, LineError> {
        let bad = |text: &str| LineError(text.to_owned());
        let text = std::str::from_utf8(&self.row).map_err(|_| bad("the row is not text"))?;
        split(text.trim_end_matches(['\r', '\n']), &mut self.cells)?;
        if self.cells == COLUMNS {
            return Ok(None);
        }
        if self.cells.len() != COLUMNS.len() {
            return Err(bad("the row has not the right number of cells"));
        }
        let c: Vec<&str> = self.cells.iter().map(String::as_str).collect();
        let some = |text: &'_ str| Some(text.to_owned()).filter(|text| !text.is_empty()).map(Cow::Owned);
        let must = |text: &'_ str| Cow::Owned(text.to_owned());
        let seq = || c[1].parse::<u64>().map_err(|_| bad("its position is no number"));
        let json = |e: serde_json::Error| LineError(format!("the row can't be read: {e}"));
        Ok(Some(match c[0] {
            "head" => Record::Head(serde_json::from_str(c[11]).map_err(json)?),
            "end" => Record::End(serde_json::from_str(c[11]).map_err(json)?),
            "checkpoint" => Record::Checkpoint(Checkpoint {
                seq: seq()?,
                hash: c[17].to_owned(),
                at: c[2].parse().map_err(|_| bad("its time can't be read"))?,
                key: c[18].to_owned(),
                signature: c[19].to_owned(),
            }),
            "entry" if c[18].is_empty() && c[19].is_empty() => Record::Entry(EntryLine {
                seq: seq()?,
                at: must(c[2]),
                millis: millis(c[2])?,
                actor: must(c[3]),
                on_behalf: some(c[4]),
                source: must(c[5]),
                action: must(c[6]),
                target: some(c[7]),
                owner: some(c[8]),
                account: some(c[9]),
                outcome: must(c[10]),
                detail: some(c[11]),
                before: some(c[12]),
                after: some(c[13]),
                request_id: must(c[14]),
                job: some(c[15]),
                previous: must(c[16]),
                hash: must(c[17]),
                ..EntryLine::default()
            }),
            _ => return Err(bad("there is no such kind of row")),
        }))
    }
}

trait TakeLine {
    fn take_line(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize>;
}

impl<R: BufRead> TakeLine for &mut R {
    fn take_line(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize> {
        std::io::Read::take(&mut **self, MAX_ROW as u64 + 1).read_until(b'\n', into)
    }
}

/// Splits a row into cells.
fn split(row: &str, cells: &mut Vec<String>) -> Result<(), LineError> {
    cells.clear();
    let mut rest = row;
    loop {
        let (mut text, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            let mut remaining = quoted;
            loop {
                let end = remaining.find('"').ok_or_else(|| LineError("a quotation mark is missing".into()))?;
                text.push_str(&remaining[..end]);
                remaining = &remaining[end + 1..];
                match remaining.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        remaining = more;
                    }
                    None => break (text, remaining),
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        if text.starts_with('\'') {
            text.remove(0);
        }
        cells.push(text);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(()),
            None => return Err(LineError("there is something after a quotation mark".into())),
        }
    }
}
