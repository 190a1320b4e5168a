//! Packages: versions, inheritance, files, and what changes with them.

use super::{World, fields, from, how, on_every_database, queued};
use crate::service::BulkOutcome;
use serde_json::{Value, json};
use wcp360_types::Problem;
use wcp360_types::api::bulk::BulkPlan;
use wcp360_types::api::package::{Existing, ImportAction, Package};

impl World {
    async fn package(&self, json: Value) -> Result<Package, Problem> {
        self.engine().create_package(&self.root, from(json)).await.map_err(|error| error.into_problem())
    }

    async fn repackage(&self, json: Value) -> Result<Package, Problem> {
        self.engine().update_package(&self.root, from(json)).await.map_err(|error| error.into_problem())
    }

    async fn shown(&self, name: &str) -> Package {
        self.engine().package(&self.root, &name.parse().unwrap()).await.unwrap()
    }
}

#[tokio::test]
async fn ten_05_a_package_extends_another_and_follows_it() {
    on_every_database(async |world| {
        world.package(json!({"name": "base", "limits": {"disk_mb": 100, "inodes": 7}, "features": {"ssh": true}})).await.unwrap();
        let mid = world.package(json!({"name": "mid", "extends": "base", "limits": {"disk_mb": 200}})).await.unwrap();
        assert_eq!((mid.gives.limits.disk_mb, mid.gives.limits.inodes, mid.gives.features.ssh), (Some(200), Some(7), true));
        world.package(json!({"name": "top", "extends": "mid", "limits": {"inodes": null}})).await.unwrap();
        // What only looks different makes a version of the package alone; what is inherited makes one of the heirs.
        world.repackage(json!({"name": "base", "description": "new words", "limits": {"disk_mb": 100, "inodes": 7}, "features": {"ssh": true}})).await.unwrap();
        assert_eq!([world.shown("base").await.version, world.shown("mid").await.version], [2, 1]);
        world.repackage(json!({"name": "base", "limits": {"disk_mb": 100, "inodes": 9}})).await.unwrap();
        let (mid, top) = (world.shown("mid").await, world.shown("top").await);
        assert_eq!((mid.gives.limits.inodes, mid.gives.features.ssh, mid.version), (Some(9), false, 2));
        assert_eq!((top.gives.limits.inodes, top.gives.limits.disk_mb, top.version), (None, Some(200), 2));
        // The same once more is no change.
        world.repackage(json!({"name": "base", "limits": {"disk_mb": 100, "inodes": 9}})).await.unwrap();
        assert_eq!(world.shown("base").await.version, 3);
        let name = "base".parse().unwrap();
        let versions = world.engine().package_versions(&world.root, &name, 2, None).await.unwrap();
        assert_eq!(versions.items.iter().map(|v| v.version).collect::<Vec<_>>(), [3, 2]);
        let rest = world.engine().package_versions(&world.root, &name, 2, versions.next_cursor).await.unwrap();
        assert_eq!((rest.items.len(), rest.items[0].gives.limits.inodes), (1, Some(7)));
        // In circles, to nowhere, and away from under others it does not go.
        for (json, field) in [
            (json!({"name": "base", "extends": "top"}), "extends"),
            (json!({"name": "base", "extends": "base"}), "extends"),
            (json!({"name": "base", "extends": "missing"}), "extends"),
            (json!({"name": "base", "limits": {"cpu_percent": 0}}), "limits.cpu_percent"),
            (json!({"name": "base", "limits": {"disk_mb": 1}, "ceilings": {"disk_mb": 50}}), "ceilings.disk_mb"),
        ] {
            let problem = world.repackage(json.clone()).await.unwrap_err();
            assert!(fields(&problem).contains(&field), "{json}: {problem:?}");
        }
        assert_eq!(world.engine().delete_package(&world.root, &name).await.unwrap_err().into_problem().status, 409);
        assert_eq!(world.shown("base").await.version, 3);
    })
    .await;
}

