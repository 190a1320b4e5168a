//! From an argument's text to a JSON value.

use super::given;
use crate::document::{Field, Kind};
use crate::failure::Failure;
use clap::ArgMatches;
use serde_json::Value;

/// The value of the argument `id`, if it was given.
pub(super) fn of(field: &Field, matches: &ArgMatches, id: &str) -> Result<Option<Value>, Failure> {
    Ok(match &field.kind {
        Kind::Boolean => given::<bool>(matches, id).copied().map(Value::Bool),
        Kind::List(inner) => match matches.try_get_many::<String>(id).ok().flatten() {
            Some(values) => Some(values.map(|text| scalar(field, inner, text)).collect::<Result<Vec<_>, _>>()?.into()),
            None => None,
        },
        kind => given::<String>(matches, id).map(|text| scalar(field, kind, text)).transpose()?,
    })
}

fn scalar(field: &Field, kind: &Kind, text: &str) -> Result<Value, Failure> {
    let wrong = |what: &str| Failure::Usage(format!("--{}: {text:?} is not {what}", field.flag()));
    match kind {
        Kind::Text | Kind::Choice(_) | Kind::List(_) => Ok(text.into()),
        Kind::Integer { .. } if text == "none" && field.nullable => Ok(Value::Null),
        Kind::Integer { .. } | Kind::Boolean => serde_json::from_str(text).map_err(|_| wrong("a number")),
        Kind::Json => serde_json::from_str(text).map_err(|e| wrong(&format!("JSON ({e})"))),
    }
}
