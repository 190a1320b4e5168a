//! The crash matrix: every change, with the agent killed at every point (ENG-02).
//!
//! The test starts itself as a child for each point. Afterwards, a restart must find the machine in the state before or in
//! the state after, nothing half-written beside it; and asking again with the same operation id must end in the state after.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod machine;
mod powercut;

use machine::*;
use powercut::{Chance, power_cut};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use wcp360_agent::engine::Engine;
use wcp360_agent_proto::{
    AgentErrorCode, ManifestsState, NodeRepairRequest, OwnerRequest, PickUpRequest, RepairAction, RepairItem,
    RepairOutcome, RepairRequest, RepairedItem,
};
use wcp360_types::manifest::{AccountStatus, Alias, ManifestSet, Site};
use wcp360_types::{DocumentRoot, Domain, OperationId, Username};

/// Those that end in "refused" are refused by nginx after most of the rest was done, and taken back.
const CHANGES: &[&str] = &[
    "create-refused",
    "create",
    "edit-refused",
    "suspend",
    "unsuspend",
    "add-domains",
    "own-block",
    "pick-up",
    "owner",
    "repair",
    "remove-domains",
    "delete",
    "bring-back-refused",
    "bring-back",
];

/// The change itself, by name; the operation id is the same every time it is asked for.
fn change(root: &Path, what: &str) -> Result<(), String> {
    let engine = engine(root);
    wcp360_agent::crash::arm();
    engine.recover();
    if what == "recover" {
        assert_eq!(engine.unfinished(), 0, "nothing may be left open");
        return Ok(());
    }
    let operation: OperationId = std::env::var("WCP360_TEST_OPERATION").unwrap().parse().unwrap();
    let current = engine.account(&Username::parse("alice").unwrap()).ok();
    let mut set = current.as_ref().map_or_else(|| manifests("alice", "alice.test"), |r| r.manifests.clone());
    let domain = |name: &str| Domain::parse(name).unwrap();
    match what {
        "suspend" => set.account.status = AccountStatus::Suspended,
        "unsuspend" => set.account.status = AccountStatus::Active,
        "add-domains" => {
            let shop = domain("shop.test");
            set.domains.addon =
                vec![Site { document_root: DocumentRoot::for_domain(&shop), domain: shop.clone(), www: true }];
            set.domains.alias = vec![Alias { domain: domain("alias.test"), target: shop, www: true }];
        }
        "own-block" => {
            let root = DocumentRoot::parse("apps/blog/public").unwrap();
            set.domains.sub = vec![Site { document_root: root, domain: domain("blog.alice.test"), www: false }];
        }
        "create-refused" | "edit-refused" | "bring-back-refused" => {
            set.account.status = AccountStatus::Active;
            set.services.php.pool.memory_limit_mb = 256;
            let root = DocumentRoot::parse("apps/bad").unwrap();
            set.domains.sub = vec![Site { document_root: root, domain: domain("bad.alice.test"), www: false }];
        }
        "remove-domains" => {
            set.domains.addon.clear();
            set.domains.alias.clear();
            set.domains.sub.clear();
        }
        _ => {}
    }
    if what == "repair" {
        return repair(&engine, operation);
    }
    if what == "repair-node" {
        let request = NodeRepairRequest { operation, keys: Vec::new(), audit: audit() };
        let answer = engine.node_repair(&request).map_err(|e| e.to_string())?;
        return if answer.left == 0 { Ok(()) } else { Err(format!("{answer:?}")) };
    }
    if what == "owner" {
        let owner = "bob.the-reseller".parse().unwrap();
        let request = OwnerRequest { operation, owner, audit: audit() };
        return engine.set_owner(&Username::parse("alice").unwrap(), &request).map(drop).map_err(|e| e.to_string());
    }
    if what == "pick-up" {
        let name = Username::parse("alice").unwrap();
        let revision = match engine.account(&name).unwrap().on_disk {
            Some(ManifestsState::Edited { revision, .. }) => revision,
            // Asked again after it was done.
            _ => engine.account(&name).unwrap().revision,
        };
        let request = PickUpRequest { operation, revision, audit: audit() };
        return engine.pick_up(&name, &request).map(drop).map_err(|e| e.to_string());
    }
    if what.starts_with("bring-back") {
        let error = match machine::bring_back(&engine, operation, as_deleted(root, set)) {
            Ok(_) => None,
            Err(error) if what.ends_with("refused") && error.code == AgentErrorCode::Rejected => None,
            Err(error) => Some(error.to_string()),
        };
        return error.map_or(Ok(()), Err);
    }
    let desired = (what != "delete").then_some(set);
    // Core asks with the revision it made the change from, also when it asks again.
    let base = std::env::var("WCP360_TEST_BASE").ok().map(|text| text.parse().unwrap());
    let result = converge(&engine, "alice", operation, base, desired);
    if what.ends_with("refused") {
        // Killed before its reason was written down, it is only known to have been taken back, and is tried again.
        let error = result.unwrap_err();
        assert_eq!(error.code, AgentErrorCode::Rejected, "{error}");
        return Ok(());
    }
    result.map(drop).map_err(|e| e.to_string())
}

