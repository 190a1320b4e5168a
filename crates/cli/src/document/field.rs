//! One value that can be given: a query parameter, or a field of the body, however deep.

use super::is_secret;
use super::schema::{Schemas, type_of};
use serde_json::Value;

/// Objects in objects deeper than this are given as JSON.
const DEPTH: usize = 6;

/// What a value has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number within bounds.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: u64,
    },
    /// Yes or no.
    Boolean,
    /// One of several words, each with what it means.
    Choice(Vec<(String, String)>),
    /// Several of these.
    List(Box<Kind>),
    /// Anything else, as JSON.
    Json,
}

/// A value that can be given.
#[derive(Debug, Clone)]
pub struct Field {
    /// Names from the outside in: `["limits", "disk_mb"]`.
    pub path: Vec<String>,
    /// What it has to be.
    pub kind: Kind,
    /// What stands for it in help texts, e.g. `DOMAIN`.
    pub placeholder: String,
    /// Whether it may be `null`.
    pub nullable: bool,
    /// Whether it has to be given.
    pub required: bool,
    /// What it is.
    pub help: String,
    /// The fewest characters it may have.
    pub min_length: u64,
}

impl Field {
    /// The name as the API writes it, e.g. `limits.disk_mb`.
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// The flag, without dashes in front, e.g. `limits.disk-mb`.
    pub fn flag(&self) -> String {
        flag(&self.name())
    }

    /// Whether it must not be given as an argument.
    pub fn is_secret(&self) -> bool {
        self.path.last().is_some_and(|name| is_secret(name))
    }

    /// Whether it is a secret that is set here, rather than one that proves something: only those have to be long.
    pub fn is_new_secret(&self) -> bool {
        self.is_secret() && self.min_length > 1
    }
}

/// A name of the API as a flag.
pub fn flag(name: &str) -> String {
    name.replace('_', "-")
}

/// The fields of a query parameter (one, unless it is an object).
pub(super) fn from_parameter(schemas: &Schemas<'_>, name: &str, parameter: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    let required = parameter["required"] == true;
    collect(schemas, &[name.to_owned()], &parameter["schema"], parameter["description"].as_str(), required, &mut found);
    found
}

/// The fields of a body.
pub(super) fn from_body(schemas: &Schemas<'_>, schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    members(schemas, &[], schema, true, &mut found);
    found
}

fn members(schemas: &Schemas<'_>, path: &[String], schema: &Value, required: bool, found: &mut Vec<Field>) {
    let (object, _) = schemas.resolve(schema);
    let needed: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schemas.properties(schema) {
        let path: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
        collect(schemas, &path, property, None, required && needed.contains(&name), found);
    }
}

fn collect(
    schemas: &Schemas<'_>,
    path: &[String],
    schema: &Value,
    help: Option<&str>,
    required: bool,
    found: &mut Vec<Field>,
) {
    let (resolved, nullable) = schemas.resolve(schema);
    if path.len() < DEPTH && resolved["properties"].is_object() {
        return members(schemas, path, schema, required, found);
    }
    let help = help.or(schema["description"].as_str()).or(resolved["description"].as_str()).unwrap_or_default();
    let kind = kind(schemas, resolved);
    let placeholder = match &kind {
        Kind::Integer { .. } => "N".to_owned(),
        Kind::Boolean => "BOOL".to_owned(),
        Kind::Json => "JSON".to_owned(),
        Kind::Choice(_) | Kind::Text | Kind::List(_) => match schemas.type_name(schema) {
            Some(name) => words(name).join("-").to_uppercase(),
            None => "TEXT".to_owned(),
        },
    };
    found.push(Field {
        path: path.to_vec(),
        kind,
        placeholder,
        nullable,
        required,
        min_length: resolved["minLength"].as_u64().unwrap_or(0),
        help: help.split_whitespace().collect::<Vec<_>>().join(" "),
    });
}

fn kind(schemas: &Schemas<'_>, schema: &Value) -> Kind {
    if let Some(choices) = choices(schema) {
        return Kind::Choice(choices);
    }
    match type_of(schema) {
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer {
            min: schema["minimum"].as_i64().unwrap_or(i64::MIN),
            max: schema["maximum"].as_u64().unwrap_or(u64::MAX),
        },
        Some("boolean") => Kind::Boolean,
        Some("array") => match kind(schemas, schemas.resolve(&schema["items"]).0) {
            Kind::List(_) | Kind::Json => Kind::Json,
            simple => Kind::List(Box::new(simple)),
        },
        _ => Kind::Json,
    }
}

/// The words of an enumeration, in any of the ways schemas write one.
fn choices(schema: &Value) -> Option<Vec<(String, String)>> {
    if let Some(word) = schema["const"].as_str() {
        let meaning = schema["description"].as_str().unwrap_or_default().trim_end_matches('.');
        return Some(vec![(word.to_owned(), meaning.to_owned())]);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|word| Some((word.as_str()?.to_owned(), String::new()))).collect();
    }
    let variants = schema["oneOf"].as_array()?;
    Some(variants.iter().map(choices).collect::<Option<Vec<_>>>()?.concat())
}

/// `PackageName` → `Package`, `Name`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in name.chars() {
        match words.last_mut() {
            Some(word) if !character.is_uppercase() => word.push(character),
            _ => words.push(character.to_string()),
        }
    }
    words
}