#[tokio::test]
async fn ten_05_propagation_is_asked_for_and_keeps_what_was_set() {
    on_every_database(async |world| {
        let engine = world.engine();
        world.package(json!({"name": "plan", "limits": {"disk_mb": 100, "addon_domains": 3}})).await.unwrap();
        for name in ["aaa", "bbb", "ccc"] {
            world
                .account(
                    &world.root,
                    json!({"username": name, "primary_domain": format!("{name}.test"), "package": "plan"}),
                )
                .await;
        }
        let own = from(json!({"limits": {"disk_mb": 500}}));
        queued(
            engine
                .set_overrides(&world.root, &"aaa".parse().unwrap(), own, how("accounts.set-overrides"))
                .await
                .unwrap(),
        );
        for domain in ["b1.test", "b2.test"] {
            let domain = from(json!({"domain": domain}));
            queued(engine.add_domain(&world.root, &"bbb".parse().unwrap(), domain, how("domains.add")).await.unwrap());
            world.finish_jobs().await;
        }
        world.repackage(json!({"name": "plan", "limits": {"disk_mb": 50, "addon_domains": 1}})).await.unwrap();
        let shown = world.shown("plan").await;
        assert_eq!((shown.version, shown.accounts, shown.outdated), (2, 3, 3));
        assert_eq!(world.manifests("ccc").await.limits.limits.disk_mb, Some(100), "nothing changes by itself");
        let plan = "plan".parse().unwrap();
        let dry = super::JobRequest { dry_run: true, ..how("packages.propagate") };
        let planned = engine.propagate_package(&world.root, &plan, from(json!({})), dry).await.unwrap();
        let BulkOutcome::Planned(BulkPlan { changes, refused, items }) = planned else { panic!("it began") };
        assert_eq!((changes, refused), (2, 1));
        assert_eq!(items[1].errors[0].field, "limits.addon_domains");
        let begun = engine.propagate_package(&world.root, &plan, from(json!({})), how("packages.propagate")).await;
        let BulkOutcome::Started(bulk) = begun.unwrap() else { panic!("it was planned") };
        while engine.advance_bulks().await.unwrap() {}
        assert_eq!(world.finish_jobs().await, (2, 0));
        let bulk = engine.bulk(&world.root, bulk.id).await.unwrap();
        assert_eq!((bulk.accounts, bulk.succeeded, bulk.refused), (3, 2, 1));
        let (a, b) = (world.manifests("aaa").await, world.manifests("bbb").await);
        assert_eq!(
            (a.limits.limits.disk_mb, a.limits.limits.addon_domains, a.limits.package_version),
            (Some(500), Some(1), 2)
        );
        assert_eq!((b.limits.limits.disk_mb, b.limits.package_version), (Some(100), 1));
        // With a word what is there stays.
        let keep = from(json!({"keep_excess": true}));
        engine.propagate_package(&world.root, &plan, keep, how("packages.propagate")).await.unwrap();
        while engine.advance_bulks().await.unwrap() {}
        world.finish_jobs().await;
        let b = world.manifests("bbb").await;
        assert_eq!((b.domains.addon.len(), b.limits.limits.addon_domains), (2, Some(1)));
        let (name, domain) = ("bbb".parse().unwrap(), from(json!({"domain": "b3.test"})));
        let more = engine.add_domain(&world.root, &name, domain, how("domains.add"));
        assert_eq!(more.await.unwrap_err().into_problem().status, 422);
        assert_eq!(world.shown("plan").await.outdated, 0);
    })
    .await;
}

