//! What the command line needs to know of the API, read from its OpenAPI document.
//!
//! Commands, flags and tables come from here and from nowhere else, so that they can't drift from the API.

mod field;
mod schema;

pub use field::{Field, Kind, flag};

use schema::Schemas;
use serde_json::Value;
use std::collections::BTreeMap;

/// The document this program was built with.
const EMBEDDED: &str = include_str!("../../../../openapi/wcp360.json");

/// Whether a field of this name is a secret. Secrets are read from files, standard input or the terminal, never from
/// arguments, which everybody on the machine can read.
pub fn is_secret(name: &str) -> bool {
    ["password", "token", "secret", "passphrase", "private_key"]
        .iter()
        .any(|word| name.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

/// A document that does not describe what this program expects.
#[derive(Debug, thiserror::Error)]
#[error("the OpenAPI document is damaged: {0}; build again after `cargo xtask openapi`")]
pub struct DocumentError(pub(crate) String);

/// What calling an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads.
    Read,
    /// Changes something at once.
    Change,
    /// Starts a job.
    Job,
    /// Starts a job for each of many accounts.
    Bulk,
}

/// What an answer with a certain status looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is one page of a list.
    pub list: bool,
    /// Whether it is plain text instead of JSON.
    pub text: bool,
    /// Whether it is as long as it wants, and is to be passed on as it comes.
    pub stream: bool,
    /// A field that holds an API token which is shown once.
    pub token: Option<String>,
}

/// One operation, as the command line sees it.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `noun.verb`.
    pub id: String,
    /// HTTP method, upper case.
    pub method: String,
    /// Path with `{parameters}`, below the server's base.
    pub path: String,
    /// One line.
    pub summary: String,
    /// More.
    pub description: String,
    /// What it does.
    pub effect: Effect,
    /// Words of the command.
    pub words: Vec<String>,
    /// Whether `--help` leaves it out.
    pub hidden: bool,
    /// Body fields that are given without a flag.
    pub positional: Vec<String>,
    /// Columns of the table.
    pub columns: Vec<String>,
    /// Names in braces of the path, in order.
    pub path_parameters: Vec<String>,
    /// Query parameters.
    pub query: Vec<Field>,
    /// What `If-Match` is for, if it is understood.
    pub if_match: Option<String>,
    /// What `Idempotency-Key` is for, if it is understood.
    pub idempotency_key: Option<String>,
    /// The body's fields, nested ones flattened, if it takes a body.
    pub body: Option<Vec<Field>>,
    /// Whether a login is needed.
    pub needs_login: bool,
    /// Answers by status.
    pub answers: BTreeMap<u16, Answer>,
}

impl Operation {
    /// Whether answers are pages of a list.
    pub fn is_list(&self) -> bool {
        self.effect == Effect::Read && self.answers.values().any(|a| a.list)
    }

    /// Whether the answer is passed on as it comes.
    pub fn is_stream(&self) -> bool {
        self.answers.values().any(|a| a.stream)
    }

    /// Whether lists come in several pages.
    pub fn is_paged(&self) -> bool {
        self.is_list() && self.query.iter().any(|q| q.name() == "cursor")
    }

    /// Whether a body's field is what the path names already: the `name` of something that is replaced.
    pub fn named_by_path(&self, field: &Field) -> bool {
        self.method == "PUT" && field.name() == "name" && self.path.ends_with('}')
    }

    /// Whether a body's field has to be given.
    pub fn needs(&self, field: &Field) -> bool {
        field.required && !self.named_by_path(field)
    }

    /// For an operation that replaces something: the one that shows it.
    pub fn keeps_from<'d>(&self, document: &'d Document) -> Option<&'d Operation> {
        let replaces = self.method == "PUT" && self.body.is_some();
        document.operations.iter().find(|o| replaces && o.method == "GET" && o.path == self.path)
    }

    /// The field of the answer that holds a token shown once.
    pub fn token_field(&self) -> Option<&str> {
        self.answers.values().find_map(|a| a.token.as_deref())
    }
}

/// All operations, and where they are found on a server.
#[derive(Debug, Clone)]
pub struct Document {
    /// Path in front of all others, e.g. `/api/v1`.
    pub base: String,
    /// The operations.
    pub operations: Vec<Operation>,
    /// What the groups of commands are about, where the document says.
    pub groups: BTreeMap<String, String>,
}

impl Document {
    /// The document of this version.
    ///
    /// # Errors
    /// It is damaged, which a test rules out.
    pub fn embedded() -> Result<Self, DocumentError> {
        let value = serde_json::from_str(EMBEDDED).map_err(|e| DocumentError(e.to_string()))?;
        Self::parse(&value)
    }