/// What a deleted account was, as far as it matters: the number is that of the tree in the trash.
fn as_deleted(root: &Path, mut set: ManifestSet) -> ManifestSet {
    let waiting = std::fs::read_dir(root.join("srv/www/.trash")).unwrap().next();
    let name = waiting.map(|tree| tree.unwrap().file_name().into_string().unwrap());
    // Asked again after it was done, nothing waits, and the account is there.
    if let Some(uid) = name.and_then(|name| name.split('-').nth(1)?.parse().ok()) {
        set.account.uid = Some(uid);
    }
    set
}

/// Puts back, adopts and ignores what [`by_hand`] did.
fn repair(engine: &Engine, operation: OperationId) -> Result<(), String> {
    let name = Username::parse("alice").unwrap();
    let item = |key: &str, action| RepairItem { key: key.into(), action, digest: None };
    let items = vec![
        item("file:/etc/wcp360/php/alice/8.2.conf", RepairAction::Repair),
        item("link:/var/lib/wcp360/web/names/www.alice.test", RepairAction::Repair),
        item("user:alice", RepairAction::Repair),
        item("manifests:alice", RepairAction::Repair),
        item("extra:/etc/wcp360/php/alice/extra.conf", RepairAction::Repair),
        item("nginx:alice.blog.alice.test.conf", RepairAction::Repair),
        item("dir:/srv/www/alice/private", RepairAction::Adopt),
        item("dir:/srv/www/alice/logs", RepairAction::Ignore),
    ];
    let request = RepairRequest { operation, items, audit: audit() };
    let answer = engine.repair_items(&name, &request).map_err(|e| e.to_string())?;
    let bad = |item: &RepairedItem| !matches!(item.outcome, RepairOutcome::Done | RepairOutcome::Healthy);
    if answer.left > 0 || answer.items.iter().any(bad) { Err(format!("{answer:?}")) } else { Ok(()) }
}

