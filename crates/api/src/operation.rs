//! What is known of one operation.

use crate::Permission;
use schemars::{Schema, SchemaGenerator};

/// HTTP methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or starts something.
    Post,
    /// Changes something.
    Put,
    /// Removes something.
    Delete,
}

impl Method {
    /// Lower case, as OpenAPI writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Post => "post",
            Method::Put => "put",
            Method::Delete => "delete",
        }
    }
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without login.
    Public,
    /// Whoever holds the permission, within their own tenant tree.
    Needs(Permission),
}

/// What calling does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads. Answers 200.
    Read,
    /// Changes panel state at once; audited. Answers 200, 201 or 204.
    Change,
    /// Makes a job; audited. Answers 202, or 200 with `dry_run`.
    Job,
    /// Makes a job for each of many accounts; audited. Answers 202, or 200 with `dry_run`.
    Bulk,
}

/// How the CLI presents it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cli {
    /// Words after `wcp360`, if not those of the operation id, e.g. `admin create`. `-` hides it.
    pub command: &'static str,
    /// Fields of the body that are given without a flag, after the path's parameters.
    pub positional: &'static [&'static str],
    /// Columns of the table it prints.
    pub columns: &'static [&'static str],
}

/// Makes a schema in a generator.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation of the API.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `noun.verb`: stable, used in audit entries, permissions, the CLI and as OpenAPI operationId.
    pub id: &'static str,
    /// Method.
    pub method: Method,
    /// Path under `/api/v1`, with `{parameters}`.
    pub path: &'static str,
    /// One line.
    pub summary: &'static str,
    /// More, in Markdown.
    pub description: &'static str,
    /// Who may call.
    pub access: Access,
    /// What it does.
    pub effect: Effect,
    /// The body, if it takes one.
    pub body: Option<SchemaOf>,
    /// Whether it can be left out.
    pub body_optional: bool,
    /// Structures whose fields are query parameters.
    pub query: Vec<SchemaOf>,
    /// Status and body of success.
    pub success: (u16, Option<SchemaOf>),
    /// Whether it can be planned ahead.
    pub plans: bool,
    /// What success answers with, if it is not JSON: media types.
    pub media: &'static [&'static str],
    /// Whether `If-Match` with the account's revision is understood.
    pub if_match: bool,
    /// How the CLI presents it.
    pub cli: Cli,
}

impl Operation {
    /// Whether it can be asked with `dry_run` what it would do.
    pub fn plans(&self) -> bool {
        self.plans
    }

    /// The names in braces of the path, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