    /// Reads an OpenAPI document.
    ///
    /// # Errors
    /// Something that every operation needs is missing.
    pub fn parse(value: &Value) -> Result<Self, DocumentError> {
        let schemas = Schemas::of(value);
        let paths = value["paths"].as_object().ok_or_else(|| DocumentError("it has no paths".into()))?;
        let mut operations = Vec::new();
        for (path, item) in paths {
            for (method, described) in item.as_object().into_iter().flatten() {
                operations.push(operation(&schemas, path, method, described)?);
            }
        }
        operations.sort_by(|a, b| (&a.words[0], rank(a), &a.words).cmp(&(&b.words[0], rank(b), &b.words)));
        let groups = value["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tag| Some((tag["name"].as_str()?.to_owned(), tag["description"].as_str()?.to_owned())))
            .collect();
        Ok(Self { base: value["servers"][0]["url"].as_str().unwrap_or_default().to_owned(), operations, groups })
    }

    /// The operation with this id.
    pub fn find(&self, id: &str) -> Option<&Operation> {
        self.operations.iter().find(|o| o.id == id)
    }
}

/// The order in which `--help` lists a group's commands: looking, making, changing, removing.
fn rank(operation: &Operation) -> u8 {
    match (operation.words.last().map(String::as_str), operation.method.as_str()) {
        (Some("list"), _) => 0,
        (Some("show"), _) => 1,
        (Some("create" | "add"), _) => 2,
        (_, "DELETE") => 4,
        _ => 3,
    }
}

fn operation(schemas: &Schemas<'_>, path: &str, method: &str, described: &Value) -> Result<Operation, DocumentError> {
    let id = described["operationId"]
        .as_str()
        .ok_or_else(|| DocumentError(format!("{method} {path} has no operationId")))?
        .to_owned();
    let cli = &described["x-wcp360-cli"];
    let command = cli["command"].as_str().unwrap_or_default();
    let words: Vec<String> = match command {
        "" | "-" => id.split('.').map(str::to_owned).collect(),
        words => words.split_whitespace().map(str::to_owned).collect(),
    };
    let parameters: &[Value] = described["parameters"].as_array().map_or(&[], Vec::as_slice);
    let of = |place: &'static str| parameters.iter().filter(move |p| p["in"] == place);
    let header = |name: &str| {
        of("header").find(|p| p["name"] == name).map(|p| p["description"].as_str().unwrap_or_default().to_owned())
    };
    let query = of("query")
        .flat_map(|p| {
            let name = p["name"].as_str().unwrap_or_default();
            field::from_parameter(schemas, name, p)
        })
        .collect();
    let body = &described["requestBody"]["content"]["application/json"]["schema"];
    Ok(Operation {
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&described["summary"]),
        description: text(&described["description"]),
        effect: match described["x-wcp360-effect"].as_str() {
            Some("job") => Effect::Job,
            Some("bulk") => Effect::Bulk,
            Some("change") => Effect::Change,
            Some("read") => Effect::Read,
            other => return Err(DocumentError(format!("{id} has the unknown effect {other:?}"))),
        },
        hidden: command == "-",
        positional: strings(&cli["positional"]),
        columns: strings(&cli["columns"]),
        path_parameters: path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}').map(str::to_owned))
            .collect(),
        query,
        if_match: header("If-Match"),
        idempotency_key: header("Idempotency-Key"),
        body: (!body.is_null()).then(|| field::from_body(schemas, body)),
        needs_login: described["security"].as_array().is_some_and(|s| !s.is_empty()),
        answers: answers(schemas, &described["responses"]),
        words,
        id,
    })
}

fn answers(schemas: &Schemas<'_>, responses: &Value) -> BTreeMap<u16, Answer> {
    let mut found = BTreeMap::new();
    for (status, response) in responses.as_object().into_iter().flatten() {
        let Ok(status) = status.parse() else { continue };
        let content = &response["content"];
        let properties = schemas.properties(&content["application/json"]["schema"]);
        let token = ["secret", "token"]
            .into_iter()
            .find(|name| properties.get(*name).is_some_and(|schema| schema["type"] == "string"))
            .map(str::to_owned);
        let list = properties.get("items").is_some_and(|items| items["type"] == "array");
        let stream = content.get("application/x-ndjson").is_some();
        found.insert(status, Answer { list, text: content.get("text/plain").is_some(), stream, token });
    }
    found
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