/// What an administrator does before a change.
fn by_hand(root: &Path, what: &str) {
    let edit = |path: &str, from: &str, to: &str| {
        let path = root.join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    };
    let chmod = |path: &str, mode| {
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    match what {
        "delete" => {
            let place = root.join("srv/www/alice/public_html");
            std::fs::write(place.join("index.html"), "mine").unwrap();
            std::os::unix::fs::symlink("/etc/passwd", place.join("link")).unwrap();
            // What was accepted by hand goes with the account: it comes back with the modes that it should have.
            for (path, mode) in [("private", 0o700), ("logs", 0o751)] {
                std::fs::set_permissions(root.join("srv/www/alice").join(path), PermissionsExt::from_mode(mode))
                    .unwrap();
            }
            let uid = Some(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&place).unwrap()));
            for path in [place.join("index.html"), place.join("link")] {
                std::os::unix::fs::lchown(path, uid, uid).unwrap();
            }
        }
        "pick-up" => edit("etc/wcp360/users/alice/services.json", "\"max_children\": 5", "\"max_children\": 8"),
        "repair" => {
            edit("etc/wcp360/php/alice/8.2.conf", "= 8", "= 9");
            edit("etc/passwd", "/usr/sbin/nologin", "/bin/bash");
            std::fs::remove_file(root.join("var/lib/wcp360/web/names/www.alice.test")).unwrap();
            std::fs::write(root.join("etc/wcp360/users/alice/ssh.json"), "{").unwrap();
            std::fs::write(root.join("etc/wcp360/php/alice/extra.conf"), "mine").unwrap();
            let current = std::fs::read_link(root.join("etc/wcp360/nginx/current")).unwrap();
            let block = Path::new("etc/wcp360/nginx").join(current).join("sites/alice.blog.alice.test.conf");
            edit(block.to_str().unwrap(), "server_name", "server_name mine.test");
            chmod("srv/www/alice/private", 0o750);
            chmod("srv/www/alice/logs", 0o750);
        }
        "repair-node" => {
            let write = |path: &str, text: &str| std::fs::write(root.join(path), text).unwrap();
            let current = std::fs::read_link(root.join("etc/wcp360/nginx/current")).unwrap();
            let live = Path::new("etc/wcp360/nginx").join(current);
            write("etc/systemd/system/nginx.service", "[Service]\nUser=root\n");
            write(live.join("sites/mine.conf").to_str().unwrap(), "server {}\n");
            write("etc/wcp360/snippets/nginx/global/map.conf", "map a b {}\n");
            write("etc/systemd/system/wcp360.target.wants/wcp360-php8.2@ghost.socket", "");
            write("units/wcp360-php8.2@ghost.socket", "");
            std::fs::create_dir_all(root.join("var/lib/wcp360/web/sites/ghost/deep")).unwrap();
            write("var/lib/wcp360/web/sites/ghost/deep/file", "somebody's");
            std::os::unix::fs::symlink("../sites/ghost", root.join("var/lib/wcp360/web/names/ghost.test")).unwrap();
        }
        _ => {}
    }
}

/// Runs as a child only.
#[test]
fn child() {
    if let (Ok(root), Ok(what)) = (std::env::var("WCP360_TEST_ROOT"), std::env::var("WCP360_TEST_CHANGE")) {
        change(Path::new(&root), &what).unwrap();
    }
}

struct Child<'a> {
    root: &'a Path,
    operation: String,
    base: Option<String>,
}

