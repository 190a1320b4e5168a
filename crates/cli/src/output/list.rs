//! Lists, printed as their pages come.

use super::cell::clean_json;
use super::style::Style;
use super::table::Table;
use crate::failure::Failure;
use serde_json::Value;
use std::io::Write;

/// A list that is being printed.
pub struct List {
    json: bool,
    table: Table,
    count: usize,
}

impl List {
    /// A list with these columns; as JSON it is one object, shaped like a page of the API.
    pub fn new(json: bool, columns: &[String], style: Style) -> Self {
        Self { json, table: Table::new(columns, style), count: 0 }
    }

    /// Prints entries.
    ///
    /// # Errors
    /// Standard output does not work.
    pub fn rows(&mut self, out: &mut dyn Write, rows: &[Value]) -> Result<(), Failure> {
        if self.json {
            for row in rows {
                let before = if self.count == 0 { "{\n  \"items\": [\n" } else { ",\n" };
                write!(out, "{before}    {}", clean_json(&row.to_string()))?;
                self.count += 1;
            }
        } else if !rows.is_empty() {
            self.table.rows(out, rows, "")?;
            self.count += rows.len();
        }
        out.flush()?;
        Ok(())
    }

    /// Ends the list; `next` is where it would go on.
    ///
    /// # Errors
    /// Standard output does not work.
    pub fn end(self, out: &mut dyn Write, next: Option<&str>) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let close = if self.count == 0 { "{\n  \"items\": []" } else { "\n  ]" };
        match next {
            Some(cursor) => writeln!(out, "{close},\n  \"next_cursor\": {}\n}}", Value::from(cursor))?,
            None => writeln!(out, "{close}\n}}")?,
        }
        Ok(())
    }

    /// How many entries there were.
    pub fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_lists_are_one_document_however_many_pages() {
        for (pages, next) in [(vec![], None), (vec![json!([1])], Some("c")), (vec![json!([1, 2]), json!([3])], None)] {
            let mut out = Vec::new();
            let mut list = List::new(true, &[], Style::plain());
            for page in &pages {
                list.rows(&mut out, page.as_array().unwrap()).unwrap();
            }
            list.end(&mut out, next).unwrap();
            let read: Value = serde_json::from_slice(&out).unwrap();
            let all: Vec<Value> = pages.iter().flat_map(|p| p.as_array().unwrap().clone()).collect();
            assert_eq!(read["items"], json!(all));
            assert_eq!(read.get("next_cursor").and_then(Value::as_str), next);
        }
    }
}
