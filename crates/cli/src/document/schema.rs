//! Looking things up in the document's JSON schemas.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The document's named schemas.
pub(super) struct Schemas<'a> {
    named: Option<&'a Map<String, Value>>,
}

impl<'a> Schemas<'a> {
    /// The schemas of a document.
    pub(super) fn of(document: &'a Value) -> Self {
        Self { named: document["components"]["schemas"].as_object() }
    }

    /// The name a schema refers to, e.g. `Domain`.
    pub(super) fn name<'s>(&self, schema: &'s Value) -> Option<&'s str> {
        schema["$ref"].as_str()?.rsplit('/').next()
    }

    /// The schema itself: references followed, "or null" taken off. Says whether `null` is allowed.
    pub(super) fn resolve(&self, schema: &'a Value) -> (&'a Value, bool) {
        let mut schema = schema;
        let mut nullable = false;
        // Longer chains than this are loops.
        for _ in 0..16 {
            if let Some(target) = self.name(schema).and_then(|name| self.named?.get(name)) {
                schema = target;
            } else if let Some(inner) = without_null(schema) {
                nullable = true;
                schema = inner;
            } else {
                break;
            }
        }
        if let Some(types) = schema["type"].as_array() {
            nullable |= types.iter().any(|t| t == "null");
        }
        (schema, nullable)
    }

    /// The first named schema on the way to the schema itself.
    pub(super) fn type_name(&self, schema: &'a Value) -> Option<&'a str> {
        self.name(schema).or_else(|| self.name(without_null(schema)?))
    }

    /// The properties of an object, those of its parts included.
    pub(super) fn properties(&self, schema: &'a Value) -> BTreeMap<&'a str, &'a Value> {
        let (schema, _) = self.resolve(schema);
        let mut found: BTreeMap<&str, &Value> =
            schema["properties"].as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v)).collect();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            found.extend(self.properties(part));
        }
        found
    }
}

/// The one variant that is not `null`, of a choice between the two.
fn without_null(schema: &Value) -> Option<&Value> {
    let variants = schema["anyOf"].as_array()?;
    let mut others = variants.iter().filter(|v| v["type"] != "null");
    match (others.next(), others.next()) {
        (Some(only), None) if variants.len() > 1 => Some(only),
        _ => None,
    }
}

/// The type of a schema, "or null" taken off.
pub(super) fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(one) => Some(one),
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|t| *t != "null"),
        _ => None,
    }
}
