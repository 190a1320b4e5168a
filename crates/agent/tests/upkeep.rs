//! After a boot and after an upgrade: what a boot loses comes back, what a release renders differently is applied, and what
//! somebody has edited is theirs.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod machine;

use machine::*;
use sha2::{Digest, Sha256};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wcp360_agent::engine::{BroughtUp, Engine};
use wcp360_agent::fsx::Access;
use wcp360_agent_proto::{RepairAction, RepairItem, RepairRequest};
use wcp360_types::{OperationId, Username};

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

struct Machine(tempfile::TempDir);

/// With these accounts, as a release leaves them that was stopped. `None` where nobody may change owners.
fn stopped(accounts: &[&str]) -> Option<Machine> {
    if !is_root() {
        println!("skipped: needs root");
        return None;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    fresh(dir.path());
    let engine = engine(dir.path());
    for name in accounts {
        create(&engine, name, &format!("{name}.test")).unwrap();
    }
    engine.checkpoint().unwrap();
    Some(Machine(dir))
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }
    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }
    fn boot(&self) {
        let _ = std::fs::remove_file(self.path("/run/wcp360/agent.compared"));
        std::fs::remove_dir_all(self.path("/units")).unwrap();
    }
    /// Makes the pool's file what another release would have made it, who noted so.
    fn pool_of_another_release(&self, name: &str) -> String {
        let path = format!("/etc/wcp360/php/{name}/8.2.conf");
        let content = "; of another release\n";
        std::fs::write(self.path(&path), content).unwrap();
        let meta = std::fs::metadata(self.path(&path)).unwrap();
        let access = Access { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777 };
        let digest = digest(&[&format!("file:{path}"), &format!("{access:?}"), content]);
        self.noted(name, |rendered| {
            rendered.as_object_mut().unwrap().insert(format!("file:{path}"), digest.into());
        });
        path
    }
    fn noted(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let path = self.path(&format!("/var/lib/wcp360/agent/applied/{name}.json"));
        let mut good: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut good["rendered"]);
        std::fs::write(path, good.to_string()).unwrap();
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn keys(engine: &Engine, name: &str) -> Vec<String> {
    let mut keys: Vec<String> = engine.drift(&user(name)).unwrap().items.into_iter().map(|item| item.key).collect();
    keys.sort();
    keys
}

