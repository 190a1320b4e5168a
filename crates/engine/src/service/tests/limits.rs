//! Maxima, with 64 who ask at once: none is exceeded by one, and what fits is given.

use super::{fields, from, how, on_every_database};
use serde_json::json;
use wcp360_types::Role;

#[tokio::test(flavor = "multi_thread")]
async fn ten_06_64_at_once_get_no_account_too_many() {
    on_every_database(async |world| {
        let seller = world.reseller("seller").await;
        let limits = from(json!({"accounts": 10}));
        world.engine().set_reseller_limits(&world.root, "seller", limits).await.unwrap();
        let (accepted, refused) = world
            .at_once(|engine, n| {
                let seller = seller.clone();
                async move {
                    let name = format!("acc{n}");
                    let request = from(json!({"username": name, "primary_domain": format!("{name}.test")}));
                    engine.create_account(&seller, request, how("accounts.create")).await
                }
            })
            .await;
        assert_eq!((accepted, refused.len()), (10, 54));
        assert!(refused.iter().all(|p| p.status == 422 && fields(p) == ["owner"]), "{:?}", refused[0]);
        let usage = world.engine().usage(&seller, "seller").await.unwrap();
        assert_eq!((usage.accounts, usage.domains), (10, 10));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_06_64_at_once_are_given_no_more_than_the_total() {
    on_every_database(async |world| {
        let seller = world.reseller("seller").await;
        // A starter package has 5120 MiB: seven of them fit, and 160 MiB are left over.
        let limits = from(json!({"totals": {"disk_mb": 36_000}}));
        world.engine().set_reseller_limits(&world.root, "seller", limits).await.unwrap();
        let (accepted, refused) = world
            .at_once(|engine, n| {
                let seller = seller.clone();
                async move {
                    let name = format!("acc{n}");
                    let request =
                        from(json!({"username": name, "primary_domain": format!("{name}.test"), "package": "starter"}));
                    engine.create_account(&seller, request, how("accounts.create")).await
                }
            })
            .await;
        assert_eq!((accepted, refused.len()), (7, 57));
        assert!(refused.iter().all(|p| fields(p) == ["limits.disk_mb"]), "{:?}", refused[0]);
        world.finish_jobs().await;
        let disk = |usage: wcp360_types::api::reseller::Usage| {
            usage.given.into_iter().find(|given| given.name == "disk_mb").unwrap()
        };
        let given = disk(world.engine().usage(&seller, "seller").await.unwrap());
        assert_eq!((given.given, given.unlimited, given.total), (35_840, 0, Some(36_000)));
        // What is unlimited can't be added up, whoever asks; what is small still fits.
        let request =
            json!({"username": "huge", "primary_domain": "huge.test", "package": "unlimited", "owner": "seller"});
        let refused = world.engine().create_account(&world.root, from(request), how("accounts.create")).await;
        assert_eq!(fields(&refused.unwrap_err().into_problem()), ["limits.disk_mb"]);
        let small =
            json!({"username": "small", "primary_domain": "small.test", "overrides": {"limits": {"disk_mb": 160}}});
        world.account(&seller, small).await;
        assert_eq!(disk(world.engine().usage(&seller, "seller").await.unwrap()).given, 36_000);
        // All ask for more at once: nothing is left. Less is always given, and then somebody can have it.
        let raise = |disk: u64| from::<wcp360_types::content::Overrides>(json!({"limits": {"disk_mb": disk}}));
        let name = "small".parse().unwrap();
        let more = world.engine().set_overrides(&seller, &name, raise(161), how("accounts.set-overrides")).await;
        assert_eq!(fields(&more.unwrap_err().into_problem()), ["limits.disk_mb"]);
        let less = world.engine().set_overrides(&seller, &name, raise(100), how("accounts.set-overrides")).await;
        super::queued(less.unwrap());
        // Until that is done, the larger amount counts.
        let request =
            json!({"username": "tiny", "primary_domain": "tiny.test", "overrides": {"limits": {"disk_mb": 60}}});
        let early = world.engine().create_account(&seller, from(request.clone()), how("accounts.create")).await;
        assert_eq!(fields(&early.unwrap_err().into_problem()), ["limits.disk_mb"]);
        world.finish_jobs().await;
        world.account(&seller, request).await;
        assert_eq!(disk(world.engine().usage(&seller, "seller").await.unwrap()).given, 36_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_03_64_at_once_add_no_domain_too_many_of_any_kind() {
    on_every_database(async |world| {
        // Of each kind, one account; the package allows 1 addon domain, 10 subdomains and 5 aliases.
        for (name, most, field) in
            [("addons", 1, "addon_domains"), ("subs", 10, "subdomains"), ("aliases", 5, "alias_domains")]
        {
            world.account(&world.root, json!({"username": name, "primary_domain": format!("{name}.test")})).await;
            let (accepted, refused) =
                world
                    .at_once(|engine, n| {
                        let root = world.root.clone();
                        let domain = match name {
                            "subs" => json!({"domain": format!("s{n}.subs.test")}),
                            "aliases" => json!({"domain": format!("a{n}-aliases.test"), "kind": "alias"}),
                            _ => json!({"domain": format!("a{n}-addons.test")}),
                        };
                        async move {
                            engine.add_domain(&root, &name.parse().unwrap(), from(domain), how("domains.add")).await
                        }
                    })
                    .await;
            assert_eq!((accepted, refused.len()), (most, 64 - most), "{name}");
            assert!(refused.iter().all(|p| p.status == 422 && p.detail.contains(field)), "{:?}", refused[0]);
            assert_eq!(world.finish_jobs().await, (most, 0));
            assert_eq!(world.manifests(name).await.domains.names().count(), most + 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_06_64_at_once_have_no_name_too_many_together() {
    on_every_database(async |world| {
        let seller = world.reseller("seller").await;
        for name in ["aa1", "aa2"] {
            let request = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "unlimited"});
            world.account(&seller, request).await;
        }
        let limits = from(json!({"domains": 9}));
        world.engine().set_reseller_limits(&world.root, "seller", limits).await.unwrap();
        let (accepted, refused) = world
            .at_once(|engine, n| {
                let seller = seller.clone();
                async move {
                    let account = format!("aa{}", n % 2 + 1);
                    let domain = from(json!({"domain": format!("x{n}.test")}));
                    engine.add_domain(&seller, &account.parse().unwrap(), domain, how("domains.add")).await
                }
            })
            .await;
        assert_eq!((accepted, refused.len()), (7, 57));
        let (accepted, _) = world
            .at_once(|engine, n| {
                let seller = seller.clone();
                async move {
                    let request = json!({"username": format!("bb{n}"), "primary_domain": format!("bb{n}.test")});
                    engine.create_account(&seller, from(request), how("accounts.create")).await
                }
            })
            .await;
        assert_eq!(accepted, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_05_a_smaller_package_and_more_domains_at_once() {
    on_every_database(async |world| {
        world
            .account(&world.root, json!({"username": "racer", "primary_domain": "racer.test", "package": "business"}))
            .await;
        // Whoever comes first: either the package does not fit any more, or nothing can be added to it.
        let (accepted, _) = world
            .at_once(|engine, n| {
                let root = world.root.clone();
                async move {
                    let name = "racer".parse().unwrap();
                    if n == 40 {
                        let request = from(json!({"package": "starter"}));
                        return engine.change_package(&root, &name, request, how("accounts.change-package")).await;
                    }
                    let domain = from(json!({"domain": format!("r{n}.test")}));
                    engine.add_domain(&root, &name, domain, how("domains.add")).await
                }
            })
            .await;
        let (done, failed) = world.finish_jobs().await;
        assert_eq!((done, failed), (accepted, 0));
        let set = world.manifests("racer").await;
        let most = set.limits.limits.addon_domains.unwrap() as usize;
        assert!(set.domains.addon.len() <= most, "{} of {most}", set.domains.addon.len());
        assert!(accepted >= 2, "{accepted}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_06_an_account_moves_only_to_who_may_have_it() {
    on_every_database(async |world| {
        let engine = world.engine();
        let (one, two) = (world.reseller("one").await, world.reseller("two").await);
        engine.create_package(&one, from(json!({"name": "own", "visibility": "private"}))).await.unwrap();
        world.account(&one, json!({"username": "mover", "primary_domain": "mover.test", "package": "own"})).await;
        let name = "mover".parse().unwrap();
        let by = |owner: &'static str| engine.set_owner(&world.root, &name, owner);
        // It can't see the package; it may not have that much; nobody; and then it may.
        assert_eq!(fields(&by("two").await.unwrap_err().into_problem()), ["owner"]);
        let request = from(json!({"package": "starter"}));
        engine.change_package(&one, &name, request, how("accounts.change-package")).await.unwrap();
        world.finish_jobs().await;
        for (limits, field) in [
            (json!({"accounts": 0}), "owner"),
            (json!({"domains": 0}), "domain"),
            (json!({"totals": {"disk_mb": 5119}}), "limits.disk_mb"),
            (json!({"per_account": {"memory_mb": 511}}), "limits.memory_mb"),
            (json!({"without": ["dns"]}), "features.dns"),
        ] {
            engine.set_reseller_limits(&world.root, "two", from(limits)).await.unwrap();
            assert_eq!(fields(&by("two").await.unwrap_err().into_problem()), [field]);
        }
        assert_eq!(fields(&by("nobody").await.unwrap_err().into_problem()), ["owner"]);
        engine.set_reseller_limits(&world.root, "two", from(json!({"totals": {"disk_mb": 5120}}))).await.unwrap();
        assert_eq!(by("two").await.unwrap().owner, "two");
        assert_eq!(engine.usage(&one, "one").await.unwrap().accounts, 0);
        let usage = engine.usage(&two, "two").await.unwrap();
        assert_eq!((usage.accounts, usage.packages[0].name.as_str()), (1, "starter"));
        // The jobs go with it, and nobody sees another's.
        let jobs = |scope| engine.db().read(move |tx| tx.jobs(scope, &Default::default(), 10, None));
        assert_eq!(jobs(one.scope()).await.unwrap().items.len(), 0);
        assert_eq!(jobs(two.scope()).await.unwrap().items.len(), 3, "and the one that tells the manifests");
        assert_eq!(engine.usage(&one, "two").await.unwrap_err().into_problem().status, 404);
        assert!(two.role == Role::Reseller && engine.set_owner(&one, &name, "one").await.is_err());
    })
    .await;
}
