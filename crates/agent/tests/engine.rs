//! The engine on a pretended machine: what is accepted, what is refused, what is left.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod machine;

use machine::*;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use wcp360_agent::engine::Engine;
use wcp360_agent_proto::{AgentErrorCode, PlanRequest};
use wcp360_types::manifest::{AccountStatus, Alias, Site};
use wcp360_types::{DocumentRoot, Domain, OperationId, Username};

struct Machine {
    dir: tempfile::TempDir,
    engine: Arc<Engine>,
}

/// `None` where nobody may change owners.
fn machine() -> Option<Machine> {
    if !is_root() {
        println!("skipped: needs root");
        return None;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    fresh(dir.path());
    let engine = engine(dir.path());
    Some(Machine { dir, engine })
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }
    fn mode(&self, path: &str) -> (u32, u32, u32) {
        let meta = std::fs::symlink_metadata(self.path(path)).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    }
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

fn site(name: &str, root: &str) -> Site {
    Site { domain: domain(name), document_root: DocumentRoot::parse(root).unwrap(), www: false }
}

#[test]
fn ten_02_the_tree_and_who_owns_what() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let uid = 20_000;
    for (path, want) in [
        ("/srv/www", (0, 0, 0o711)),
        ("/srv/www/alice", (0, uid, 0o751)),
        ("/srv/www/alice/public_html", (uid, 33, 0o2750)),
        ("/srv/www/alice/private", (uid, uid, 0o700)),
        ("/srv/www/alice/tmp", (uid, uid, 0o700)),
        ("/srv/www/alice/logs", (0, uid, 0o751)),
        ("/srv/www/alice/logs/alice.test", (33, uid, 0o2750)),
        ("/srv/www/alice/logs/php-error.log", (uid, uid, 0o640)),
        ("/srv/www/alice/.system", (0, uid, 0o750)),
        ("/etc/wcp360/users", (0, 0, 0o700)),
        ("/etc/wcp360/users/alice", (0, 0, 0o700)),
        ("/etc/wcp360/users/alice/account.json", (0, 0, 0o600)),
        ("/etc/wcp360/php/alice/8.2.conf", (0, uid, 0o640)),
        ("/var/lib/wcp360/agent", (0, 0, 0o700)),
        ("/var/lib/wcp360/web/sites/alice/alice.test/tls.pem", (0, 33, 0o640)),
        ("/var/lib/wcp360/web/sites/alice/alice.test/logs", (33, 33, 0o777)),
    ] {
        assert_eq!(m.mode(path), want, "{path}");
    }
    let link = std::fs::read_link(m.path("/var/lib/wcp360/web/names/www.alice.test")).unwrap();
    assert_eq!(link.to_str(), Some("../sites/alice/alice.test"));
    assert!(m.path("/units/wcp360-php8.2@alice.socket").exists());
}

#[test]
fn asked_twice_it_is_done_once() {
    let Some(m) = machine() else { return };
    let operation = OperationId::new();
    let set = manifests("alice", "alice.test");
    let first = converge(&m.engine, "alice", operation, None, Some(set.clone())).unwrap();
    let before = inventory(m.dir.path());
    let second = converge(&m.engine, "alice", operation, None, Some(set.clone())).unwrap();
    assert_eq!(first, second);
    assert_eq!(inventory(m.dir.path()), before);
    // Another account can't be meant by the same operation.
    let error = converge(&m.engine, "bob", operation, None, Some(manifests("bob", "bob.test"))).unwrap_err();
    assert_eq!(error.code, AgentErrorCode::Invalid);
    // A new operation that would create it again is refused; one from an old revision too.
    let error = converge(&m.engine, "alice", OperationId::new(), None, Some(set)).unwrap_err();
    assert_eq!(error.code, AgentErrorCode::Taken);
    let old = first.record.unwrap();
    edit(&m.engine, "alice", |set| set.account.status = AccountStatus::Suspended).unwrap();
    let error = converge(&m.engine, "alice", OperationId::new(), Some(old.revision), Some(old.manifests)).unwrap_err();
    assert_eq!(error.code, AgentErrorCode::RevisionMoved);
}

