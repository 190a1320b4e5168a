//! All cells that are to be allowed. Plans where there are plans, and one change for real per operation and role.

use crate::caller::{self, Caller, ROLES, Standing, Verdict};
use crate::document::{self, Operation};
use crate::http::{Credential, browse, call};
use crate::object::{Kind, Names, Relation};
use crate::policy::{Access, POLICY, Reach, Rule};
use crate::refused::{How, attempt};
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::world::{World, id_of_session, job_of, log_in, must};
use serde_json::json;

#[test]
fn who_may_can_and_a_plan_changes_nothing() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let callers = caller::all(world);
    for rule in POLICY.iter().filter(|rule| matches!(rule.access, Access::Needs(..))) {
        let operation = document::find(rule.operation);
        world.settle();
        // To have something to take back, something has to be changed: that is no plan's doing.
        let plans = operation.dry_run && rule.object != Kind::Change;
        let before = plans.then(|| Snapshot::take(world));
        for caller in &callers {
            for relation in rule.object.relations() {
                if caller.verdict(rule, *relation) == Verdict::Allowed {
                    allowed(world, rule, operation, caller, *relation, &mut report);
                }
            }
        }
        let difference = before.and_then(|before| before.difference(&Snapshot::take(world)));
        report.cell(difference.map(|text| format!("{}: plans left something behind:\n{text}", rule.operation)));
    }
    report.end("allowed");
}

fn allowed(
    world: &World,
    rule: &Rule,
    operation: &Operation,
    caller: &Caller,
    relation: Relation,
    report: &mut Report,
) {
    let what = || format!("{} by {} on {relation:?}", rule.operation, caller.name);
    let (names, query, status) = if operation.dry_run && rule.success < 400 {
        let names = match rule.object {
            // What was changed since can't be taken back: it has to be the last one.
            Kind::Change => vec![("job", world.add_domain(relation))],
            _ => world.names(rule.object, relation, caller.role()),
        };
        (names, "?dry_run=true", 200)
    } else if operation.reads() || rule.success >= 400 {
        (world.names(rule.object, relation, caller.role()), "", rule.success)
    } else {
        (throw_away(world, rule.object, relation, caller.role()), "", rule.success)
    };
    let answer = attempt(world, rule, operation, caller, &names, How { query, headers: "" });
    report.holds(answer.status == status, || format!("{}: expected {status}, got {answer:?}", what()));
    let named = names.iter().all(|(_, name)| answer.body.contains(name.as_str()));
    let tells = operation.reads() && rule.object == Kind::Account && rule.operation.ends_with(".show");
    report.holds(!tells || named, || format!("{}: the answer is about something else: {answer:?}", what()));
}

/// A new object of a kind, for a change that can be made once.
fn throw_away(world: &World, kind: Kind, relation: Relation, role: usize) -> Names {
    let root = &world.tokens[3];
    match kind {
        Kind::Token => {
            // A limited token reaches those that may no more than itself.
            let body = json!({"name": "throw-away", "scopes": ["self.manage"]});
            let made = must(&world.tokens[role], "POST", "/tokens", &body, 201);
            vec![("token", made["id"].as_str().expect("an id").to_owned())]
        }
        Kind::Session => {
            let login = world.login(role);
            vec![("session", id_of_session(&log_in(&login, &world.password(&login))))]
        }
        Kind::LoginSession => {
            let login = world.account(relation);
            let id = id_of_session(&log_in(&login, &world.password(&login)));
            vec![("user", login), ("session", id)]
        }
        Kind::LoginToken => {
            let login = world.account(relation);
            let id = world.token_of(&login).1;
            vec![("user", login), ("token", id)]
        }
        Kind::Schedule => vec![("schedule", world.schedule(relation))],
        Kind::Reseller => {
            let name = world.fresh();
            let body = json!({"username": name, "role": "reseller", "password": world.password(&name)});
            must(root, "POST", "/users", &body, 201);
            vec![("user", name)]
        }
        Kind::Package => {
            let name = world.fresh();
            // Foreign ones are reached by administrators alone, who reach all: whose they are makes no difference then.
            let owner = if relation == Relation::Own { &world.tokens[1] } else { root };
            must(owner, "POST", "/packages", &json!({"name": name, "visibility": "private"}), 201);
            vec![("package", name)]
        }
        _ => world.names(kind, relation, role),
    }
}

/// One change for real.
struct Change {
    rule: &'static Rule,
    role: usize,
    names: Names,
}

#[test]
fn every_role_that_may_changes_accounts_for_real() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let mut changes = Vec::new();
    for rule in POLICY {
        let Access::Needs(_, reach) = rule.access else { continue };
        let roles = (0..4).filter(|role| reach[*role] != Reach::Never && document::find(rule.operation).dry_run);
        changes.extend(roles.map(|role| Change { rule, role, names: Names::new() }));
    }
    // All objects first, side by side: each takes a second.
    for change in &mut changes {
        change.names = account_for(world, change.rule.object, change.role);
    }
    world.settle();
    for change in &changes {
        make_ready(world, change);
    }
    world.settle();
    for change in &changes {
        let what = || format!("{} for real by {}", change.rule.operation, ROLES[change.role]);
        let caller = Caller {
            name: ROLES[change.role].into(),
            proof: caller::Proof::Fixed(world.tokens[change.role].clone()),
            standing: Standing::Known(change.role, None),
        };
        let operation = document::find(change.rule.operation);
        let names = match change.rule.object {
            Kind::Change => vec![("job", world.add_domain(Relation::Own))],
            _ => change.names.clone(),
        };
        let answer = attempt(world, change.rule, operation, &caller, &names, How::default());
        report.holds(answer.status == change.rule.success, || format!("{}: {answer:?}", what()));
        if answer.status != 202 {
            continue;
        }
        world.settle();
        if answer.json()["refused"].is_u64() {
            let bulk = world.bulk_done(&job_of(&answer.json()));
            report.holds(bulk["actor"] == world.login(change.role).as_str(), || format!("{}: {bulk}", what()));
            continue;
        }
        // Root asks: with a deleted account its owner's reach is gone too.
        let job = must(&world.tokens[3], "GET", &format!("/jobs/{}", job_of(&answer.json())), &json!(null), 200);
        report.holds(job["state"] == "succeeded", || format!("{}: {job}", what()));
        report.holds(job["actor"] == world.login(change.role).as_str(), || format!("{}: the actor of {job}", what()));
    }
    report.end("for real");
}

