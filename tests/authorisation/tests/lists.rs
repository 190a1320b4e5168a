//! Lists hold what the caller reaches, and nothing else.

use crate::caller::{self, Verdict, visible};
use crate::document;
use crate::object::{Kind, Relation};
use crate::policy::{Access, POLICY};
use crate::report::Report;
use crate::snapshot::items;
use crate::world::World;
use serde_json::Value;

#[test]
fn lists_hold_what_is_reached_and_nothing_else() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for rule in POLICY {
        let (Kind::ListOf(kind, field), Access::Needs(_, reach)) = (rule.object, rule.access) else { continue };
        let operation = document::find(rule.operation);
        for caller in caller::all(world) {
            if caller.verdict(rule, Relation::Own) != Verdict::Allowed {
                continue;
            }
            let listed = items(&caller.credential(world), &operation.path);
            // The trail tells everybody what they and their clients tried, also in vain; that is not looked at here.
            let tried =
                |item: &Value| rule.operation == "audit.list" && world.is_own_actor(caller.role(), &item["actor"]);
            for relation in [Relation::Own, Relation::Sibling, Relation::Foreign, Relation::Missing] {
                let names = world.names(*kind, relation, caller.role());
                let found = |item: &&Value| {
                    item[field] == names[0].1.as_str() && (relation < Relation::Foreign || !tried(item))
                };
                let expected = visible(reach[caller.role()], relation);
                let what = || format!("{relation:?} in {} of {}", rule.operation, caller.name);
                report.equal(what, listed.iter().any(|item| found(&item)), expected);
            }
            // Neither as the thing listed nor anywhere in it.
            if reach[caller.role()] != crate::policy::Reach::All {
                let foreign = world.account(Relation::Foreign);
                let told = listed.iter().filter(|item| !tried(item)).any(|item| item.to_string().contains(&foreign));
                report.holds(!told, || format!("{} of {} tells of {foreign}", rule.operation, caller.name));
            }
        }
    }
    report.end("lists");
}