#[test]
fn refused_before_anything_is_touched() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    std::fs::create_dir(m.path("/srv/www/leftover")).unwrap();
    let passwd = std::fs::read_to_string(m.path("/etc/passwd")).unwrap();
    std::fs::write(m.path("/etc/passwd"), format!("{passwd}postgresx:x:500:500::/:/bin/sh\n")).unwrap();
    let before = inventory(m.dir.path());
    let refused = |name: &str, code: AgentErrorCode, change: &dyn Fn(&mut wcp360_types::manifest::ManifestSet)| {
        let mut set = manifests(name, &format!("{name}.example"));
        change(&mut set);
        let error = converge(&m.engine, name, OperationId::new(), None, Some(set)).unwrap_err();
        assert_eq!(error.code, code, "{name}: {error}");
        error.message
    };
    let primary = |name: &'static str| {
        move |set: &mut wcp360_types::manifest::ManifestSet| {
            set.account.primary_domain = domain(name);
            set.domains.primary.domain = domain(name);
        }
    };
    use AgentErrorCode::{Invalid, Taken};
    refused("bob", Taken, &primary("alice.test"));
    refused("bob", Taken, &primary("www.alice.test"));
    let message = refused("bob", Taken, &primary("shop.alice.test"));
    assert!(!message.contains("\"alice\""), "it does not say whose it is: {message}");
    refused("bob", Taken, &primary("panel.example.com"));
    refused("leftover", Taken, &|_| {});
    refused("postgresx", Taken, &|_| {});
    refused("bob", Invalid, &|set| set.account.uid = Some(0));
    refused("bob", Invalid, &|set| set.account.home_dir = Some("/root".into()));
    refused("bob", Invalid, &|set| set.account.username = user("carol"));
    refused("bob", Invalid, &|set| set.domains.addon = vec![site("x.test", "domains/y.test/public_html")]);
    refused("bob", Invalid, &|set| set.domains.addon = vec![site("x.test", "domains/x.test")]);
    refused("bob", Invalid, &|set| {
        set.services.php.version = wcp360_types::manifest::PhpVersion::parse("7.4").unwrap();
    });
    refused("bob", Invalid, &|set| set.services.php.open_basedir = vec!["../alice".into()]);
    let error = edit(&m.engine, "alice", |set| {
        set.account.uid = Some(20_001);
        set.account.gid = Some(20_001);
    });
    assert_eq!(error.unwrap_err().code, Invalid, "the uid is for good");
    assert_eq!(inventory(m.dir.path()), before);
    // What was refused reserved nothing.
    create(&m.engine, "bob", "bob.example").unwrap();
}

#[test]
fn a_plan_changes_nothing_and_says_what_will_happen() {
    let Some(m) = machine() else { return };
    let before = inventory(m.dir.path());
    let request =
        PlanRequest { base_revision: None, desired: Some(manifests("alice", "alice.test")), bring_back: false };
    let plan = m.engine.plan(&user("alice"), &request).unwrap();
    assert_eq!(inventory(m.dir.path()), before);
    let applied = create(&m.engine, "alice", "alice.test").unwrap().applied;
    assert_eq!(plan, applied);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(!text.contains("PRIVATE KEY") && !text.contains("BEGIN"), "no key in a plan");
    let pool = plan.resources.iter().find(|r| r.key == "file:/etc/wcp360/php/alice/8.2.conf").unwrap();
    assert!(pool.diff.as_ref().unwrap().contains("+pm = ondemand"));
    // Nothing to do: an empty plan.
    let record = m.engine.account(&user("alice")).unwrap();
    let request = PlanRequest {
        base_revision: Some(record.revision.clone()),
        desired: Some(record.manifests.clone()),
        bring_back: false,
    };
    assert_eq!(m.engine.plan(&user("alice"), &request).unwrap().resources, []);
    // A changed limit shows as a diff of one line.
    let mut set = record.manifests;
    set.services.php.pool.memory_limit_mb = 256;
    let request = PlanRequest { base_revision: Some(record.revision), desired: Some(set), bring_back: false };
    let plan = m.engine.plan(&user("alice"), &request).unwrap();
    let diff = plan.resources.iter().find_map(|r| r.diff.as_ref().filter(|d| d.contains("memory_limit"))).unwrap();
    assert!(diff.contains("-php_admin_value[memory_limit] = 128M\n+php_admin_value[memory_limit] = 256M\n"), "{diff}");
}