/// An account that may be lost; a client has but its own.
fn account_for(world: &World, kind: Kind, role: usize) -> Names {
    match kind {
        Kind::Nothing | Kind::Change => return Names::new(),
        // Whoever may do something with one may do it with the reseller's.
        Kind::Reseller | Kind::Package => return throw_away(world, kind, Relation::Own, role),
        _ => {}
    }
    let name = if role == 0 { world.account(Relation::Own) } else { world.fresh() };
    if role != 0 {
        let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "starter"});
        must(&world.tokens[1], "POST", "/accounts", &body, 202);
    }
    let mut names = vec![("account", name.clone())];
    if kind == Kind::Domain {
        names.push(("domain", format!("gone.{name}.test")));
    }
    names
}

/// What the change needs to be there before.
fn make_ready(world: &World, change: &Change) {
    let root: &Credential = &world.tokens[3];
    let path = change.names.first().map(|(_, name)| format!("/accounts/{name}")).unwrap_or_default();
    match change.rule.object {
        // By its reseller: what an administrator suspends only administrators bring back.
        Kind::Suspended => drop(must(&world.tokens[1], "POST", &format!("{path}/suspend"), &json!({}), 202)),
        Kind::Domain => {
            drop(must(root, "POST", &format!("{path}/domains"), &json!({"domain": change.names[1].1}), 202));
        }
        _ => {}
    }
}

#[test]
fn people_of_the_panel_are_reached_by_those_above_them() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for (operation, role, reached) in crate::policy::STAFF {
        for (target, reached) in ["reseller", "admin", "root"].into_iter().zip(reached) {
            let login = match (*operation, target) {
                (_, "root") => world.login(3),
                ("users.delete", target) if *reached => {
                    let name = world.fresh();
                    let body = json!({"username": name, "role": target, "password": world.password(&name)});
                    must(&world.tokens[3], "POST", "/users", &body, 201);
                    name
                }
                (_, "reseller") => world.person("riv"),
                _ => world.person("ad2"),
            };
            let before = Snapshot::take(world);
            let operation = document::find(operation);
            let path = operation.path.replace("{user}", &login);
            let body = match operation.method.as_str() {
                "DELETE" => String::new(),
                _ if *reached => json!({"password": world.password(&login)}).to_string(),
                _ => json!({"password": "a password of an intruder"}).to_string(),
            };
            let answer = call(&world.tokens[*role], &operation.method, &path, &body);
            let what = || format!("{} by {} on a {target}: {answer:?}", operation.id, ROLES[*role]);
            if *reached {
                report.holds(answer.status == 204, what);
                continue;
            }
            // Administrators see everybody, so they may be told why; for others there is nobody of that name.
            let refusals: &[u16] = if *role >= 2 { &[403, 404, 409] } else { &[404] };
            report.holds(refusals.contains(&answer.status), what);
            report.cell(before.difference(&Snapshot::take(world)).map(|text| format!("{}\n{text}", what())));
            let intruded = json!({"username": login, "password": "a password of an intruder"}).to_string();
            if *role >= 2 && operation.method == "PUT" {
                let answer = browse(&Credential::Nothing, "POST", "/session", &intruded, "");
                report.holds(answer.status == 401, || format!("the refused password works: {answer:?}"));
            }
        }
    }
    report.end("people of the panel");
}

#[test]
fn nobody_makes_people_above_themselves() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for (role, statuses) in crate::policy::MAKES {
        for (made, status) in ["reseller", "admin", "root", "client"].into_iter().zip(statuses) {
            let name = world.fresh();
            let body = json!({"username": name, "role": made, "password": world.password(&name)}).to_string();
            let answer = call(&world.tokens[*role], "POST", "/users", &body);
            report.equal(|| format!("a {made} made by {}", ROLES[*role]), answer.status, *status);
            let there =
                crate::snapshot::items(&world.tokens[3], "/users").iter().any(|user| user["username"] == name.as_str());
            report.equal(|| format!("the {made} that {} wanted is there", ROLES[*role]), there, *status == 201);
        }
    }
    report.end("people made");
}

#[test]
fn nobody_does_with_a_job_what_they_could_not_have_asked_for() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    world.settle();
    let before = Snapshot::take(world);
    // The client sees the job that created the account, and may take back jobs of its own, but creates no accounts.
    let names = world.names(Kind::Job, Relation::Own, 0);
    let session = world.session(0);
    for rule in POLICY.iter().filter(|rule| rule.object == Kind::Change) {
        let operation = document::find(rule.operation);
        for body in [rule.body, r#"{"accept_data_loss":true}"#] {
            for client in [&world.tokens[0], &session] {
                let path = crate::object::fill(&operation.path, &names, "");
                let answer = call(client, &operation.method, &path, body);
                report.holds(matches!(answer.status, 403 | 422), || format!("{} {body}: {answer:?}", rule.operation));
            }
        }
    }
    world.settle();
    report.cell(before.difference(&Snapshot::take(world)));
    report.end("jobs beyond one's rights");
}
