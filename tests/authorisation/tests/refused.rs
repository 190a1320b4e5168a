//! All cells that are to be refused: the status, that nothing tells foreign from missing, and that nothing stays behind.

use crate::caller::{self, Caller, Verdict};
use crate::document::{self, Operation};
use crate::http::{Alike, Answer, browse, call_with};
use crate::object::{Names, Relation, fill};
use crate::policy::{POLICY, Rule};
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::world::World;
use std::collections::BTreeMap;

/// How a call is made: the query, and headers that each end in CRLF.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    pub(crate) query: &'static str,
    pub(crate) headers: &'static str,
}

const PLAN: How = How { query: "?dry_run=true", headers: "" };
const CONDITIONAL: How = How {
    query: "",
    headers: "If-Match: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\r\nIdempotency-Key: refused\r\n",
};

/// Calls an operation on an object, with a body that would be accepted.
pub(crate) fn attempt(
    world: &World,
    rule: &Rule,
    operation: &Operation,
    caller: &Caller,
    names: &Names,
    how: How,
) -> Answer {
    let fresh = world.fresh();
    let path = fill(&operation.path, names, &fresh) + how.query;
    let body = rule.body.replace("{own}", &world.account(Relation::Own));
    let body = stepped_up(world, rule, caller, names, fill(&body, names, &fresh));
    let send = if caller.by_session() { browse } else { call_with };
    send(&caller.credential(world), &operation.method, &path, &body, how.headers)
}

/// In a session, some operations ask for the password once more; that for one's own password always does.
fn stepped_up(world: &World, rule: &Rule, caller: &Caller, names: &Names, body: String) -> String {
    let own = world.login(caller.role());
    let field = match rule.operation {
        "tokens.create" | "tokens.rotate" => "password",
        "users.create" | "users.set-password" => "current_password",
        _ => return body,
    };
    let always = rule.operation == "users.set-password" && names.iter().any(|(_, name)| *name == own);
    if !caller.by_session() && !always {
        return body;
    }
    let mut body: serde_json::Value = serde_json::from_str(&body).expect("the policy's bodies are JSON");
    body[field] = world.password(&own).into();
    body.to_string()
}

#[test]
fn everybody_else_is_refused_alike_and_nothing_happens() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let callers = caller::all(world);
    for rule in POLICY {
        let operation = document::find(rule.operation);
        world.settle();
        let before = Snapshot::take(world);
        // Neither a plan nor a condition may tell what is there.
        let ways: &[How] = match (operation.dry_run, operation.if_match) {
            (true, true) => &[How::default(), PLAN, CONDITIONAL],
            (true, false) => &[How::default(), PLAN],
            _ => &[How::default()],
        };
        for caller in &callers {
            for how in ways {
                refused(world, rule, operation, caller, *how, &mut report);
            }
        }
        let difference = before.difference(&Snapshot::take(world));
        report
            .cell(difference.map(|text| format!("{}: refused changes left something behind:\n{text}", rule.operation)));
    }
    report.end("refused");
}

fn refused(world: &World, rule: &Rule, operation: &Operation, caller: &Caller, how: How, report: &mut Report) {
    // Refusals for the same reason must be the same but for the name. What was crossed is named by its second name.
    let mut first: BTreeMap<(Verdict, bool), (Relation, Alike)> = BTreeMap::new();
    for relation in rule.object.relations() {
        let verdict = caller.verdict(rule, *relation);
        if verdict == Verdict::Allowed {
            continue;
        }
        let crossed = matches!(relation, Relation::Crossed | Relation::CrossedMissing) && verdict == Verdict::NotFound;
        // The condition is about the own account, which comes first in the path and before what is crossed.
        let status = if crossed && how.headers == CONDITIONAL.headers { 412 } else { verdict.status() };
        let names = world.names(rule.object, *relation, caller.role());
        let answer = attempt(world, rule, operation, caller, &names, how);
        let what = || format!("{}{} by {} on {relation:?}", rule.operation, how.query, caller.name);
        report.equal(what, answer.status, status);
        if answer.status != status {
            continue;
        }
        report.cell(leaks(&answer).map(|text| format!("{}: {text}", what())));
        let values: Vec<String> = names.into_iter().map(|(_, value)| value).collect();
        let alike = answer.alike(&values);
        match first.get(&(verdict, crossed)) {
            None => drop(first.insert((verdict, crossed), (*relation, alike))),
            Some((other, before)) => {
                report.holds(*before == alike, || format!("{}: {alike:?} unlike {other:?}: {before:?}", what()));
            }
        }
    }
}

/// What no refusal may say.
fn leaks(answer: &Answer) -> Option<String> {
    if answer.header("content-type") != Some("application/problem+json") {
        return Some(format!("not a problem: {answer:?}"));
    }
    let told = ["etag", "location", "set-cookie", "last-modified"];
    let header = answer.headers.iter().find(|(name, _)| told.contains(&name.as_str()))?;
    Some(format!("a refusal has {header:?}"))
}