#[test]
fn suspended_and_back_is_exactly_what_it_was() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let before = inventory(m.dir.path());
    edit(&m.engine, "alice", |set| set.account.status = AccountStatus::Suspended).unwrap();
    let root = std::fs::read_link(m.path("/var/lib/wcp360/web/sites/alice/alice.test/root")).unwrap();
    assert_eq!(root.to_str(), Some("/var/lib/wcp360/web/empty"));
    assert!(m.path("/var/lib/wcp360/web/sites/alice/alice.test/suspended").exists());
    assert!(!m.path("/units/wcp360-php8.2@alice.socket").exists());
    let shadow = std::fs::read_to_string(m.path("/etc/shadow")).unwrap();
    assert!(shadow.lines().any(|line| line.starts_with("alice:!") && line.ends_with(":1:")), "{shadow}");
    edit(&m.engine, "alice", |set| set.account.status = AccountStatus::Active).unwrap();
    assert_eq!(inventory(m.dir.path()), before);
}

#[test]
fn deleted_leaves_the_trash_and_no_number_comes_twice() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    std::fs::write(m.path("/srv/www/alice/public_html/index.html"), "mine").unwrap();
    let deleted = delete(&m.engine, "alice").unwrap();
    assert_eq!(deleted.record, None);
    assert_eq!(deleted.applied.data_loss.len(), 1);
    let left: Vec<String> = inventory(m.dir.path())
        .into_keys()
        .filter(|path| path.contains("alice") && !path.contains("/.trash/"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    for file in ["passwd", "shadow", "group", "gshadow"] {
        assert!(!std::fs::read_to_string(m.path("/etc").join(file)).unwrap().contains("alice"), "{file}");
    }
    let trash = std::fs::read_dir(m.path("/srv/www/.trash")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(trash.join("public_html/index.html")).unwrap(), "mine");
    let again = create(&m.engine, "alice", "alice.test").unwrap();
    assert_eq!(again.record.unwrap().manifests.account.uid, Some(20_001));
    // Neither after a restart, with the record of the next number and the journal lost.
    delete(&m.engine, "alice").unwrap();
    m.engine.checkpoint().unwrap();
    std::fs::remove_file(m.path("/var/lib/wcp360/agent/next-uid")).unwrap();
    std::fs::remove_dir_all(m.path("/var/lib/wcp360/agent/journal")).unwrap();
    let engine = engine(m.dir.path());
    assert_eq!(create(&engine, "alice", "alice.test").unwrap().record.unwrap().manifests.account.uid, Some(20_002));
}

#[test]
fn eng_08_a_deletion_taken_back_brings_files_and_number() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let outside = m.path("/outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, m.path("/srv/www/alice/public_html/link")).unwrap();
    std::fs::write(m.path("/srv/www/alice/public_html/index.html"), "mine").unwrap();
    std::os::unix::fs::chown(m.path("/srv/www/alice/public_html/index.html"), Some(20_000), Some(20_000)).unwrap();
    let was = m.engine.account(&user("alice")).unwrap().manifests;
    let before = inventory(m.dir.path());
    delete(&m.engine, "alice").unwrap();
    create(&m.engine, "bob", "bob.test").unwrap();
    delete(&m.engine, "bob").unwrap();

    let request = PlanRequest { base_revision: None, desired: Some(was.clone()), bring_back: true };
    let plan = m.engine.plan(&user("alice"), &request).unwrap();
    assert!(plan.comes_back[0].starts_with("/srv/www/alice: with everything in it"), "{:?}", plan.comes_back);
    assert!(plan.comes_back[1].contains("20000"), "{:?}", plan.comes_back);
    // What is in the tree is not made anew.
    assert!(plan.resources.iter().all(|r| r.key != "dir:/srv/www/alice/private"), "{:?}", plan.resources);

    let operation = OperationId::new();
    let back = bring_back(&m.engine, operation, was.clone()).unwrap();
    assert_eq!(back.applied, plan);
    assert_eq!(back.record.unwrap().manifests, was);
    let mut found = inventory(m.dir.path());
    found.retain(|path, _| !path.contains("bob"));
    assert_eq!(found, before);
    let meta = std::fs::metadata(m.path("/srv/www/alice/public_html/index.html")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (20_000, 20_000));
    assert_eq!(m.mode("/outside").0, 0, "links are not followed");
    // The same request again does nothing again, and other numbers go on from where they were.
    bring_back(&m.engine, operation, was).unwrap();
    let carol = create(&m.engine, "carol", "carol.test").unwrap().record.unwrap();
    assert_eq!(carol.manifests.account.uid, Some(20_002));
    assert_eq!(m.engine.drift(&user("alice")).unwrap().items.len(), 0);
}

#[test]
fn eng_08_what_cannot_come_back_is_refused_before_anything_changes() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let was = m.engine.account(&user("alice")).unwrap().manifests;
    delete(&m.engine, "alice").unwrap();
    let waiting = || std::fs::read_dir(m.path("/srv/www/.trash")).unwrap().next().unwrap().unwrap().path();
    let refused = |set: &wcp360_types::manifest::ManifestSet, code, part: &str| {
        let before = inventory(m.dir.path());
        let error = bring_back(&m.engine, OperationId::new(), set.clone()).unwrap_err();
        assert!(error.code == code && error.message.contains(part), "{error:?}");
        assert_eq!(inventory(m.dir.path()), before, "{part}");
        assert_eq!(m.engine.unfinished(), 0);
    };
    // Nobody names a number: the trash says whose it was.
    let mut other = was.clone();
    (other.account.uid, other.account.gid) = (Some(0), Some(0));
    refused(&other, AgentErrorCode::Gone, "not in the trash");
    other.account.uid = Some(20_000);
    refused(&other, AgentErrorCode::Invalid, "uid");
    let mut other = was.clone();
    other.account.username = user("bob");
    other.account.home_dir = None;
    refused(&other, AgentErrorCode::Gone, "not in the trash");
    // Somebody has got the number by hand.
    let passwd = std::fs::read_to_string(m.path("/etc/passwd")).unwrap();
    std::fs::write(m.path("/etc/passwd"), format!("{passwd}hand:x:20000:20000::/:/bin/false\n")).unwrap();
    refused(&was, AgentErrorCode::Taken, "20000");
    std::fs::write(m.path("/etc/passwd"), passwd).unwrap();
    // The domain, then the name, are somebody's.
    create(&m.engine, "bob", "alice.test").unwrap();
    refused(&was, AgentErrorCode::Taken, "has to be free");
    delete(&m.engine, "bob").unwrap();
    create(&m.engine, "alice", "other.test").unwrap();
    refused(&was, AgentErrorCode::Taken, "new account");
    delete(&m.engine, "alice").unwrap();
    for tree in std::fs::read_dir(m.path("/srv/www/.trash")).unwrap().map(|tree| tree.unwrap().path()) {
        if !tree.file_name().unwrap().to_str().unwrap().starts_with("alice-20000-") {
            std::fs::remove_dir_all(tree).unwrap();
        }
    }
    // Its time is over: refused before the trash is emptied, and after.
    std::fs::rename(waiting(), m.path("/srv/www/.trash/alice-20000-1000000000")).unwrap();
    refused(&was, AgentErrorCode::Gone, "7 days");
    m.engine.clean_up();
    assert_eq!(std::fs::read_dir(m.path("/srv/www/.trash")).unwrap().count(), 0);
    refused(&was, AgentErrorCode::Gone, "7 days");
}

