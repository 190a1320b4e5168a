//! The OpenAPI document of the panel that runs, and whether it and the policy name the same operations.

use crate::http::{Credential, call};
use crate::policy::{Access, POLICY};
use crate::report::Report;
use serde_json::Value;
use std::sync::OnceLock;

/// An operation as the document describes it.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    /// Upper case.
    pub(crate) method: String,
    pub(crate) path: String,
    /// The permission it says it needs; none for public ones.
    pub(crate) permission: Option<String>,
    pub(crate) dry_run: bool,
    /// Whether it looks at `If-Match`.
    pub(crate) if_match: bool,
    /// Whether the document says that it needs no login.
    pub(crate) public: bool,
}

impl Operation {
    pub(crate) fn reads(&self) -> bool {
        self.method == "GET"
    }
}

/// All operations.
///
/// # Panics
/// If there is no document.
pub(crate) fn operations() -> &'static [Operation] {
    static ALL: OnceLock<Vec<Operation>> = OnceLock::new();
    ALL.get_or_init(|| {
        let document = call(&Credential::Nothing, "GET", "/openapi.json", "").json();
        let paths = document["paths"].as_object().expect("the document has paths");
        paths.iter().flat_map(|(path, item)| of_path(path, item)).collect()
    })
}

fn of_path(path: &str, item: &Value) -> Vec<Operation> {
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let known =
        item.as_object().expect("a path has methods").iter().filter(|(name, _)| methods.contains(&name.as_str()));
    let takes = |operation: &Value, name: &str| {
        operation["parameters"].as_array().is_some_and(|all| all.iter().any(|p| p["name"] == name))
    };
    known
        .map(|(method, operation)| Operation {
            id: operation["operationId"].as_str().expect("an operation has an id").to_owned(),
            method: method.to_uppercase(),
            path: path.to_owned(),
            permission: operation["x-wcp360-permission"].as_str().map(str::to_owned),
            dry_run: takes(operation, "dry_run"),
            if_match: takes(operation, "If-Match"),
            public: operation["security"].as_array().is_some_and(Vec::is_empty),
        })
        .collect()
}

/// One operation.
///
/// # Panics
/// If it is not in the document.
pub(crate) fn find(id: &str) -> &'static Operation {
    operations().iter().find(|o| o.id == id).unwrap_or_else(|| panic!("{id} is not in the document"))
}

#[test]
fn the_document_and_the_policy_name_the_same_operations() {
    let mut report = Report::default();
    for operation in operations() {
        let rule = POLICY.iter().find(|rule| rule.operation == operation.id);
        report.holds(rule.is_some(), || format!("{} has no line in policy.rs", operation.id));
        let Some(rule) = rule else { continue };
        let (public, permission) = match rule.access {
            Access::Public => (true, None),
            Access::Needs(permission, _) => (false, Some(permission)),
        };
        report.equal(|| format!("{}: public", operation.id), operation.public, public);
        report.equal(|| format!("{}: permission", operation.id), operation.permission.as_deref(), permission);
    }
    for (position, rule) in POLICY.iter().enumerate() {
        let there = operations().iter().any(|operation| operation.id == rule.operation);
        report.holds(there, || format!("{} is in policy.rs and not in the document", rule.operation));
        let twice = POLICY[..position].iter().any(|other| other.operation == rule.operation);
        report.holds(!twice, || format!("{} is in policy.rs twice", rule.operation));
    }
    report.end("document and policy");
}