#[tokio::test]
async fn ten_05_a_file_is_taken_whole_or_not_at_all() {
    on_every_database(async |world| {
        let engine = world.engine();
        let import = |json: Value, existing, dry| engine.import_packages(&world.root, from(json), existing, dry);
        let file = json!({"schema_version": 1, "packages": [
            {"name": "child", "extends": "parent", "limits": {"disk_mb": 5}},
            {"name": "parent", "limits": {"inodes": 9}},
            {"name": "starter", "description": "mine"}
        ]});
        let refused = import(file.clone(), Existing::Refuse, false).await.unwrap_err().into_problem();
        assert_eq!(fields(&refused), ["packages[2].name"]);
        assert!(engine.package(&world.root, &"parent".parse().unwrap()).await.is_err(), "nothing of it was made");
        let planned = import(file.clone(), Existing::Replace, true).await.unwrap().items;
        let actions: Vec<_> = planned.iter().map(|item| item.action).collect();
        assert_eq!(actions, [ImportAction::Created, ImportAction::Created, ImportAction::Replaced]);
        assert!(planned[2].differences.iter().any(|d| d.field == "description" && d.after == "mine"));
        assert!(engine.package(&world.root, &"parent".parse().unwrap()).await.is_err(), "it was only planned");
        import(file.clone(), Existing::Skip, false).await.unwrap();
        assert_eq!(world.shown("child").await.gives.limits.inodes, Some(9));
        assert_ne!(world.shown("starter").await.spec.description, "mine");
        let again = import(file, Existing::Replace, false).await.unwrap().items;
        let actions: Vec<_> = again.iter().map(|item| item.action).collect();
        assert_eq!(actions, [ImportAction::Unchanged, ImportAction::Unchanged, ImportAction::Replaced]);
        // Out, and in again: nothing is different.
        let all = engine.export_packages(&world.root).await.unwrap();
        assert_eq!(all.packages.len(), 5);
        let again = engine.import_packages(&world.root, all, Existing::Replace, false).await.unwrap();
        assert!(again.items.iter().all(|item| item.action == ImportAction::Unchanged));
        // Everything that is wrong is told at once.
        let bad = json!({"schema_version": 1, "packages": [
            {"name": "bad1", "limits": {"cpu_percent": 0}}, {"name": "good"}, {"name": "bad2", "extends": "nothing"}
        ]});
        let problem = import(bad, Existing::Refuse, false).await.unwrap_err().into_problem();
        assert_eq!(fields(&problem), ["packages[0].limits.cpu_percent", "packages[2].extends"]);
        assert!(engine.package(&world.root, &"good".parse().unwrap()).await.is_err());
        let other = import(json!({"schema_version": 2, "packages": []}), Existing::Refuse, false).await;
        assert_eq!(fields(&other.unwrap_err().into_problem()), ["schema_version"]);
    })
    .await;
}

#[tokio::test]
async fn ten_06_a_resellers_packages_stay_within_its_limits_and_its_own() {
    on_every_database(async |world| {
        let engine = world.engine();
        let (one, two) = (world.reseller("one").await, world.reseller("two").await);
        let limits = from(json!({"packages": 2, "per_account": {"disk_mb": 100}, "without": ["ssh"]}));
        engine.set_reseller_limits(&world.root, "one", limits).await.unwrap();
        let create = |json: Value| engine.create_package(&one, from(json));
        let problem = create(json!({"name": "big", "limits": {"disk_mb": 101}, "features": {"ssh": true}})).await;
        assert_eq!(fields(&problem.unwrap_err().into_problem()), ["limits.disk_mb", "features.ssh"]);
        assert_eq!(fields(&create(json!({"name": "big"})).await.unwrap_err().into_problem()), ["limits.disk_mb"]);
        create(json!({"name": "fits", "limits": {"disk_mb": 100}, "visibility": "private"})).await.unwrap();
        let grown = engine.update_package(&one, from(json!({"name": "fits", "limits": {"disk_mb": 200}}))).await;
        assert_eq!(grown.unwrap_err().into_problem().status, 422);
        create(json!({"name": "more", "extends": "fits"})).await.unwrap();
        let third = create(json!({"name": "third", "limits": {"disk_mb": 1}})).await;
        assert_eq!(third.unwrap_err().into_problem().status, 422);
        // Another one neither sees nor changes nor extends them.
        let (fits, missing) = ("fits".parse().unwrap(), "missing".parse().unwrap());
        for name in [&fits, &missing] {
            assert_eq!(engine.package(&two, name).await.unwrap_err().into_problem().status, 404);
            assert_eq!(engine.delete_package(&two, name).await.unwrap_err().into_problem().status, 404);
            assert_eq!(engine.package_versions(&two, name, 10, None).await.unwrap_err().into_problem().status, 404);
            let extends = engine.create_package(&two, from(json!({"name": "thief", "extends": name}))).await;
            assert_eq!(fields(&extends.unwrap_err().into_problem()), ["extends"]);
            let given = json!({"username": "xyz", "primary_domain": "xyz.test", "package": name});
            let given = engine.create_account(&two, from(given), how("accounts.create")).await;
            assert_eq!(fields(&given.unwrap_err().into_problem()), ["package"]);
        }
        assert_eq!(engine.export_packages(&two).await.unwrap().packages.len(), 0);
        assert_eq!(engine.export_packages(&one).await.unwrap().packages.len(), 2);
        // Its own default does not change what others get.
        engine.set_default_package(&one, fits.clone()).await.unwrap();
        world.account(&one, json!({"username": "mine", "primary_domain": "mine.test"})).await;
        assert_eq!(world.manifests("mine").await.account.package, fits);
        assert_eq!(engine.default_package(&two).await.unwrap().package.as_str(), "starter");
    })
    .await;
}

