//! Reading columns into types; what does not parse is named, not guessed.

use crate::StoreError;
use crate::db::{Row, Value};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;

/// A row with the name of its table, for errors.
pub(crate) struct Columns<'a> {
    pub(crate) table: &'static str,
    pub(crate) row: &'a Row,
}

impl Columns<'_> {
    pub(crate) fn corrupt(&self, column: &str, reason: impl Display) -> StoreError {
        let row = match self.row.values.first() {
            Some(Value::Text(key)) => key.clone(),
            Some(Value::Integer(key)) => key.to_string(),
            _ => String::new(),
        };
        StoreError::Corrupt { table: self.table, row, reason: format!("column {column}: {reason}") }
    }

    fn value(&self, column: &str) -> Result<&Value, StoreError> {
        self.row.value(column).ok_or_else(|| self.corrupt(column, "it is missing"))
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.maybe_text(column)?.ok_or_else(|| self.corrupt(column, "it is empty"))
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Integer(_) => Err(self.corrupt(column, "a number where there should be text")),
        }
    }

    pub(crate) fn number(&self, column: &str) -> Result<i64, StoreError> {
        self.maybe_number(column)?.ok_or_else(|| self.corrupt(column, "it is empty"))
    }

    pub(crate) fn maybe_number(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(*number)),
            Value::Text(_) => Err(self.corrupt(column, "text where there should be a number")),
        }
    }

    pub(crate) fn count(&self, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(column)?).map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn parsed<T: FromStr>(&self, column: &str) -> Result<T, StoreError>
    where
        T::Err: Display,
    {
        self.text(column)?.parse().map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn maybe_parsed<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        T::Err: Display,
    {
        self.maybe_text(column)?.map(|text| text.parse()).transpose().map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?.map(|t| serde_json::from_str(&t)).transpose().map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(self.number(column)?).map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let number = self.maybe_number(column)?;
        number.map(Timestamp::from_millisecond).transpose().map_err(|e| self.corrupt(column, e))
    }
}

/// Names the table that rows come from.
pub(crate) fn columns<'a>(table: &'static str, row: &'a Row) -> Columns<'a> {
    Columns { table, row }
}

/// Plain data as JSON text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}

/// Makes a page of `limit` entries out of up to `limit + 1` rows, with a cursor if there are more.
pub(crate) fn page<T>(
    mut items: Vec<T>,
    limit: u32,
    cursor_of: impl Fn(&T) -> String,
) -> wcp360_types::api::page::Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = if more { items.last().map(|last| encode_cursor(&cursor_of(last))) } else { None };
    wcp360_types::api::page::Page { items, next_cursor }
}

/// Cursors are opaque to callers, so that nobody builds one.
pub(crate) fn encode_cursor(key: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key)
}

/// The key inside a cursor; `None` if it is not one of ours.
pub(crate) fn decode_cursor(cursor: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).ok()?;
    String::from_utf8(bytes).ok()
}
