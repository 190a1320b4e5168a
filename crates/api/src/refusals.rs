//! Which errors an operation can answer with, from what is known of it.

use crate::operation::{Access, Effect, Operation};
use serde_json::{Map, Value, json};
use wcp360_types::problem::KINDS;

/// Every status that an error of the operation may have, ascending.
pub fn statuses(operation: &Operation) -> Vec<u16> {
    let changes = operation.effect != Effect::Read;
    let has_body = operation.body.is_some();
    let has_job = matches!(operation.effect, Effect::Job | Effect::Bulk);
    // What happens around every call: limits by address, our own faults, parts that don't answer.
    let mut out = vec![429, 500, 503];
    let mut add = |when: bool, statuses: &[u16]| {
        if when {
            out.extend_from_slice(statuses);
        }
    };
    // A public change is a login: who is not let in gets the same answers as who is not known.
    add(matches!(operation.access, Access::Needs(_)) || changes, &[401, 403]);
    // Paths name what may not be there, and so do bodies and topics.
    add(operation.path_parameters().next().is_some() || has_body || operation.success.0 == 101, &[404]);
    add(has_body || operation.path_parameters().next().is_some(), &[400]);
    add(changes, &[409]);
    add(operation.if_match || has_job, &[412]);
    add(has_body, &[413, 415]);
    add(has_body || has_job || !operation.query.is_empty(), &[422]);
    add(operation.success.0 == 101, &[426]);
    out.sort_unstable();
    out
}

/// The name of the answer with this status among the document's components.
fn name(status: u16) -> String {
    format!("Problem{status}")
}

/// The operation's error answers: references to [`components`].
pub(crate) fn responses(operation: &Operation) -> Map<String, Value> {
    let reference = |status: u16| json!({ "$ref": format!("#/components/responses/{}", name(status)) });
    statuses(operation).into_iter().map(|status| (status.to_string(), reference(status))).collect()
}

/// An answer for every status that an error may have, each with the kinds of problem that it may be.
pub(crate) fn components(problem: &Value) -> Value {
    let mut out = Map::new();
    for (status, _, about) in KINDS {
        let kinds =
            KINDS.iter().filter(|(other, ..)| other == status).map(|(_, code, _)| format!("urn:wcp360:problem:{code}"));
        let kinds: Vec<String> = kinds.collect();
        let narrowed = json!({ "properties": { "status": { "const": status }, "type": { "enum": kinds } } });
        let schema = json!({ "allOf": [problem, narrowed] });
        let mut answer =
            json!({ "description": about, "content": { "application/problem+json": { "schema": schema } } });
        if *status == 429 {
            let seconds = json!({ "type": "integer", "minimum": 0 });
            answer["headers"] = json!({ "Retry-After": { "description": "Seconds to wait", "schema": seconds } });
        }
        out.entry(name(*status)).or_insert(answer);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations;

    #[test]
    fn api_01_errors_follow_from_what_an_operation_is() {
        let of = |id: &str| statuses(crate::find(id).unwrap());
        assert_eq!(of("accounts.list"), [401, 403, 422, 429, 500, 503]);
        assert_eq!(of("accounts.create"), [400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 500, 503]);
        assert_eq!(of("jobs.show"), [400, 401, 403, 404, 429, 500, 503]);
        assert_eq!(of("health.show"), [429, 500, 503]);
        assert!(of("events.listen").contains(&426));
    }

    #[test]
    fn api_01_every_error_answer_is_described() {
        let document = crate::openapi::document();
        for operation in operations() {
            let responses = &document["paths"][operation.path][operation.method.as_str()]["responses"];
            assert!(responses.get("default").is_none(), "{}: nothing may be left open", operation.id);
            for status in statuses(operation) {
                let answer = &responses[status.to_string()];
                let found = answer["$ref"].as_str().map_or(answer, |path| document.pointer(&path[1..]).unwrap());
                assert!(found["description"].is_string(), "{} {status}", operation.id);
            }
        }
    }
}