impl Child<'_> {
    /// Runs a child; whether it lived, and what it said.
    fn run(&self, what: &str, crash: Option<u64>) -> (bool, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]);
        command.env("WCP360_TEST_ROOT", self.root).env("WCP360_TEST_CHANGE", what);
        command.env("WCP360_TEST_OPERATION", &self.operation).env("RUST_BACKTRACE", "0");
        if let Some(base) = &self.base {
            command.env("WCP360_TEST_BASE", base);
        }
        if let Some(point) = crash {
            command.env("WCP360_AGENT_CRASH", point.to_string());
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn assert_same(
    found: &std::collections::BTreeMap<String, String>,
    wanted: &std::collections::BTreeMap<String, String>,
    what: &str,
) {
    let differences: Vec<String> = found
        .iter()
        .filter(|(path, value)| wanted.get(*path) != Some(value))
        .map(|(path, value)| format!("found {path}: {value}\n  instead of {:?}", wanted.get(path)))
        .chain(wanted.keys().filter(|path| !found.contains_key(*path)).map(|path| format!("missing {path}")))
        .collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

#[test]
fn eng_02_killed_anywhere_it_ends_before_or_after() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    // In memory, if possible: thousands of writes to disk are not what is tested.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (before_dir, after_dir, work) = (dir.path().join("before"), dir.path().join("after"), dir.path().join("work"));
    fresh(&before_dir);
    drop(engine(&before_dir));
    let mut total = 0;
    for what in CHANGES {
        engine(&before_dir).checkpoint().unwrap();
        by_hand(&before_dir, what);
        let base = engine(&before_dir).account(&Username::parse("alice").unwrap()).ok().map(|r| r.revision.to_string());
        let operation = OperationId::new().to_string();
        let child = |root| Child { root, operation: operation.clone(), base: base.clone() };
        let before = inventory(&before_dir);
        copy(&before_dir, &after_dir);
        let (lived, said) = child(&after_dir).run(what, None);
        assert!(lived, "{what}: {said}");
        let after = inventory(&after_dir);
        if what.ends_with("refused") {
            assert_same(&after, &before, what);
        } else {
            assert_ne!(before, after, "{what}");
        }
        let mut ended_before = 0;
        for point in 1.. {
            copy(&before_dir, &work);
            let child = child(&work);
            let (lived, said) = child.run(what, Some(point));
            if lived {
                println!("{what}: {} points, {ended_before} ended in the state before", point - 1);
                total += point - 1;
                break;
            }
            let context = format!("{what}, {}", said.lines().find(|l| l.contains("crash point")).unwrap_or(&said));
            // Every other time, the restart is killed as well.
            if point % 2 == 0 {
                let _ = child.run("recover", Some(1 + point % 37));
            }
            let (lived, said) = child.run("recover", None);
            assert!(lived, "{context}: restart: {said}");
            let found = inventory(&work);
            if found == before {
                ended_before += 1;
            } else {
                assert_same(&found, &after, &context);
            }
            let (lived, said) = child.run(what, None);
            assert!(lived, "{context}: asked again: {said}");
            assert_same(&inventory(&work), &after, &format!("{context}, asked again"));
        }
        copy(&after_dir, &before_dir);
    }
    println!("{total} crash points");
}

/// A repair of the node is not in the journal: each of its writes appears whole or not at all, what it has not come to differs
/// still, and asking again ends where an undisturbed repair does.
#[test]
fn eng_02_a_repair_of_the_node_that_is_killed_leaves_nothing_half() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (before_dir, after_dir, work) = (dir.path().join("before"), dir.path().join("after"), dir.path().join("work"));
    fresh(&before_dir);
    for place in ["opt/wcp360/current/systemd", "etc/systemd/system"] {
        std::fs::create_dir_all(before_dir.join(place)).unwrap();
        std::fs::write(before_dir.join(place).join("nginx.service"), "[Service]\n").unwrap();
    }
    create(&engine(&before_dir), "alice", "alice.test").unwrap();
    engine(&before_dir).checkpoint().unwrap();
    by_hand(&before_dir, "repair-node");
    let operation = OperationId::new().to_string();
    let child = |root| Child { root, operation: operation.clone(), base: None };
    let before = inventory(&before_dir);
    copy(&before_dir, &after_dir);
    let (lived, said) = child(&after_dir).run("repair-node", None);
    assert!(lived, "{said}");
    let after = inventory(&after_dir);
    assert_ne!(before, after);
    let quarantined = |root: &Path| {
        let names = std::fs::read_dir(root.join("etc/wcp360/quarantine")).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let kept = quarantined(&after_dir).len();
    let mut points = 0;
    for point in 1.. {
        copy(&before_dir, &work);
        let child = child(&work);
        let (lived, said) = child.run("repair-node", Some(point));
        if lived {
            points = point - 1;
            break;
        }
        let context = said.lines().find(|line| line.contains("crash point")).unwrap_or(&said).to_owned();
        let (lived, said) = child.run("recover", None);
        assert!(lived, "{context}: restart: {said}");
        for (path, found) in inventory(&work) {
            assert!(!path.contains(".wcp360-new"), "{context}: {path} is left");
            let known = before.get(&path) == Some(&found) || after.get(&path) == Some(&found);
            assert!(known, "{context}: {path} is neither what it was nor what it should be: {found}");
        }
        // What the service manager has read is what is there.
        let read = std::fs::read(work.join("units-read")).unwrap_or_default();
        let there = std::fs::read(work.join("etc/systemd/system/nginx.service")).unwrap();
        assert!(read == there || there == b"[Service]\nUser=root\n", "{context}: it has not been read again");
        for name in quarantined(&work) {
            assert!(!name.starts_with('.'), "{context}: {name} is left");
            let about = work.join("etc/wcp360/quarantine").join(name.trim_end_matches(".note"));
            assert!(about.symlink_metadata().is_ok(), "{context}: {name} is about nothing");
        }
        let (lived, said) = child.run("repair-node", None);
        assert!(lived, "{context}: asked again: {said}");
        assert_same(&inventory(&work), &after, &format!("{context}, asked again"));
        assert_eq!(quarantined(&work).len(), kept, "{context}: nothing is lost, and nothing is there twice");
    }
    assert!(points > 20, "{points}");
    println!("{points} crash points");
}

/// The boot that the machine in `root` is in: another one says that there was a power cut.
fn boot(root: &Path, id: &str) {
    let dir = root.join("proc/sys/kernel/random");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("boot_id"), id).unwrap();
}