#[test]
fn a_removed_domain_keeps_its_files() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let add = |set: &mut wcp360_types::manifest::ManifestSet| {
        set.domains.addon = vec![site("shop.test", "domains/shop.test/public_html")];
        set.domains.alias = vec![Alias { domain: domain("alias.test"), target: domain("shop.test"), www: true }];
    };
    edit(&m.engine, "alice", add).unwrap();
    std::fs::write(m.path("/srv/www/alice/domains/shop.test/public_html/index.html"), "mine").unwrap();
    assert!(m.path("/var/lib/wcp360/web/names").join("www.alias.test").is_symlink());
    edit(&m.engine, "alice", |set| {
        set.domains.addon.clear();
        set.domains.alias.clear();
    })
    .unwrap();
    assert!(!m.path("/var/lib/wcp360/web/names/shop.test").is_symlink());
    assert!(!m.path("/var/lib/wcp360/web/sites/alice/shop.test").exists());
    let page = std::fs::read_to_string(m.path("/srv/www/alice/domains/shop.test/public_html/index.html")).unwrap();
    assert_eq!(page, "mine");
    // The name is free for somebody else now.
    create(&m.engine, "bob", "shop.test").unwrap();
}

#[test]
fn eng_05_whose_an_account_is_stays_with_its_manifests() {
    let Some(m) = machine() else { return };
    let login = |name: &str| Some(wcp360_types::LoginName::parse(name).unwrap());
    let request = |owner: Option<wcp360_types::LoginName>| wcp360_agent_proto::ConvergeRequest {
        operation: OperationId::new(),
        base_revision: None,
        desired: Some(manifests("owned", "owned.test")),
        bring_back: false,
        audit: audit(),
        owner,
    };
    let made = m.engine.converge(&user("owned"), &request(login("bob"))).unwrap().record.unwrap();
    assert_eq!(made.meta.owner, login("bob"));
    // Whoever does not say whose it is leaves it as it was.
    edit(&m.engine, "owned", |set| set.services.php.pool.max_children = 9).unwrap();
    assert_eq!(m.engine.account(&user("owned")).unwrap().meta.owner, login("bob"));
    // Giving it away touches meta.json and nothing else, be it edited by hand or not.
    let pool = m.path("/etc/wcp360/php/owned/8.2.conf");
    std::fs::write(&pool, "; by hand\n").unwrap();
    let give = wcp360_agent_proto::OwnerRequest {
        operation: OperationId::new(),
        owner: login("carol").unwrap(),
        audit: audit(),
    };
    let before = m.engine.account(&user("owned")).unwrap();
    for _ in 0..2 {
        let given = m.engine.set_owner(&user("owned"), &give).unwrap().record.unwrap();
        assert_eq!((given.meta.owner, given.revision), (login("carol"), before.revision.clone()));
    }
    assert_eq!(std::fs::read_to_string(&pool).unwrap(), "; by hand\n");
    let text = std::fs::read_to_string(m.path("/etc/wcp360/users/owned/meta.json")).unwrap();
    assert!(text.contains("\"owner\": \"carol\""), "{text}");
    m.engine.checkpoint().unwrap();
    assert_eq!(engine(m.dir.path()).account(&user("owned")).unwrap().meta.owner, login("carol"));
    // Manifests of an older release have no owner.
    let old: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut old = old.as_object().unwrap().clone();
    old.remove("owner");
    let old: wcp360_types::manifest::MetaManifest = serde_json::from_value(old.into()).unwrap();
    assert_eq!(old.owner, None);
}