#[test]
fn eng_07_after_a_boot_only_what_a_boot_loses_comes_back() {
    let Some(m) = stopped(&["alice", "bob"]) else { return };
    std::fs::set_permissions(m.path("/srv/www/alice/private"), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::write(m.path("/etc/wcp360/php/alice/8.2.conf"), "; mine\n").unwrap();
    std::fs::remove_file(m.path("/var/lib/wcp360/web/names/alice.test")).unwrap();
    let passwd = m.text("/etc/passwd");
    std::fs::write(m.path("/etc/passwd"), passwd.replacen("/usr/sbin/nologin", "/bin/bash", 1)).unwrap();
    // A file where a folder should be must not keep the sockets down.
    std::fs::remove_dir_all(m.path("/srv/www/alice/tmp")).unwrap();
    std::fs::write(m.path("/srv/www/alice/tmp"), "").unwrap();
    let by_hand = [
        "dir:/srv/www/alice/private",
        "dir:/srv/www/alice/tmp",
        "file:/etc/wcp360/php/alice/8.2.conf",
        "link:/var/lib/wcp360/web/names/alice.test",
        "user:alice",
    ];
    m.boot();
    let engine = engine(m.0.path());
    assert_eq!(keys(&engine, "bob"), ["unit:wcp360-php8.2@bob.socket"]);
    engine.bring_up_all();
    assert_eq!(keys(&engine, "bob"), Vec::<String>::new());
    assert_eq!(keys(&engine, "alice"), by_hand, "the rest is core's to decide");
    assert_eq!(m.text("/etc/wcp360/php/alice/8.2.conf"), "; mine\n");
    let BroughtUp { changed, mut left } = engine.bring_up(&user("alice")).unwrap();
    left.sort();
    assert_eq!((changed, left), (vec![], by_hand.map(str::to_owned).to_vec()));
    // A unit that somebody has disabled stays so.
    std::fs::remove_file(m.path("/etc/systemd/system/wcp360.target.wants/wcp360-php8.2@bob.socket")).unwrap();
    m.boot();
    let engine = machine::engine(m.0.path());
    engine.bring_up_all();
    assert_eq!(keys(&engine, "bob"), ["unit:wcp360-php8.2@bob.socket"]);
}

#[test]
fn eng_07_an_upgrade_applies_what_it_renders_differently_and_keeps_what_was_edited() {
    let Some(m) = stopped(&["alice", "bob", "carol"]) else { return };
    let wanted = m.text("/etc/wcp360/php/alice/8.2.conf");
    for name in ["alice", "bob"] {
        m.pool_of_another_release(name);
    }
    let bobs = "; of another release\n; and bob's\n";
    std::fs::write(m.path("/etc/wcp360/php/bob/8.2.conf"), bobs).unwrap();
    // Of a release that did not note what it made, nothing is known: it is made anew.
    std::fs::write(m.path("/etc/wcp360/php/carol/8.2.conf"), "; whoever's\n").unwrap();
    m.noted("carol", |rendered| *rendered = serde_json::Value::Null);
    let pool = |name: &str| m.text(&format!("/etc/wcp360/php/{name}/8.2.conf"));
    let start = |dir: &Path| {
        let engine = engine(dir);
        engine.bring_up_all();
        engine
    };
    let engine = start(m.0.path());
    assert_eq!(pool("alice"), wanted);
    assert_eq!(pool("carol"), wanted.replace("alice", "carol").replace("20000", "20002"));
    assert_eq!(pool("bob"), bobs, "it is not overwritten");
    assert_eq!(keys(&engine, "bob"), ["file:/etc/wcp360/php/bob/8.2.conf"], "and it is shown");
    assert!(keys(&engine, "alice").is_empty() && keys(&engine, "carol").is_empty());
    // Neither the next start nor the next boot changes that; what was applied is known as such from now on.
    drop(engine);
    drop(start(m.0.path()));
    std::fs::write(m.path("/etc/wcp360/php/alice/8.2.conf"), "; alice's\n").unwrap();
    m.boot();
    let engine = start(m.0.path());
    assert_eq!((pool("alice").as_str(), pool("bob").as_str()), ("; alice's\n", bobs));
    for name in ["alice", "bob"] {
        let key = keys(&engine, name).remove(0);
        let items = vec![RepairItem { key, action: RepairAction::Repair, digest: None }];
        let request = RepairRequest { operation: OperationId::new(), items, audit: audit() };
        assert_eq!(engine.repair_items(&user(name), &request).unwrap().left, 0);
    }
    assert_eq!(pool("alice"), wanted);
}

#[test]
fn eng_07_what_was_just_changed_and_killed_is_not_taken_for_edited() {
    let Some(m) = stopped(&["alice"]) else { return };
    let engine = engine(m.0.path());
    engine.bring_up_all();
    edit(&engine, "alice", |set| set.services.php.pool.max_children = 9).unwrap();
    // Killed before the checkpoint, and another release after it: nobody knows what it has rendered.
    drop(engine);
    std::fs::write(m.path("/etc/wcp360/php/alice/8.2.conf"), "; of another release\n").unwrap();
    std::fs::remove_file(m.path("/run/wcp360/agent.compared")).unwrap();
    let engine = machine::engine(m.0.path());
    engine.checkpoint().unwrap();
    engine.bring_up_all();
    assert!(m.text("/etc/wcp360/php/alice/8.2.conf").contains("= 9"));
    assert_eq!(keys(&engine, "alice"), Vec::<String>::new());
}
