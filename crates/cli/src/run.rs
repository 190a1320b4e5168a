//! From arguments to an exit code.

use crate::audit;
use crate::client::{Answer, Client};
use crate::document::{Document, Effect, Operation};
use crate::failure::{Failure, code};
use crate::input::{self, Request, given};
use crate::job::{self, Follow, Followed};
use crate::output::{self, List, Style};
use crate::reference;
use crate::save::Place;
use crate::setup;
use crate::tree::{self, Composite, Globals, Wanted, ids};
use clap::ArgMatches;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use wcp360_types::plan::Plan;

/// Runs the command line `args`, prints what there is to say, and returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let document = match Document::embedded() {
        Ok(document) => document,
        Err(error) => {
            output::say(&format!("error: {error}"));
            return code::FAILED;
        }
    };
    let matches = match tree::build(&document).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { code::USAGE } else { 0 };
        }
    };
    let (globals, done, operation) = match tree::wanted(&document, &matches) {
        Some(Wanted::Operation(operation, matches)) => {
            let globals = Globals::of(matches);
            let done = Run::new(&document, &globals).operation(operation, matches, &[]);
            (globals, done, Some(operation))
        }
        Some(Wanted::Composite(composite, matches)) => {
            let globals = Globals::of(matches);
            let done = Run::new(&document, &globals).composite(composite, matches);
            let operation = if composite == Composite::AdminCreate { document.find("users.create") } else { None };
            (globals, done, operation)
        }
        None => return code::USAGE,
    };
    match done {
        Ok(()) => 0,
        Err(failure) if failure.is_closed_pipe() => 0,
        Err(failure) => {
            let style = Style::of(&std::io::stderr());
            let text = output::problem(&failure, operation, globals.verbose, globals.json, style);
            if !text.is_empty() {
                output::say(text.trim_end_matches('\n'));
            }
            failure.code()
        }
    }
}

/// Accounts that were not changed are named one by one up to this number.
const MOST_NAMED: usize = 50;

/// One run of one command.
struct Run<'a> {
    document: &'a Document,
    globals: &'a Globals,
    out: BufWriter<std::io::Stdout>,
    style: Style,
}

impl<'a> Run<'a> {
    fn new(document: &'a Document, globals: &'a Globals) -> Self {
        let stdout = std::io::stdout();
        let style = Style::of(&stdout);
        Self { document, globals, out: BufWriter::new(stdout), style }
    }

    fn composite(&mut self, composite: Composite, matches: &ArgMatches) -> Result<(), Failure> {
        match composite {
            Composite::AdminCreate => match self.document.find("users.create") {
                Some(create) => self.operation(create, matches, &[("role", "admin")]),
                None => Ok(()),
            },
            Composite::JobsWatch => {
                let id = given::<String>(matches, &ids::path("job")).cloned().unwrap_or_default();
                let client = Client::new(self.globals, &self.document.base, Client::token(self.globals)?)?;
                self.follow(&client, &id, true)
            }
            Composite::BulkWatch => {
                let id = given::<String>(matches, &ids::path("bulk")).cloned().unwrap_or_default();
                let client = Client::new(self.globals, &self.document.base, Client::token(self.globals)?)?;
                self.follow_bulk(&client, &id)
            }
            Composite::Completion => {
                if let Some(shell) = given::<clap_complete::Shell>(matches, "shell") {
                    let mut command = tree::build(self.document);
                    // Not to standard output itself: it panics if nobody reads that to its end.
                    let mut script = Vec::new();
                    clap_complete::generate(*shell, &mut command, "wcp360", &mut script);
                    self.out.write_all(&script)?;
                    self.out.flush()?;
                }
                Ok(())
            }
            Composite::Reference => {
                write!(self.out, "{}", reference::markdown(&tree::build(self.document)))?;
                Ok(self.out.flush()?)
            }
        }
    }