#[test]
fn eng_02_after_a_power_cut_it_is_before_or_after() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (before_dir, after_dir) = (dir.path().join("before"), dir.path().join("after"));
    let (crashed_dir, work) = (dir.path().join("crashed"), dir.path().join("work"));
    fresh(&before_dir);
    boot(&before_dir, "1");
    drop(engine(&before_dir));
    let (mut cuts, mut ended_before) = (0, 0);
    for what in CHANGES {
        engine(&before_dir).checkpoint().unwrap();
        by_hand(&before_dir, what);
        let base = engine(&before_dir).account(&Username::parse("alice").unwrap()).ok().map(|r| r.revision.to_string());
        let operation = OperationId::new().to_string();
        let child = |root| Child { root, operation: operation.clone(), base: base.clone() };
        let before = inventory(&before_dir);
        copy(&before_dir, &after_dir);
        let (lived, said) = child(&after_dir).run(what, None);
        assert!(lived, "{what}: {said}");
        let after = inventory(&after_dir);
        // What was answered is there, whatever else of it the disk had not taken yet.
        for seed in 0..12 {
            copy(&after_dir, &work);
            power_cut(&before_dir, &after_dir, &work, &mut Chance::new(seed));
            boot(&work, "2");
            let (lived, said) = child(&work).run("recover", (seed % 3 == 0).then_some(5 + seed * 3));
            assert!(lived || said.contains("crash point"), "{what}, answered, cut {seed}: {said}");
            let (lived, said) = child(&work).run("recover", None);
            assert!(lived, "{what}, answered, cut {seed}: {said}");
            assert_same(&inventory(&work), &after, &format!("{what}, answered, cut {seed}"));
            cuts += 1;
        }
        // And what was under way ends on one side.
        for point in (1..).step_by(9) {
            copy(&before_dir, &crashed_dir);
            let (lived, said) = child(&crashed_dir).run(what, Some(point));
            if lived {
                break;
            }
            copy(&crashed_dir, &work);
            power_cut(&before_dir, &crashed_dir, &work, &mut Chance::new(point));
            boot(&work, "2");
            let context =
                format!("{what}, cut at {}", said.lines().find(|l| l.contains("crash point")).unwrap_or(&said));
            let (lived, said) = child(&work).run("recover", None);
            assert!(lived, "{context}: {said}");
            let found = inventory(&work);
            if found == before {
                ended_before += 1;
            } else {
                assert_same(&found, &after, &context);
            }
            let (lived, said) = child(&work).run(what, None);
            assert!(lived, "{context}: asked again: {said}");
            assert_same(&inventory(&work), &after, &format!("{context}, asked again"));
            cuts += 1;
        }
        copy(&after_dir, &before_dir);
    }
    println!("{cuts} power cuts, {ended_before} ended in the state before");
}
