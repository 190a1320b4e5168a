//! The OpenAPI 3.1 document.

use crate::operation::{Access, Effect, Operation};
use crate::operations;
use crate::refusals;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use wcp360_types::Problem;

/// The document for the API of this version, as JSON.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.as_str()] = describe(operation, &mut generator);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "WCP360 API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Everything the panel does. The command line and the web pages are clients of this API.",
            "license": { "name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later" }
        },
        "servers": [{ "url": "/api/v1" }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": refusals::components(problem.as_value()),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An API token." },
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-wcp360", "description": "A session." }
            }
        }
    });
    bound_numbers(&mut document);
    document
}

/// The resource an operation belongs to: the part of its id before the dot.
fn tag(operation: &Operation) -> &'static str {
    operation.id.split('.').next().unwrap_or(operation.id)
}

fn tags() -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for operation in operations() {
        if !names.contains(&tag(operation)) {
            names.push(tag(operation));
        }
    }
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = operation
        .path_parameters()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for query in &operation.query {
        let schema = query(generator);
        parameters.extend(query_parameters(resolve(generator, schema.as_value())));
    }
    if operation.if_match {
        parameters.push(header(
            "If-Match",
            "Refuse with 412 if the account's revision is another. One revision, as the ETag had it, or `*`.",
            json!({ "type": "string", "pattern": "^(\\*|\"sha256:[0-9a-f]{64}\")$" }),
        ));
    }
    if matches!(operation.effect, Effect::Job | Effect::Bulk) {
        parameters.push(header(
            "Idempotency-Key",
            "Any text of 1 to 128 characters: repeating the request with it gives the first answer again.",
            json!({ "type": "string", "minLength": 1, "maxLength": 128 }),
        ));
    }

    let (status, body) = operation.success;
    let mut responses = Map::new();
    let mut success = json!({ "description": "Success" });
    if let Some(schema) = body {
        success["content"] = json!({ "application/json": { "schema": schema(generator) } });
    }
    for media in operation.media {
        success["content"][media] = json!({ "schema": { "type": "string" } });
    }
    if status == 101 {
        success = json!({ "description": "The connection goes on as a WebSocket (RFC 6455): text messages, one JSON object each." });
        described_messages(&mut success, generator);
    }
    responses.insert(status.to_string(), success);
    let plan = match operation.effect {
        Effect::Job if operation.plans() => Some(generator.subschema_for::<wcp360_types::plan::Plan>()),
        Effect::Bulk => Some(generator.subschema_for::<wcp360_types::api::bulk::BulkPlan>()),
        _ => None,
    };
    if let Some(plan) = plan {
        let content = json!({ "application/json": { "schema": plan } });
        responses.insert("200".into(), json!({ "description": "The plan, with `dry_run`", "content": content }));
    }
    if operation.id == "health.show" {
        let schema = generator.subschema_for::<wcp360_types::api::system::Health>();
        let content = json!({ "application/json": { "schema": schema } });
        responses.insert("503".into(), json!({ "description": "A part does not work", "content": content }));
    }
    for (status, error) in refusals::responses(operation) {
        responses.entry(status).or_insert(error);
    }

    let mut described = json!({
        "operationId": operation.id,
        "tags": [tag(operation)],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
        "x-wcp360-effect": match operation.effect { Effect::Read => "read", Effect::Change => "change", Effect::Job => "job", Effect::Bulk => "bulk" },
        "x-wcp360-cli": {
            "command": operation.cli.command,
            "positional": operation.cli.positional,
            "columns": operation.cli.columns,
        },
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    match operation.access {
        Access::Public => described["security"] = json!([]),
        Access::Needs(permission) => {
            described["security"] = json!([{ "token": [] }, { "session": [] }]);
            described["x-wcp360-permission"] = permission.as_str().into();
        }
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({ "required": !operation.body_optional, "content": { "application/json": { "schema": body(generator) } } });
    }
    described
}

/// What is said over a WebSocket.
fn described_messages(success: &mut Value, generator: &mut SchemaGenerator) {
    let from = generator.subschema_for::<wcp360_types::api::event::FromPanel>();
    let to = generator.subschema_for::<wcp360_types::api::event::ToPanel>();
    success["x-wcp360-messages"] = json!({ "from-panel": from, "to-panel": to });
}

fn header(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema })
}

/// What the document forbids in a body and reading it would let pass: a list in the place of an object, which serde takes by
/// position, and texts that are too long. The field and what to do.
pub fn mismatch(operation: &Operation, body: &Value) -> Option<(String, String)> {
    static DOCUMENT: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    let document = DOCUMENT.get_or_init(document);
    let path = &document["paths"][operation.path][operation.method.as_str()];
    let schema = &path["requestBody"]["content"]["application/json"]["schema"];
    misplaced(document, schema, body, "body")
}