#[test]
fn attack_01_a_link_in_the_tree_leads_nowhere() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let outside = m.path("/outside");
    std::fs::create_dir(&outside).unwrap();
    // The tenant prepares the place where a document root is to be made.
    symlink(&outside, m.path("/srv/www/alice/public_html/sub")).unwrap();
    std::fs::create_dir(m.path("/srv/www/alice/apps")).unwrap();
    std::os::unix::fs::chown(m.path("/srv/www/alice/apps"), Some(20_000), Some(20_000)).unwrap();
    symlink(&outside, m.path("/srv/www/alice/apps/blog")).unwrap();
    let done = edit(&m.engine, "alice", |set| {
        set.domains.sub = vec![site("a.alice.test", "public_html/sub/deep"), site("b.alice.test", "apps/blog/public")];
    })
    .unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing was made outside");
    assert_eq!(m.mode("/outside").0, 0);
    assert!(done.notes.is_empty() || done.notes.iter().all(|note| note.contains("in the way")), "{:?}", done.notes);
    // Deleting does not follow them either.
    std::fs::write(outside.join("file"), "stays").unwrap();
    delete(&m.engine, "alice").unwrap();
    let trash = std::fs::read_dir(m.path("/srv/www/.trash")).unwrap().next().unwrap().unwrap().file_name();
    m.engine.fs().remove_tree(&format!("/srv/www/.trash/{}", trash.to_str().unwrap())).unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "stays");
}

