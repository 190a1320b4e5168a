//! One thing with everything about it.

use super::cell::{cell, clean, clean_lines};
use super::plan;
use super::style::Style;
use super::table::{Table, state};
use crate::failure::Failure;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::io::Write;
use unicode_width::UnicodeWidthStr;
use wcp360_types::plan::Plan;

/// Prints a thing as `key: value`, those named in `columns` first, then what lies inside it.
///
/// # Errors
/// Standard output does not work.
pub fn detail(out: &mut dyn Write, value: &Value, columns: &[String], style: Style) -> Result<(), Failure> {
    match value {
        Value::Object(object) => level(out, object, columns, style, ""),
        Value::String(text) => Ok(write!(out, "{}", clean_lines(text))?),
        Value::Null => Ok(()),
        other => Ok(writeln!(out, "{}", cell("", other, &TimeZone::system()))?),
    }
}

fn level(
    out: &mut dyn Write,
    object: &Map<String, Value>,
    columns: &[String],
    style: Style,
    indent: &str,
) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let place = |name: &str| columns.iter().position(|c| c == name).unwrap_or(columns.len());
    let mut entries: Vec<(&String, &Value)> = object.iter().collect();
    entries.sort_by_key(|(name, _)| place(name));
    let (deep, flat): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, value)| is_deep(value));
    // Names may be somebody's words too, as in a map.
    let title = |name: &str| clean(&name.replace('_', " "));
    let width = flat.iter().map(|(name, _)| title(name).width()).max().unwrap_or(0);
    for (name, value) in flat {
        let mut text = cell(name, value, &zone);
        if name == "state" {
            text = state(style, &text);
        }
        let name = title(name);
        writeln!(out, "{indent}{}{} {text}", style.bold(&format!("{name}:")), " ".repeat(width - name.width()))?;
    }
    for (name, value) in deep {
        writeln!(out, "{indent}{}", style.bold(&format!("{}:", title(name))))?;
        let inner = format!("{indent}  ");
        match value {
            Value::Array(rows) => Table::new(matching(columns, rows), style).rows(out, rows, &inner)?,
            Value::Object(object) => match serde_json::from_value::<Plan>(value.clone()) {
                Ok(applied) => plan::resources(out, &applied, style, &inner)?,
                Err(_) => level(out, object, &[], style, &inner)?,
            },
            _ => {}
        }
    }
    Ok(())
}

/// Whether a value needs lines of its own.
fn is_deep(value: &Value) -> bool {
    match value {
        Value::Object(object) => !object.is_empty(),
        Value::Array(values) => values.first().is_some_and(Value::is_object),
        _ => false,
    }
}

/// The columns, if they are those of these rows.
fn matching<'c>(columns: &'c [String], rows: &[Value]) -> &'c [String] {
    let fits = columns.iter().all(|name| rows.iter().any(|row| row.get(name).is_some()));
    if fits { columns } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_things_are_indented_and_lists_are_tables() {
        let thing = json!({ "b": 1, "first_one": "x", "inner": { "on": true },
                            "parts": [{ "name": "nginx", "ok": false }], "none": [] });
        let mut out = Vec::new();
        detail(&mut out, &thing, &["first_one".into()], Style::plain()).unwrap();
        let expected =
            "first one: x\nb:         1\nnone:      -\ninner:\n  on: yes\nparts:\n  NAME   OK\n  nginx  no\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
