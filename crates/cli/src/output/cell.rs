//! One value in few words.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A value as one line of text.
pub(super) fn cell(name: &str, value: &Value, zone: &TimeZone) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => time(name, text, zone).unwrap_or_else(|| clean(text)),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(|v| cell("", v, zone)).collect::<Vec<_>>().join(", "),
        Value::Object(_) => clean(&value.to_string()),
    }
}

/// A moment, in local time: `2026-11-21 09:05`, or with seconds in logs.
fn time(name: &str, text: &str, zone: &TimeZone) -> Option<String> {
    let format = match name {
        "at" => "%Y-%m-%d %H:%M:%S",
        name if name.ends_with("_at") => "%Y-%m-%d %H:%M",
        _ => return None,
    };
    let moment: Timestamp = text.parse().ok()?;
    Some(moment.to_zoned(zone.clone()).strftime(format).to_string())
}

/// Text without characters that would steer the terminal. A tenant's words must not be able to do that.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => clean.push_str("    "),
            c if c.is_control() || is_direction(c) => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// JSON, with the characters escaped that would steer the terminal and that JSON itself lets pass: it means the same.
pub(super) fn clean_json(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' => clean.push('\n'),
            c if c.is_control() || is_direction(c) => clean.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => clean.push(c),
        }
    }
    clean
}

/// Text in at most `width` columns; what was cut is marked.
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for character in text.chars() {
        if short.width() + character.width().unwrap_or(0) + 1 > width {
            break;
        }
        short.push(character);
    }
    short + "…"
}

/// Text of several lines, without characters that would steer the terminal.
pub(super) fn clean_lines(text: &str) -> String {
    text.split('\n').map(|line| clean(line.trim_end_matches('\r'))).collect::<Vec<_>>().join("\n")
}

/// Characters that change the direction of the text after them.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_short() {
        let show = |name: &str, value: Value| cell(name, &value, &TimeZone::UTC);
        assert_eq!(show("created_at", json!("2026-11-21T09:05:07.123Z")), "2026-11-21 09:05");
        assert_eq!(show("at", json!("2026-11-21T09:05:07Z")), "2026-11-21 09:05:07");
        assert_eq!(show("created_at", json!("never")), "never");
        assert_eq!(show("name", json!("2026-11-21T09:05:07Z")), "2026-11-21T09:05:07Z");
        assert_eq!(show("hosts", json!(["a", "b"])), "a, b");
        assert_eq!(show("uid", json!(null)), "-");
    }

    #[test]
    fn sec_text_can_not_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\r\nc\u{202e}"), "a\\u{1b}[31mb\\r\\nc\\u{202e}");
        assert_eq!(clean("Zürich 日本 ✓"), "Zürich 日本 ✓");
        assert_eq!(clean_lines("a\x1b[2J\r\nb\n"), "a\\u{1b}[2J\nb\n");
        let value = json!({ "a\u{9b}2J": ["\u{7f}\u{202e}", "\x1b", "Zürich"] });
        let shown = clean_json(&format!("{value:#}"));
        assert!(!shown.contains(['\u{9b}', '\u{7f}', '\u{202e}', '\x1b']), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