    /// Does one operation; `fixed` are fields of the body that the command itself stands for.
    fn operation(
        &mut self,
        operation: &Operation,
        matches: &ArgMatches,
        fixed: &[(&str, &str)],
    ) -> Result<(), Failure> {
        if audit::is_verify(operation)
            && let Some(found) = audit::verify(matches)?
        {
            return self.verified(operation, &found);
        }
        let mut request = input::request(operation, matches)?;
        for (name, value) in fixed {
            if let Some(body) = &mut request.body {
                body[*name] = (*value).into();
            }
        }
        let token = if operation.needs_login { Client::token(self.globals)? } else { None };
        let client = Client::new(self.globals, &self.document.base, token)?;
        if setup::is_setup(operation) {
            let save = given::<PathBuf>(matches, ids::SAVE_TOKEN).map(PathBuf::as_path);
            let answer = setup::run(self.document, self.globals, request, save)?;
            return self.answer(operation, &client, &answer);
        }
        if given(matches, ids::KEEP) == Some(&true) {
            self.keep(operation, &client, &mut request)?;
        }
        if operation.is_stream() {
            client.stream(&request, &mut self.out)?;
            return Ok(self.out.flush()?);
        }
        let place = given::<PathBuf>(matches, ids::SAVE_TOKEN).map(|path| Place::prepare(path)).transpose()?;
        if operation.is_list() {
            return self.list(operation, &client, request, given(matches, ids::ALL) != Some(&false));
        }
        let mut answer = client.send(&request)?;
        if let (Some(place), Some(field)) = (place, operation.token_field())
            && let Some(object) = answer.body.as_object_mut()
            && let Some(Value::String(token)) = object.remove(field)
        {
            place.save(&token)?;
        }
        self.answer(operation, &client, &answer)
    }

    /// Says what became of verifying a file.
    fn verified(&mut self, operation: &Operation, found: &Value) -> Result<(), Failure> {
        match self.globals.json {
            true => output::json(&mut self.out, found)?,
            false => output::detail(&mut self.out, found, &operation.columns, self.style)?,
        }
        self.out.flush()?;
        if found["ok"] == true { Ok(()) } else { Err(Failure::Shown) }
    }

    /// Fills the request with what is there now.
    fn keep(&mut self, operation: &Operation, client: &Client, request: &mut Request) -> Result<(), Failure> {
        if let (Some(shows), Some(fields), Some(body)) =
            (operation.keeps_from(self.document), &operation.body, &mut request.body)
        {
            let now = Request {
                method: shows.method.clone(),
                path: request.path.clone(),
                needs_login: shows.needs_login,
                ..Request::default()
            };
            input::keep(fields, body, &client.send(&now)?.body);
        }
        Ok(())
    }

    fn answer(&mut self, operation: &Operation, client: &Client, answer: &Answer) -> Result<(), Failure> {
        if operation.effect == Effect::Job && answer.status == 202 && !self.globals.no_wait {
            let id = job::parse(&answer.body)?.id.to_string();
            return self.follow(client, &id, false);
        }
        if operation.effect == Effect::Bulk && answer.status == 202 && !self.globals.no_wait {
            let id = answer.body["id"].as_str().unwrap_or_default().to_owned();
            return self.follow_bulk(client, &id);
        }
        if operation.effect == Effect::Bulk && answer.body["items"].is_array() && !self.globals.json {
            return self.bulk_plan(&answer.body);
        }
        let plan = match operation.effect {
            Effect::Job => serde_json::from_value::<Plan>(answer.body.clone()).ok(),
            _ => None,
        };
        match plan {
            _ if answer.body.is_null() => self.note("Done.")?,
            _ if self.globals.json && !answer.body.is_string() => output::json(&mut self.out, &answer.body)?,
            Some(plan) => output::plan(&mut self.out, &plan, self.style)?,
            None => output::detail(&mut self.out, &answer.body, &operation.columns, self.style)?,
        }
        self.out.flush()?;
        match answer.status >= 400 || answer.body["ok"] == false {
            true => Err(Failure::Shown),
            false => Ok(()),
        }
    }

