//! The operations, one file per resource, in the order of the documentation.

mod accounts;
mod audit;
mod bulk;
mod domains;
mod events;
mod jobs;
mod node;
mod packages;
mod schedules;
mod secrets;
mod session;
mod system;
mod tokens;
mod users;

use crate::Permission as P;
use crate::operation::{Access, Cli, Effect, Method, Operation, SchemaOf};
use schemars::JsonSchema;
use std::sync::OnceLock;
use wcp360_types::api::{bulk as bulk_types, job, page};

fn schema<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

fn op(id: &'static str, method: Method, path: &'static str, summary: &'static str) -> Operation {
    Operation {
        id,
        method,
        path,
        summary,
        description: "",
        access: Access::Public,
        effect: if method == Method::Get { Effect::Read } else { Effect::Change },
        body: None,
        body_optional: false,
        query: Vec::new(),
        success: (200, None),
        plans: false,
        media: &[],
        if_match: false,
        cli: Cli::default(),
    }
}

impl Operation {
    fn needs(mut self, permission: P) -> Self {
        self.access = Access::Needs(permission);
        self
    }
    fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }
    fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema::<T>());
        self
    }
    /// A body that says nothing can be left out.
    fn maybe_body<T: JsonSchema>(mut self) -> Self {
        self.body_optional = true;
        self.body::<T>()
    }
    fn query<T: JsonSchema>(mut self) -> Self {
        self.query.push(schema::<T>());
        self
    }
    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        self.success = (status, Some(schema::<T>()));
        self
    }
    /// Answers with something else than JSON.
    fn gives_media(mut self, media: &'static [&'static str]) -> Self {
        self.media = media;
        self
    }
    /// Goes on as a WebSocket (RFC 6455).
    fn upgrades(mut self) -> Self {
        self.success = (101, None);
        self
    }
    fn gives_nothing(mut self) -> Self {
        self.success = (204, None);
        self
    }
    /// A change of an account: a job, or its plan with `dry_run`.
    fn job(mut self) -> Self {
        self.effect = Effect::Job;
        self.plans = true;
        self.query::<job::DryRun>().gives::<job::Job>(202)
    }
    /// Makes a job that can't be planned ahead.
    fn starts<T: JsonSchema>(mut self) -> Self {
        self.effect = Effect::Job;
        self.gives::<T>(202)
    }
    /// A change of many accounts: a job for each, or with `dry_run` what would become of each.
    fn bulk(mut self) -> Self {
        self.effect = Effect::Bulk;
        self.plans = true;
        self.query::<job::DryRun>().gives::<bulk_types::Bulk>(202).columns(bulk::COLUMNS)
    }
    /// Understands `dry_run`, which is among its query parameters.
    fn planned(mut self) -> Self {
        self.plans = true;
        self
    }
    fn list<T: JsonSchema>(self) -> Self {
        self.query::<page::PageQuery>().gives::<page::Page<T>>(200)
    }
    fn if_match(mut self) -> Self {
        self.if_match = true;
        self
    }
    fn positional(mut self, fields: &'static [&'static str]) -> Self {
        self.cli.positional = fields;
        self
    }
    fn columns(mut self, columns: &'static [&'static str]) -> Self {
        self.cli.columns = columns;
        self
    }
    fn command(mut self, words: &'static str) -> Self {
        self.cli.command = words;
        self
    }
}

/// All operations, in the order of the documentation.
pub fn operations() -> &'static [Operation] {
    static TABLE: OnceLock<Vec<Operation>> = OnceLock::new();
    TABLE.get_or_init(table)
}

/// The operation with this id.
pub fn find(id: &str) -> Option<&'static Operation> {
    operations().iter().find(|o| o.id == id)
}

fn table() -> Vec<Operation> {
    [
        system::operations(),
        session::operations(),
        tokens::operations(),
        users::operations(),
        secrets::operations(),
        packages::operations(),
        accounts::operations(),
        bulk::operations(),
        domains::operations(),
        jobs::operations(),
        schedules::operations(),
        node::operations(),
        audit::operations(),
        events::operations(),
    ]
    .concat()
}
