//! From arguments to a request.

mod secret;
mod terminal;
mod value;

use crate::document::{Field, Operation};
use crate::failure::Failure;
use crate::tree::ids;
use clap::ArgMatches;
use secret::Secrets;
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;

/// A request, not yet sent.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path below the server's base, with the query.
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Option<Value>,
    /// Whether to say who is asking.
    pub needs_login: bool,
}

/// The request that an operation's arguments ask for.
///
/// # Errors
/// Usage, or a file that can't be read.
pub fn request(operation: &Operation, matches: &ArgMatches) -> Result<Request, Failure> {
    let mut request = Request {
        method: operation.method.clone(),
        path: path(operation, matches)?,
        query: query(operation, matches)?,
        headers: Vec::new(),
        body: None,
        needs_login: operation.needs_login,
    };
    if operation.if_match.is_some()
        && let Some(revision) = matches.get_one::<String>(ids::IF_MATCH)
    {
        request.headers.push(("If-Match", format!("\"{}\"", revision.trim_matches('"'))));
    }
    if operation.idempotency_key.is_some() {
        let key = matches.get_one::<String>(ids::IDEMPOTENCY_KEY).cloned();
        request.headers.push(("Idempotency-Key", key.map_or_else(random_hex::<16>, Ok)?));
    }
    if let Some(fields) = &operation.body {
        request.body = Some(body(operation, fields, matches)?);
    }
    Ok(request)
}

/// The value of an argument, if this command has it and it was given.
pub fn given<'m, T: Clone + Send + Sync + 'static>(matches: &'m ArgMatches, id: &str) -> Option<&'m T> {
    matches.try_get_one::<T>(id).ok().flatten()
}

fn path(operation: &Operation, matches: &ArgMatches) -> Result<String, Failure> {
    let mut path = operation.path.clone();
    for name in &operation.path_parameters {
        let value = given::<String>(matches, &ids::path(name)).cloned().unwrap_or_default();
        path = path.replace(&format!("{{{name}}}"), &segment(name, &value)?);
    }
    Ok(path)
}

/// One segment of a path; it can't become none, or several.
fn segment(name: &str, value: &str) -> Result<String, Failure> {
    match value {
        "" | "." | ".." => Err(Failure::Usage(format!("{value:?} can't be the name of a {name}"))),
        value => Ok(encode(value)),
    }
}

/// Percent-encoding of all but unreserved characters (RFC 3986).
pub fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn query(operation: &Operation, matches: &ArgMatches) -> Result<Vec<(String, String)>, Failure> {
    let mut query = Vec::new();
    for field in &operation.query {
        match value::of(field, matches, &ids::query(&field.name()))? {
            Some(Value::String(text)) => query.push((field.name(), text)),
            Some(other) => query.push((field.name(), other.to_string())),
            None => {}
        }
    }
    Ok(query)
}

/// `N` random bytes, hexadecimal: something that nobody else has.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|e| Failure::Terminal(std::io::Error::other(e.to_string())))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn body(operation: &Operation, fields: &[Field], matches: &ArgMatches) -> Result<Value, Failure> {
    let mut secrets = Secrets::default();
    let mut body = match given::<std::path::PathBuf>(matches, ids::FROM_JSON) {
        Some(file) => from_json(file, &mut secrets)?,
        None => Value::Object(Map::new()),
    };
    for field in fields {
        let value = match field.is_secret() {
            true => secrets.of(field, matches, !has(&body, &field.path))?.map(Value::String),
            false => value::of(field, matches, &ids::body(&field.name()))?,
        };
        if let Some(value) = value {
            put(&mut body, &field.path, value);
        } else if operation.named_by_path(field)
            && !has(&body, &field.path)
            && let Some(name) = operation.path_parameters.last()
        {
            let name = given::<String>(matches, &ids::path(name)).cloned().unwrap_or_default();
            put(&mut body, &field.path, name.into());
        }
    }
    Ok(body)
}

fn from_json(file: &Path, secrets: &mut Secrets) -> Result<Value, Failure> {
    let mut text = String::new();
    if file == Path::new("-") {
        secrets.take_stdin("--from-json -")?;
        std::io::stdin().lock().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?;
    }
    let content = |reason| Failure::Content { path: file.into(), reason };
    let value: Value = serde_json::from_str(&text).map_err(|e| content(format!("this is not JSON: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(content("give a JSON object, {\"field\": value, …}".into())) }
}

/// Whether something stands at a path.
fn has(body: &Value, path: &[String]) -> bool {
    path.iter().try_fold(body, |value, name| value.get(name)).is_some()
}

/// Puts a value at a path, making the objects on the way.
fn put(body: &mut Value, path: &[String], value: Value) {
    let mut place = body;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name.as_str()];
    }
    *place = value;
}

/// Fills what `body` leaves out with the present state, as far as the body may say it.
pub fn keep(fields: &[Field], body: &mut Value, present: &Value) {
    for field in fields.iter().filter(|f| !f.is_secret()) {
        let now = field.path.iter().try_fold(present, |value, name| value.get(name));
        if let Some(now) = now
            && !has(body, &field.path)
        {
            put(body, &field.path, now.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_stays_one_segment_of_the_path() {
        assert_eq!(segment("account", "a/b?c#d e%").unwrap(), "a%2Fb%3Fc%23d%20e%25");
        for bad in ["", ".", ".."] {
            assert!(segment("account", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nested_fields_meet_in_one_object() {
        let mut body = json!({});
        put(&mut body, &["limits".into(), "disk_mb".into()], json!(5));
        put(&mut body, &["limits".into(), "inodes".into()], Value::Null);
        put(&mut body, &["name".into()], json!("x"));
        assert_eq!(body, json!({ "limits": { "disk_mb": 5, "inodes": null }, "name": "x" }));
    }
}
