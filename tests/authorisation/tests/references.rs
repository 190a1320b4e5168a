//! Names inside bodies and queries: foreign and missing ones are answered alike.

use crate::caller::ROLES;
use crate::document;
use crate::http::{Answer, call, call_with};
use crate::object::{Relation, fill};
use crate::policy::REFERENCES;
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::world::World;
use serde_json::json;

#[test]
fn foreign_names_in_bodies_and_queries_are_answered_as_missing_ones() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    world.settle();
    let before = Snapshot::take(world);
    for reference in REFERENCES {
        let operation = document::find(reference.operation);
        let own_account = vec![("account", world.account(Relation::Own))];
        let mut others = Vec::new();
        for (relation, real) in [(Relation::Own, false), (Relation::Foreign, true), (Relation::Missing, true)] {
            if !real && reference.own == 0 {
                continue;
            }
            let name = world.names(reference.object, relation, reference.role).pop().expect("it has a name").1;
            let fresh = world.fresh();
            let with = |template: &str| fill(&template.replace("{x}", &name), &own_account, &fresh);
            let mut query = with(reference.query);
            // The own one is only planned: nothing here is to leave anything behind.
            if operation.dry_run && !real {
                query = format!("dry_run=true&{query}");
            }
            let path = format!("{}?{query}", with(&operation.path));
            let answer = call(&world.tokens[reference.role], &operation.method, &path, &with(reference.body));
            let what =
                || format!("{} by {} naming {relation:?} {:?}", operation.id, ROLES[reference.role], reference.object);
            let expected = if relation == Relation::Own { reference.own } else { reference.others };
            report.holds(answer.status == expected, || format!("{}: expected {expected}: {answer:?}", what()));
            let answer = without_own_attempts(answer, world, reference.role);
            let empty = answer.json()["items"].as_array().is_none_or(|items| items.is_empty());
            report.holds(relation == Relation::Own || empty, || format!("{}: {answer:?}", what()));
            if relation != Relation::Own {
                others.push(answer.alike(&[name, fresh]));
            }
        }
        report.holds(others[0] == others[1], || format!("{}: {:?} is not {:?}", operation.id, others[0], others[1]));
    }
    world.settle();
    let difference = before.difference(&Snapshot::take(world));
    report.cell(difference.map(|text| format!("refused references left something behind:\n{text}")));
    report.end("references");
}

/// The trail tells everybody what they themselves tried, also in vain, and a reseller what its clients tried.
fn without_own_attempts(mut answer: Answer, world: &World, role: usize) -> Answer {
    let mut page = answer.json();
    if let Some(items) = page["items"].as_array_mut() {
        items.retain(|item| !world.is_own_actor(role, &item["actor"]));
        answer.body = page.to_string();
        answer.headers.retain(|(name, _)| name != "content-length");
    }
    answer
}

#[test]
fn a_key_of_somebody_else_gives_nothing_of_theirs() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let name = world.fresh();
    let key = format!("Idempotency-Key: {name}\r\n");
    let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "starter"}).to_string();
    let made = call_with(&world.tokens[1], "POST", "/accounts", &body, &key);
    report.equal(|| "an account with a key".into(), made.status, 202);
    let job = made.json()["id"].as_str().unwrap_or("no job").to_owned();
    let again = call_with(&world.tokens[1], "POST", "/accounts", &body, &key);
    report.equal(|| "again".into(), (again.status, again.json()["id"].as_str()), (202, Some(job.as_str())));
    let rival = world.token_of(&world.person("riv")).0;
    for (who, credential) in [("rival", &rival), ("the client", &world.tokens[0]), ("root", &world.tokens[3])] {
        let answer = call_with(credential, "POST", "/accounts", &body, &key);
        let told = format!("{:?}{}", answer.headers, answer.body);
        let refused = matches!(answer.status, 403 | 409) && !told.contains(&job);
        report.holds(refused, || format!("{who} with the reseller's key: {answer:?}"));
    }
    world.settle();
    report.end("keys of others");
}