    /// Follows a job to its end and says how that was.
    fn follow(&mut self, client: &Client, id: &str, log: bool) -> Result<(), Failure> {
        let how = Follow { quiet: self.globals.quiet, log, timeout: self.globals.timeout };
        let (job, value) = job::follow(self.document, client, id, how)?;
        if self.globals.json {
            output::json(&mut self.out, &value)?;
            self.out.flush()?;
        }
        job::outcome(&job)?;
        if !self.globals.json {
            let took = job
                .finished_at
                .map_or(String::new(), |end| format!(" in {} ms", end.duration_since(job.created_at).as_millis()));
            self.note(&format!(
                "{} {}: {}{took}.",
                output::clean(&job.operation),
                crate::job::subject(&job),
                self.style.green("succeeded")
            ))?;
        }
        Ok(())
    }

    /// Follows a change of many accounts to its end and says how that was, naming those that were not changed.
    fn follow_bulk(&mut self, client: &Client, id: &str) -> Result<(), Failure> {
        let how = Follow { quiet: self.globals.quiet, log: false, timeout: self.globals.timeout };
        let Followed { bulk, value, not_changed } = job::follow_bulk(self.document, client, id, how)?;
        if self.globals.json {
            output::json(&mut self.out, &value)?;
            self.out.flush()?;
            return job::bulk_outcome(&bulk);
        }
        let style = Style::of(&std::io::stderr());
        for (account, reason) in not_changed.iter().take(MOST_NAMED) {
            output::say(&format!("{} {}: {}", style.red("✘"), output::clean(account), output::clean(reason)));
        }
        if not_changed.len() > MOST_NAMED {
            output::say(&format!("… and {} more", not_changed.len() - MOST_NAMED));
        }
        job::bulk_outcome(&bulk)?;
        let done = self.style.green("succeeded");
        self.note(&format!("{}: {done} for {} accounts.", output::clean(&bulk.operation), bulk.accounts))
    }

    /// What a change of many accounts would do to each.
    fn bulk_plan(&mut self, plan: &Value) -> Result<(), Failure> {
        let mut list = List::new(false, &["account", "fits", "error"].map(str::to_owned), self.style);
        list.rows(&mut self.out, plan["items"].as_array().map_or(&[], Vec::as_slice))?;
        list.end(&mut self.out, None)?;
        self.note(&format!("{} to change, {} refused. Nothing was changed.", plan["changes"], plan["refused"]))?;
        Ok(self.out.flush()?)
    }

    fn list(&mut self, operation: &Operation, client: &Client, mut request: Request, all: bool) -> Result<(), Failure> {
        let mut list = List::new(self.globals.json, &operation.columns, self.style);
        let next = loop {
            let page = client.send(&request)?.body;
            let none = Vec::new();
            list.rows(&mut self.out, page["items"].as_array().unwrap_or(&none))?;
            let Some(next) = page["next_cursor"].as_str().map(str::to_owned) else { break None };
            if !all || !operation.is_paged() {
                break Some(next);
            }
            request.query.retain(|(name, _)| name != "cursor");
            request.query.push(("cursor".into(), next));
        };
        let count = list.count();
        list.end(&mut self.out, next.as_deref())?;
        self.out.flush()?;
        if !self.globals.json && !self.globals.quiet {
            match next {
                Some(cursor) => output::say(&format!("There is more: --cursor {}", output::clean(&cursor))),
                None if count == 0 => output::say("There is nothing to list."),
                None => {}
            }
        }
        Ok(())
    }

    /// Prints a sentence for people.
    fn note(&mut self, text: &str) -> Result<(), Failure> {
        if !self.globals.quiet && !self.globals.json {
            writeln!(self.out, "{text}")?;
            self.out.flush()?;
        }
        Ok(())
    }
}
