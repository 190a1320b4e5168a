//! The OpenAPI 3.1 document.

use crate::operation::{Access, Effect, Operation};
use crate::operations;
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
        item[operation.method.as_str()] = describe(operation, &mut generator, problem.as_value());
    }
    json!({
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
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An API token." },
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-wcp360", "description": "A session." }
            }
        }
    })
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

fn describe(operation: &Operation, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let mut parameters: Vec<Value> = operation
        .path_parameters()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for query in &operation.query {
        let schema = query(generator);
        parameters.extend(query_parameters(resolve(generator, schema.as_value())));
    }
    if operation.if_match {
        parameters.push(header("If-Match", "Refuse with 412 if the account's revision is another."));
    }
    if operation.effect == Effect::Job {
        parameters.push(header(
            "Idempotency-Key",
            "Any text of 1 to 128 characters: repeating the request with it gives the first answer again.",
        ));
    }

    let (status, body) = operation.success;
    let mut responses = Map::new();
    let mut success = json!({ "description": "Success" });
    if let Some(schema) = body {
        success["content"] = json!({ "application/json": { "schema": schema(generator) } });
    } else if operation.id == "metrics.show" {
        success["content"] = json!({ "text/plain": { "schema": { "type": "string" } } });
    }
    responses.insert(status.to_string(), success);
    if operation.plans() {
        let plan = generator.subschema_for::<wcp360_types::plan::Plan>();
        let content = json!({ "application/json": { "schema": plan } });
        responses.insert("200".into(), json!({ "description": "The plan, with `dry_run`", "content": content }));
    }
    if operation.id == "health.show" {
        let schema = generator.subschema_for::<wcp360_types::api::system::Health>();
        let content = json!({ "application/json": { "schema": schema } });
        responses.insert("503".into(), json!({ "description": "A part does not work", "content": content }));
    }
    let error = json!({ "description": "A problem (RFC 9457)",
                        "content": { "application/problem+json": { "schema": problem } } });
    responses.insert("default".into(), error);

    let mut described = json!({
        "operationId": operation.id,
        "tags": [tag(operation)],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
        "x-wcp360-effect": match operation.effect { Effect::Read => "read", Effect::Change => "change", Effect::Job => "job" },
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
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body(generator) } } });
    }
    described
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "required": false, "description": description, "schema": { "type": "string" } })
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