fn misplaced(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<(String, String)> {
    if let Some(target) = schema["$ref"].as_str() {
        return misplaced(document, document.pointer(target.trim_start_matches('#'))?, value, at);
    }
    let forms: Vec<&Value> = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten().collect();
    if !forms.is_empty() {
        // Wrong if it is wrong for every form that it could have; "nothing" is no form of something.
        let real = forms.iter().filter(|form| form["type"] != "null");
        let wrong: Option<Vec<_>> = real.map(|form| misplaced(document, form, value, at)).collect();
        return wrong.and_then(|mut all| all.pop());
    }
    match value {
        Value::Array(items) if schema["type"] == "array" => items
            .iter()
            .enumerate()
            .find_map(|(n, item)| misplaced(document, &schema["items"], item, &format!("{at}.{n}"))),
        Value::Array(_) => schema["properties"]
            .is_object()
            .then(|| (at.to_owned(), "use an object with named fields, not a list".to_owned())),
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            let inner = if at == "body" { name.clone() } else { format!("{at}.{name}") };
            misplaced(document, schema["properties"].get(name)?, field, &inner)
        }),
        Value::String(text) => {
            let most = schema["maxLength"].as_u64()?;
            (text.chars().count() as u64 > most).then(|| (at.to_owned(), format!("use at most {most} characters")))
        }
        _ => None,
    }
}

/// The bounds that numbers have by their type, which schemars leaves to `format`.
fn bound_numbers(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        let most = match object.get("format").and_then(Value::as_str) {
            Some("uint32") => Some(u64::from(u32::MAX)),
            Some("uint64") => Some(u64::MAX),
            _ => None,
        };
        if let Some(most) = most {
            object.entry("maximum").or_insert(most.into());
        }
        object.values_mut().for_each(bound_numbers);
    } else if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(bound_numbers);
    }
}

/// The schema itself, if `schema` is a reference to a definition.
fn resolve(generator: &SchemaGenerator, schema: &Value) -> Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
        .and_then(|name| generator.definitions().get(name))
        .cloned()
        .unwrap_or_else(|| schema.clone())
}

fn query_parameters(schema: Value) -> Vec<Value> {
    let required: Vec<&str> =
        schema["required"].as_array().map(|r| r.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    properties
        .iter()
        .map(|(name, property)| {
            let mut property = without_null(property.clone());
            let description = property.as_object_mut().and_then(|p| p.remove("description"));
            json!({ "name": name, "in": "query", "required": required.contains(&name.as_str()),
                    "description": description, "schema": property })
        })
        .collect()
}

/// An absent query parameter is absent; there is no way to send `null`.
fn without_null(mut schema: Value) -> Value {
    if let Some(types) = schema.get_mut("type").filter(|t| t.is_array()) {
        let kept: Vec<Value> = types.as_array().into_iter().flatten().filter(|t| *t != "null").cloned().collect();
        *types = if kept.len() == 1 { kept[0].clone() } else { kept.into() };
    }
    if let Some(variants) = schema.get("anyOf").and_then(Value::as_array) {
        let kept: Vec<Value> = variants.iter().filter(|v| v["type"] != "null").cloned().collect();
        if let [only] = kept.as_slice() {
            let mut only = only.clone();
            if let (Some(target), Some(description)) = (only.as_object_mut(), schema.get("description")) {
                target.insert("description".into(), description.clone());
            }
            return only;
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.remove("default");
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_01_every_operation_is_described_once() {
        let document = document();
        let mut ids = std::collections::BTreeSet::new();
        for (_, item) in document["paths"].as_object().unwrap() {
            for (_, operation) in item.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(ids.len(), operations().len());
    }

    #[test]
    fn api_01_what_reading_would_let_pass_is_found() {
        let found = |id: &str, body: Value| mismatch(operations().iter().find(|o| o.id == id).unwrap(), &body);
        for (id, body, field) in [
            ("packages.create", json!({"name": "a0", "security": [null, null]}), "security"),
            ("packages.create", json!(["a0"]), "body"),
            ("tokens.create", json!(["a", null, null, null]), "body"),
            ("tokens.create", json!({"name": "a", "password": "x".repeat(257)}), "password"),
            ("schedules.create", json!({"account": "a", "change": ["accounts.delete"]}), "change"),
        ] {
            assert_eq!(found(id, body.clone()).map(|(field, _)| field).as_deref(), Some(field), "{id} {body}");
        }
        for (id, body) in [
            ("packages.create", json!({"name": "a0", "security": null})),
            ("tokens.create", json!({"name": "a", "scopes": ["accounts.read"]})),
            ("schedules.create", json!({"account": "a", "change": {"operation": "accounts.delete"}})),
        ] {
            assert_eq!(found(id, body.clone()), None, "{id} {body}");
        }
    }

    #[test]
    fn api_01_no_reference_dangles() {
        let document = document();
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn sec_01_changing_operations_need_a_permission() {
        const OPEN: [&str; 2] = ["setup.run", "session.login"];
        for operation in operations() {
            if operation.effect != Effect::Read && !OPEN.contains(&operation.id) {
                assert!(matches!(operation.access, Access::Needs(_)), "{}", operation.id);
            }
        }
    }
}