#[tokio::test]
async fn ten_05_overrides_stay_below_the_packages_ceilings() {
    on_every_database(async |world| {
        let engine = world.engine();
        world.package(json!({"name": "plan", "limits": {"disk_mb": 10}, "ceilings": {"disk_mb": 20}})).await.unwrap();
        let request = |disk: u64| json!({"username": "aaa", "primary_domain": "aaa.test", "package": "plan", "overrides": {"limits": {"disk_mb": disk}}});
        let problem = engine.create_account(&world.root, from(request(21)), how("accounts.create")).await;
        assert_eq!(fields(&problem.unwrap_err().into_problem()), ["limits.disk_mb"]);
        world.account(&world.root, request(15)).await;
        let name = "aaa".parse().unwrap();
        let set = |json: Value| engine.set_overrides(&world.root, &name, from(json), how("accounts.set-overrides"));
        for (json, field) in [
            (json!({"limits": {"disk_mb": 21}}), "limits.disk_mb"),
            (json!({"limits": {"disk_mb": null}}), "limits.disk_mb"),
            (json!({"limits": {"cpu_percent": 0}}), "limits.cpu_percent"),
            (json!({"php": {"max_children": 0}}), "php.max_children"),
        ] {
            assert_eq!(fields(&set(json).await.unwrap_err().into_problem()), [field]);
        }
        queued(set(json!({"limits": {"disk_mb": 20}})).await.unwrap());
        world.finish_jobs().await;
        assert_eq!(world.manifests("aaa").await.limits.limits.disk_mb, Some(20));
    })
    .await;
}

#[tokio::test]
async fn ten_05_heirs_neither_stand_in_the_way_nor_stay_behind() {
    on_every_database(async |world| {
        let base = |disk: u64| json!({"name": "base", "limits": {"disk_mb": disk}});
        world.package(base(100)).await.unwrap();
        world.package(json!({"name": "heir", "extends": "base", "soft_limits": {"disk_mb": 90}})).await.unwrap();
        // A soft limit of an heir goes down with the hard one.
        world.repackage(base(50)).await.unwrap();
        let heir = world.shown("heir").await.gives;
        assert_eq!((heir.limits.disk_mb, heir.soft_limits.disk_mb), (Some(50), Some(50)));
        // A row of them can't be hung below another row, so that none is too deep to follow.
        for n in 1..=8 {
            let above = if n == 1 { "base".to_owned() } else { format!("p{}", n - 1) };
            world.package(json!({"name": format!("p{n}"), "extends": above})).await.unwrap();
        }
        world.package(json!({"name": "top"})).await.unwrap();
        let hung = world.repackage(json!({"name": "base", "extends": "top", "limits": {"disk_mb": 50}})).await;
        assert_eq!(fields(&hung.unwrap_err()), ["extends"]);
        world.repackage(base(40)).await.unwrap();
        assert_eq!(world.shown("p8").await.gives.limits.disk_mb, Some(40));
    })
    .await;
}
