//! Tables.

use super::cell::{cell, clean, shorten};
use super::style::Style;
use crate::failure::Failure;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::io::Write;
use unicode_width::UnicodeWidthStr;

/// No column is made narrower than this.
const NARROWEST: usize = 8;

/// A table that is written piece by piece: the first piece sets the widths.
pub struct Table {
    columns: Vec<String>,
    widths: Vec<usize>,
    numeric: Vec<bool>,
    style: Style,
    zone: TimeZone,
    started: bool,
}

impl Table {
    /// An empty table; without columns it takes all of its rows.
    pub fn new(columns: &[String], style: Style) -> Self {
        Self {
            columns: columns.to_vec(),
            widths: Vec::new(),
            numeric: Vec::new(),
            style,
            zone: TimeZone::system(),
            started: false,
        }
    }

    /// Writes rows, each line after `indent`.
    ///
    /// # Errors
    /// Standard output does not work.
    pub fn rows(&mut self, out: &mut dyn Write, rows: &[Value], indent: &str) -> Result<(), Failure> {
        if self.columns.is_empty() {
            self.columns = all_columns(rows);
        }
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| self.columns.iter().map(|name| cell(name, &row[name.as_str()], &self.zone)).collect())
            .collect();
        if !self.started {
            self.measure(rows, &cells);
            self.fit(indent.width());
            let heads: Vec<String> = self.columns.iter().map(|name| heading(name)).collect();
            self.line(out, &heads, indent, true)?;
            self.started = true;
        }
        for row in &cells {
            self.line(out, row, indent, false)?;
        }
        Ok(())
    }

    fn measure(&mut self, rows: &[Value], cells: &[Vec<String>]) {
        for (index, name) in self.columns.iter().enumerate() {
            let widest = cells.iter().map(|row| row[index].width()).max().unwrap_or(0);
            self.widths.push(widest.max(heading(name).width()));
            let values = || rows.iter().map(|row| &row[name.as_str()]).filter(|v| !v.is_null());
            self.numeric.push(values().next().is_some() && values().all(Value::is_number));
        }
    }

    /// Makes the widest columns narrower until the lines fit the terminal. The first one stays whole: it is what the next
    /// command needs.
    fn fit(&mut self, indent: usize) {
        let Some(room) = self.style.width().map(|width| width.saturating_sub(indent)) else { return };
        loop {
            let total = self.widths.iter().sum::<usize>() + 2 * self.widths.len().saturating_sub(1);
            let widest = (1..self.widths.len()).filter(|i| !self.numeric[*i]).max_by_key(|i| self.widths[*i]);
            match widest {
                Some(index) if total > room && self.widths[index] > NARROWEST => self.widths[index] -= 1,
                _ => return,
            }
        }
    }

    fn line(&self, out: &mut dyn Write, cells: &[String], indent: &str, head: bool) -> Result<(), Failure> {
        let mut line = indent.to_owned();
        for (index, text) in cells.iter().enumerate() {
            // Without a terminal nothing is cut, and on one, whatever starts a line is not.
            let cut = index > 0 && self.style.width().is_some() && !self.numeric[index];
            let text = &if cut { shorten(text, self.widths[index]) } else { text.clone() };
            let gap = " ".repeat(self.widths[index].saturating_sub(text.width()));
            let shown = match (head, self.columns[index].as_str()) {
                (true, _) => self.style.bold(text),
                (false, "state" | "outcome") => state(self.style, text),
                (false, "ok") if text == "no" => self.style.red(text),
                _ => text.clone(),
            };
            if index > 0 {
                line.push_str("  ");
            }
            match self.numeric[index] {
                true => line.extend([gap.as_str(), &shown]),
                false => line.extend([shown.as_str(), &gap]),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
        Ok(())
    }
}

/// The names of all simple values in `rows`; those that say which row it is come first.
fn all_columns(rows: &[Value]) -> Vec<String> {
    let values = rows.iter().filter_map(Value::as_object).flatten().filter(|(_, value)| !value.is_object());
    let mut columns: Vec<String> = values.map(|(name, _)| name.clone()).collect();
    let place = |name: &String| ["index", "id", "name", "state"].iter().position(|first| first == name).unwrap_or(9);
    columns.sort_by(|a, b| (place(a), a).cmp(&(place(b), b)));
    columns.dedup();
    columns
}

fn heading(name: &str) -> String {
    clean(&name.replace('_', " ").to_uppercase())
}

/// The name of a state, coloured.
pub(super) fn state(style: Style, text: &str) -> String {
    match text {
        "active" | "succeeded" => style.green(text),
        "failed" | "rolled_back" | "refused" => style.red(text),
        "suspended" | "cancelled" | "running" | "waiting" | "provisioning" | "deleting" => style.yellow(text),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn drawn(columns: &[&str], pieces: &[Value]) -> String {
        let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        let mut table = Table::new(&columns, Style::plain());
        let mut out = Vec::new();
        for piece in pieces {
            table.rows(&mut out, piece.as_array().unwrap(), "").unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn on_a_narrow_terminal_lines_fit_and_names_stay_whole() {
        let rows = json!([{ "id": "01931f3e-0000-7000", "state": "active", "detail": "日本 a long story of many words", "n": 12345 }]);
        let drawn = |width: usize| {
            let columns = ["id", "state", "detail", "n"].map(str::to_owned);
            let mut table = Table::new(&columns, Style::plain().within(width));
            let mut out = Vec::new();
            table.rows(&mut out, rows.as_array().unwrap(), "").unwrap();
            String::from_utf8(out).unwrap()
        };
        let line = "01931f3e-0000-7000  active  日本 a long st…  12345\n";
        assert!(drawn(50).ends_with(line), "{}", drawn(50));
        assert!(drawn(50).lines().all(|l| l.width() <= 50));
        assert!(drawn(200).contains("many words"));
        assert!(drawn(10).contains("01931f3e-0000-7000  active  日本 a …  12345"), "{}", drawn(10));
    }

    #[test]
    fn columns_line_up_whatever_the_width_of_characters() {
        let page = json!([{ "name": "日本", "uid": 7, "x": 1 }, { "name": "alice", "uid": 20001 }]);
        let next = json!([{ "name": "bob", "uid": null }]);
        let expected = "NAME     UID\n日本       7\nalice  20001\nbob        -\n";
        assert_eq!(drawn(&["name", "uid"], &[page, next]), expected);
    }
}
