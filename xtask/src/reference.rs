//! `docs/api.md`: the API for people.

use serde_json::Value;
use std::fmt::Write;

const INTRODUCTION: &str = "\
# The API

Everything the panel does is an operation of this API; the command line and the web pages are its clients. It is under
`/api/v1`; the OpenAPI 3.1 document is at `/api/v1/openapi.json` and in `openapi/wcp360.json`. This page is written from it by
`cargo xtask openapi`.

- **Who is asking**: `Authorization: Bearer <token>`, or a session cookie from `POST /session`.
- **Errors** are `application/problem+json` (RFC 9457): `detail` says what happened and what to do, `errors` names the fields.
- **What takes time** answers `202` with a job and its address in `Location`; `?dry_run=true` answers `200` with the plan.
- **Repeating a request** with the same `Idempotency-Key` gives the first answer again and does nothing twice.
- **Meanwhile changed?** Accounts have an ETag; with `If-Match` a change is refused with `412` if it is another.
- **Long lists** come in pages: pass `next_cursor` as `cursor`.
";

/// The page.
pub(crate) fn markdown(document: &Value) -> String {
    let mut page = String::from(INTRODUCTION);
    let base = document["servers"][0]["url"].as_str().unwrap_or_default();
    for tag in document["tags"].as_array().into_iter().flatten() {
        let tag = tag["name"].as_str().unwrap_or_default();
        let _ = write!(page, "\n## {tag}\n\n| operation | request | command | needs | |\n|---|---|---|---|---|\n");
        for (path, method, operation) in operations(document).filter(|(_, _, o)| o["tags"][0] == tag) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            let _ = writeln!(
                page,
                "| [`{id}`](#{}) | `{} {base}{path}` | {} | {} | {} |",
                id.replace('.', ""),
                method.to_uppercase(),
                command(operation, id),
                operation["x-wcp360-permission"].as_str().map_or("–".into(), |p| format!("`{p}`")),
                operation["summary"].as_str().unwrap_or_default()
            );
        }
        for (_, _, operation) in operations(document).filter(|(_, _, o)| o["tags"][0] == tag) {
            details(&mut page, document, operation);
        }
    }
    page
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    })
}

fn command(operation: &Value, id: &str) -> String {
    match operation["x-wcp360-cli"]["command"].as_str() {
        Some("-") => "–".into(),
        None | Some("") => format!("`wcp360 {}`", id.replace('.', " ")),
        Some(words) => format!("`wcp360 {words}`"),
    }
}

fn details(page: &mut String, document: &Value, operation: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let _ = write!(page, "\n### {}\n\n{}.", text(&operation["operationId"]), text(&operation["summary"]));
    if let Some(more) = operation["description"].as_str() {
        let _ = write!(page, " {more}");
    }
    page.push('\n');
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let fields = members(document, body);
    if parameters.iter().any(|p| p["in"] != "path") || !fields.is_empty() {
        page.push_str("\n| given | in | type | |\n|---|---|---|---|\n");
    }
    for parameter in parameters.iter().filter(|p| p["in"] != "path") {
        row(page, &text(&parameter["name"]), &text(&parameter["in"]), document, &parameter["schema"], parameter);
    }
    for (name, schema, required) in &fields {
        let name = if *required { format!("**{name}**") } else { (*name).clone() };
        row(page, &name, "body", document, schema, schema);
    }
    // Errors are the same everywhere, and only referred to.
    let (errors, answers): (Vec<_>, Vec<_>) =
        operation["responses"].as_object().into_iter().flatten().partition(|(_, answer)| answer["$ref"].is_string());
    let answers: Vec<String> =
        answers.iter().map(|(status, answer)| format!("`{status}` {}", answered(document, answer))).collect();
    let errors: Vec<&str> = errors.iter().map(|(status, _)| status.as_str()).collect();
    let _ = write!(page, "\nAnswers {}. Errors: {}.\n", answers.join(", "), errors.join(", "));
}

fn row(page: &mut String, name: &str, place: &str, document: &Value, schema: &Value, described: &Value) {
    let help = described["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(page, "| {name} | {place} | {} | {} |", kind(document, schema), help.replace('|', "\\|"));
}

fn answered(document: &Value, answer: &Value) -> String {
    match answer["content"].as_object().and_then(|content| content.iter().next()) {
        None => "without a body".into(),
        Some((media, content)) if media == "application/json" => kind(document, &content["schema"]),
        Some((media, _)) => format!("`{media}`"),
    }
}

/// The fields of an object: name, schema, whether it has to be given.
fn members<'d>(document: &'d Value, schema: &'d Value) -> Vec<(String, &'d Value, bool)> {
    let schema = resolve(document, schema);
    let required = |name: &str| schema["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(name, schema)| (name.clone(), schema, required(name))).collect()
}

fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    }
}

/// A schema in a few words.
fn kind(document: &Value, schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        let target = resolve(document, schema);
        if target["properties"]["items"]["type"] == "array" {
            return format!("a page of {}", kind(document, &target["properties"]["items"]["items"]));
        }
        return words(target).unwrap_or_else(|| name.to_owned());
    }
    if let Some(words) = words(schema) {
        return words;
    }
    if let Some(variants) = schema["anyOf"].as_array() {
        let all: Vec<String> = variants.iter().filter(|v| v["type"] != "null").map(|v| kind(document, v)).collect();
        return all.join(" or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        one => one.as_str().into_iter().collect(),
    };
    match types.as_slice() {
        ["array"] => format!("list of {}", kind(document, &schema["items"])),
        [] => "anything".into(),
        types => types.join(" or "),
    }
}

/// The words of an enumeration.
fn words(schema: &Value) -> Option<String> {
    let variants = schema["oneOf"].as_array().or(schema["enum"].as_array())?;
    let words: Option<Vec<String>> =
        variants.iter().map(|v| v.as_str().or(v["const"].as_str()).map(|word| format!("`{word}`"))).collect();
    words.map(|words| words.join(", "))
}