#[test]
fn a_hundred_at_once_are_all_there() {
    let Some(m) = machine() else { return };
    let started = std::time::Instant::now();
    create(&m.engine, "first", "first.test").unwrap();
    let one = started.elapsed();
    let started = std::time::Instant::now();
    std::thread::scope(|scope| {
        for n in 0..100 {
            let engine = &m.engine;
            scope.spawn(move || create(engine, &format!("user{n}"), &format!("user{n}.test")).unwrap());
        }
    });
    println!("one account {one:?}, a hundred at once {:?}", started.elapsed());
    let accounts = m.engine.accounts().unwrap();
    assert_eq!(accounts.len(), 101);
    let uids: std::collections::BTreeSet<_> =
        accounts.iter().map(|a| m.engine.account(&a.username).unwrap().manifests.account.uid).collect();
    assert_eq!(uids.len(), 101, "every number once");
    assert_eq!(std::fs::read_to_string(m.path("/etc/passwd")).unwrap().lines().count(), 104);
    // Sixty-four want the same name: one gets it.
    let winners: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..64)
            .map(|n| {
                let engine = &m.engine;
                scope.spawn(move || usize::from(create(engine, &format!("rival{n}"), "wanted.test").is_ok()))
            })
            .collect();
        tries.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(winners, 1);
}

#[test]
fn a_change_that_fails_is_put_back() {
    let Some(m) = machine() else { return };
    create(&m.engine, "alice", "alice.test").unwrap();
    let before = inventory(m.dir.path());
    let error = edit(&m.engine, "alice", |set| {
        set.services.php.pool.max_children = 50;
        set.domains.addon = vec![site("x.test", "apps/bad")];
    })
    .unwrap_err();
    assert_eq!(error.code, AgentErrorCode::Rejected);
    assert!(error.message.contains("it is bad"), "{error}");
    assert_eq!(inventory(m.dir.path()), before);
    assert_eq!(m.engine.unfinished(), 0);
    // A name that can't be started: created, failed, gone; and the name is free again.
    let before = inventory(m.dir.path());
    let error = create(&m.engine, "broken", "broken.test").unwrap_err();
    assert_eq!(error.code, AgentErrorCode::Failed);
    assert_eq!(inventory(m.dir.path()), before);
    create(&m.engine, "other", "broken.test").unwrap();
}
