//! Drift: what was changed by hand is found, named, shown, put back or accepted; and nothing is written where nothing is
//! wrong.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod machine;

use machine::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wcp360_agent::engine::{BroughtUp, Engine};
use wcp360_agent_proto::{
    AgentErrorCode, DriftItem, DriftWhat, ListRequest, ManifestsState, PickUpRequest, RepairAction, RepairItem,
    RepairOutcome, RepairRequest, Repaired, ScanRequest,
};
use wcp360_types::{OperationId, Username};

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
    create(&engine, "alice", "alice.test").unwrap();
    Some(Machine { dir, engine })
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }
    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }
    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }
    fn chmod(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    fn drift(&self) -> Vec<DriftItem> {
        self.engine.drift(&user("alice")).unwrap().items
    }
    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.drift().into_iter().map(|item| item.key).collect();
        keys.sort();
        keys
    }
    fn item(&self, key: &str) -> DriftItem {
        self.drift().into_iter().find(|item| item.key == key).unwrap_or_else(|| panic!("no {key}"))
    }
    fn act(&self, operation: OperationId, items: &[(&str, RepairAction)]) -> Repaired {
        let items = items.iter().map(|(key, action)| RepairItem { key: (*key).into(), action: *action, digest: None });
        let request = RepairRequest { operation, items: items.collect(), audit: audit() };
        self.engine.repair_items(&user("alice"), &request).unwrap()
    }
    fn one(&self, key: &str, action: RepairAction) -> RepairOutcome {
        self.act(OperationId::new(), &[(key, action)]).items[0].outcome
    }
    fn repair_all(&self) -> Repaired {
        let keys = self.keys();
        let items: Vec<_> = keys.iter().map(|key| (key.as_str(), RepairAction::Repair)).collect();
        self.act(OperationId::new(), &items)
    }
}

const POOL: &str = "file:/etc/wcp360/php/alice/8.2.conf";
const PRIVATE: &str = "dir:/srv/www/alice/private";

/// When anything was last changed, in any way.
fn stamps(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    fn walk(dir: &Path, out: &mut BTreeMap<PathBuf, (u64, i64, i64)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            out.insert(path.clone(), (meta.ino(), meta.ctime(), meta.ctime_nsec()));
            if meta.is_dir() {
                walk(&path, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, &mut out);
    out
}

#[test]
fn eng_07_everything_that_was_edited_or_deleted_is_found_and_put_back() {
    let Some(m) = machine() else { return };
    assert_eq!(m.keys(), Vec::<String>::new());
    let before = inventory(m.dir.path());
    let passwd = m.text("/etc/passwd");
    m.write("/etc/passwd", &passwd.replace("/usr/sbin/nologin", "/bin/bash"));
    m.chmod("/srv/www/alice/private", 0o777);
    std::os::unix::fs::chown(m.path("/srv/www/alice"), Some(20_000), None).unwrap();
    m.write("/etc/wcp360/php/alice/8.2.conf", "; nothing\n");
    m.write("/etc/systemd/system/wcp360-alice.slice.d/50-limits.conf", "[Slice]\n");
    m.write("/etc/systemd/system/wcp360-alice.slice.d/60-mine.conf", "[Slice]\n");
    std::fs::remove_file(m.path("/units/wcp360-php8.2@alice.socket")).unwrap();
    std::fs::remove_file(m.path("/var/lib/wcp360/web/names/www.alice.test")).unwrap();
    std::fs::remove_file(m.path("/var/lib/wcp360/web/names/alice.test")).unwrap();
    symlink("../sites/nobody/x", m.path("/var/lib/wcp360/web/names/alice.test")).unwrap();
    m.write("/var/lib/wcp360/web/sites/alice/alice.test/tls.pem", "-----BEGIN PRIVATE KEY-----\nsecret\n");
    m.write("/var/lib/wcp360/web/sites/alice/alice.test/suspended", "");
    std::fs::remove_dir_all(m.path("/srv/www/alice/tmp")).unwrap();
    m.chmod("/etc/wcp360/users/alice/account.json", 0o644);
    m.write("/etc/wcp360/users/alice/account.json.bak", "{}");
    symlink("x", m.path("/etc/systemd/system/wcp360.target.wants/wcp360-php7.4@alice.socket")).unwrap();
    let wanted = [
        "certificate:/var/lib/wcp360/web/sites/alice/alice.test/tls.pem",
        "dir:/srv/www/alice/private",
        "dir:/srv/www/alice/tmp",
        "extra:/etc/systemd/system/wcp360-alice.slice.d/60-mine.conf",
        "extra:/etc/systemd/system/wcp360.target.wants/wcp360-php7.4@alice.socket",
        "extra:/etc/wcp360/users/alice/account.json.bak",
        "extra:/var/lib/wcp360/web/sites/alice/alice.test/suspended",
        "file:/etc/systemd/system/wcp360-alice.slice.d/50-limits.conf",
        POOL,
        "home:/srv/www/alice",
        "link:/var/lib/wcp360/web/names/alice.test",
        "link:/var/lib/wcp360/web/names/www.alice.test",
        "manifest:/etc/wcp360/users/alice/account.json",
        "unit:wcp360-php8.2@alice.socket",
        "user:alice",
    ];
    assert_eq!(m.keys(), wanted);
    let pool = m.item(POOL);
    assert_eq!(pool.what, DriftWhat::Changed);
    assert!(pool.diff.as_ref().unwrap().contains("+; nothing"), "{pool:?}");
    assert_eq!(pool.origin.template.as_deref(), Some("php/pool.conf"));
    assert_eq!(pool.origin.manifest.as_deref(), Some("services.json"));
    assert_eq!(pool.found.as_ref().unwrap().owner.as_deref(), Some("root"));
    let shell = m.item("user:alice").fields;
    assert_eq!((shell[0].field.as_str(), shell[0].found.as_str()), ("shell", "/bin/bash"));
    assert_eq!(m.item("dir:/srv/www/alice/tmp").what, DriftWhat::Missing);
    let private = &m.item(PRIVATE).fields[0];
    assert_eq!((private.wanted.as_str(), private.found.as_str()), ("0700", "0777"));
    let certificate = m.item(wanted[0]);
    assert!(certificate.diff.is_none() && !format!("{certificate:?}").contains("secret"), "{certificate:?}");
    assert!(!m.drift().iter().any(|item| item.diff.as_ref().is_some_and(|diff| diff.contains("secret"))));

    let done = m.repair_all();
    assert!(done.items.iter().all(|item| item.outcome == RepairOutcome::Done), "{done:?}");
    assert_eq!((done.left, m.keys()), (0, vec![]));
    assert_eq!(inventory(m.dir.path()), before);
}

#[test]
fn eng_07_what_is_extra_is_kept_in_the_quarantine_with_a_note() {
    let Some(m) = machine() else { return };
    m.write("/etc/wcp360/php/alice/mine.conf", "precious");
    m.repair_all();
    let kept = m.engine.node_drift().unwrap().quarantine;
    assert_eq!(kept.len(), 1);
    assert!(kept[0].note.contains("/etc/wcp360/php/alice/mine.conf"), "{kept:?}");
    assert_eq!(m.text(&format!("/etc/wcp360/quarantine/{}", kept[0].name)), "precious");
}

#[test]
fn eng_07_something_of_another_type_is_moved_out_of_the_way() {
    let Some(m) = machine() else { return };
    let before = inventory(m.dir.path());
    std::fs::remove_dir_all(m.path("/srv/www/alice/tmp")).unwrap();
    symlink("/etc", m.path("/srv/www/alice/tmp")).unwrap();
    std::fs::remove_file(m.path("/etc/wcp360/php/alice/8.2.conf")).unwrap();
    symlink("/etc/shadow", m.path("/etc/wcp360/php/alice/8.2.conf")).unwrap();
    assert_eq!(m.keys(), ["dir:/srv/www/alice/tmp", POOL]);
    assert!(!format!("{:?}", m.drift()).contains("root:*"), "what a link leads to is not shown");
    assert_eq!(m.repair_all().left, 0);
    assert!(m.path("/etc/passwd").exists());
    assert_eq!(inventory(m.dir.path()), before);
}

#[test]
fn eng_07_what_is_adopted_stays_until_what_is_rendered_changes() {
    let Some(m) = machine() else { return };
    let mine = format!("{}; mine\n", m.text("/etc/wcp360/php/alice/8.2.conf"));
    m.write("/etc/wcp360/php/alice/8.2.conf", &mine);
    m.chmod("/srv/www/alice/private", 0o750);
    assert_eq!(m.one(POOL, RepairAction::Adopt), RepairOutcome::Done);
    assert_eq!(m.one(PRIVATE, RepairAction::Adopt), RepairOutcome::Done);
    assert_eq!(m.keys(), Vec::<String>::new());
    assert_eq!(m.engine.drift(&user("alice")).unwrap().accepted.len(), 2);
    // Neither a restart, nor the comparison after a boot, nor a change of something else takes it away.
    let engine = engine(m.dir.path());
    assert_eq!(engine.bring_up(&user("alice")).unwrap(), BroughtUp::default());
    let m = Machine { engine, ..m };
    edit(&m.engine, "alice", |set| set.domains.primary.www = false).unwrap();
    assert_eq!(m.text("/etc/wcp360/php/alice/8.2.conf"), mine);
    assert_eq!(m.keys(), Vec::<String>::new());
    // Changed again, it is reported again; and so it is when it should be something else.
    m.write("/etc/wcp360/php/alice/8.2.conf", "; other\n");
    assert_eq!(m.keys(), [POOL]);
    m.write("/etc/wcp360/php/alice/8.2.conf", &mine);
    assert_eq!(m.keys(), Vec::<String>::new());
    edit(&m.engine, "alice", |set| set.services.php.pool.max_children = 7).unwrap();
    let pool = m.text("/etc/wcp360/php/alice/8.2.conf");
    assert!(pool.contains("= 7") && !pool.contains("; mine"), "{pool}");
    // Repairing takes an acceptance back.
    assert_eq!(m.engine.drift(&user("alice")).unwrap().accepted.len(), 1);
    assert_eq!(m.one(PRIVATE, RepairAction::Repair), RepairOutcome::Done);
    assert_eq!(m.engine.drift(&user("alice")).unwrap().accepted.len(), 0);
    assert_eq!(std::fs::metadata(m.path("/srv/www/alice/private")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn eng_07_what_would_be_unsafe_is_not_adopted() {
    let Some(m) = machine() else { return };
    let passwd = m.text("/etc/passwd");
    m.write("/etc/passwd", &passwd.replace("/usr/sbin/nologin", "/bin/bash"));
    std::os::unix::fs::chown(m.path("/srv/www/alice"), Some(20_000), None).unwrap();
    m.chmod("/srv/www/alice/logs", 0o777);
    m.chmod("/srv/www/alice/private", 0o4700);
    m.write("/var/lib/wcp360/web/sites/alice/alice.test/tls.pem", "x");
    m.write("/var/lib/wcp360/web/sites/alice/alice.test/site.json", "{}");
    std::fs::remove_file(m.path("/var/lib/wcp360/web/names/alice.test")).unwrap();
    symlink("/etc", m.path("/var/lib/wcp360/web/names/alice.test")).unwrap();
    std::fs::set_permissions(m.path("/etc/wcp360/php/alice/8.2.conf"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let keys = m.keys();
    assert_eq!(keys.len(), 8, "{keys:?}");
    let before = inventory(m.dir.path());
    for key in &keys {
        assert_eq!(m.one(key, RepairAction::Adopt), RepairOutcome::Refused, "{key}");
        assert!(!m.item(key).actions.contains(&RepairAction::Adopt), "{key}");
    }
    assert_eq!(inventory(m.dir.path()), before);
}

#[test]
fn eng_07_what_is_ignored_is_not_reported_until_it_changes() {
    let Some(m) = machine() else { return };
    let passwd = m.text("/etc/passwd");
    m.write("/etc/passwd", &passwd.replace("/usr/sbin/nologin", "/bin/bash"));
    assert_eq!(m.one("user:alice", RepairAction::Ignore), RepairOutcome::Done);
    assert_eq!(m.keys(), Vec::<String>::new());
    assert_eq!(m.engine.bring_up(&user("alice")).unwrap(), BroughtUp::default(), "not after a boot either");
    m.write("/etc/passwd", &passwd.replace("/usr/sbin/nologin", "/bin/sh"));
    assert_eq!(m.keys(), ["user:alice"]);
    // A change of the account makes it what the manifests say.
    m.write("/etc/passwd", &passwd.replace("/usr/sbin/nologin", "/bin/bash"));
    edit(&m.engine, "alice", |set| set.domains.primary.www = false).unwrap();
    assert_eq!(m.text("/etc/passwd"), passwd);
}

#[test]
fn eng_07_a_repair_is_done_once_and_only_on_what_was_decided_upon() {
    let Some(m) = machine() else { return };
    m.write("/etc/wcp360/php/alice/8.2.conf", "; one\n");
    let seen = m.item(POOL).digest;
    m.write("/etc/wcp360/php/alice/8.2.conf", "; two\n");
    let item = RepairItem { key: POOL.into(), action: RepairAction::Repair, digest: Some(seen) };
    let request = RepairRequest { operation: OperationId::new(), items: vec![item.clone()], audit: audit() };
    let answer = m.engine.repair_items(&user("alice"), &request).unwrap();
    assert_eq!(answer.items[0].outcome, RepairOutcome::Moved);
    assert_eq!(m.text("/etc/wcp360/php/alice/8.2.conf"), "; two\n");
    let twice = RepairRequest { items: vec![item.clone(), item], ..request };
    assert_eq!(m.engine.repair_items(&user("alice"), &twice).unwrap_err().code, AgentErrorCode::Invalid);
    assert_eq!(m.one("file:/etc/shadow", RepairAction::Repair), RepairOutcome::Healthy, "not a path that is asked for");
    // Asked again after an edit, the same operation does nothing again.
    let operation = OperationId::new();
    let first = m.act(operation, &[(POOL, RepairAction::Repair)]);
    m.write("/etc/wcp360/php/alice/8.2.conf", "; three\n");
    assert_eq!(m.act(operation, &[(POOL, RepairAction::Repair)]), first);
    assert_eq!(m.text("/etc/wcp360/php/alice/8.2.conf"), "; three\n");
    // And it is no change.
    let error = converge(&m.engine, "alice", operation, None, None).unwrap_err();
    assert_eq!(error.code, AgentErrorCode::Invalid);
}

#[test]
fn eng_07_edited_manifests_are_shown_and_picked_up() {
    let Some(m) = machine() else { return };
    let file = "/etc/wcp360/users/alice/services.json";
    let good = m.text(file);
    let before = m.engine.account(&user("alice")).unwrap();
    assert!(before.on_disk.is_none());
    m.write(file, &good.replace("\"max_children\": 5", "\"max_children\": 9"));
    assert_ne!(m.text(file), good);
    let record = m.engine.account(&user("alice")).unwrap();
    assert_eq!(record.revision, before.revision, "what was applied last is what it is");
    let Some(ManifestsState::Edited { revision, diff, .. }) = record.on_disk else { panic!() };
    assert!(diff.contains("-    \"max_children\": 5") || diff.contains("max_children"), "{diff}");
    assert_eq!(m.keys(), ["manifests:alice"], "and the machine is still healthy");
    let page = m.engine.scan(&ScanRequest::default()).unwrap();
    assert!(matches!(page.drifted[0].manifests, ManifestsState::Edited { .. }));
    // A restart, and the comparison after a boot, leave it as it is.
    let engine = engine(m.dir.path());
    engine.bring_up(&user("alice")).unwrap();
    let m = Machine { engine, ..m };
    assert!(m.text("/etc/wcp360/php/alice/8.2.conf").contains("= 5"));
    let pick = |revision, operation| PickUpRequest { operation, revision, audit: audit() };
    let error = m.engine.pick_up(&user("alice"), &pick(before.revision.clone(), OperationId::new())).unwrap_err();
    assert_eq!(error.code, AgentErrorCode::RevisionMoved);
    let operation = OperationId::new();
    let done = m.engine.pick_up(&user("alice"), &pick(revision.clone(), operation)).unwrap();
    assert_eq!(done.record.as_ref().unwrap().revision, revision);
    assert!(m.text("/etc/wcp360/php/alice/8.2.conf").contains("= 9"));
    assert_eq!(m.keys(), Vec::<String>::new());
    assert_eq!(m.engine.pick_up(&user("alice"), &pick(revision, operation)).unwrap(), done);
    let meta: serde_json::Value = serde_json::from_str(&m.text("/etc/wcp360/users/alice/meta.json")).unwrap();
    assert_eq!(meta["last_audit_action"]["action"], "test");
}

#[test]
fn eng_07_a_pick_up_is_checked_as_any_change_is() {
    let Some(m) = machine() else { return };
    create(&m.engine, "bob", "bob.test").unwrap();
    for (file, from, to, code) in [
        // Somebody else's name; another number; a shell that is none.
        (
            "domains.json",
            "\"addon\": []",
            r#""addon": [{"domain":"bob.test","document_root":"domains/bob.test/public_html","www":false}]"#,
            AgentErrorCode::Taken,
        ),
        (
            "account.json",
            "\"uid\": 20000,\n  \"gid\": 20000",
            "\"uid\": 20001,\n  \"gid\": 20001",
            AgentErrorCode::Invalid,
        ),
    ] {
        let path = format!("/etc/wcp360/users/alice/{file}");
        let good = m.text(&path);
        m.write(&path, &good.replace(from, to));
        assert_ne!(m.text(&path), good, "{file}");
        let Some(ManifestsState::Edited { revision, .. }) = m.engine.account(&user("alice")).unwrap().on_disk else {
            panic!("{file}")
        };
        let request = PickUpRequest { operation: OperationId::new(), revision, audit: audit() };
        assert_eq!(m.engine.pick_up(&user("alice"), &request).unwrap_err().code, code, "{file}");
        assert_eq!(m.keys(), ["manifests:alice"]);
        m.write(&path, &good);
        assert_eq!(m.keys(), Vec::<String>::new());
    }
}

#[test]
fn eng_07_unusable_manifests_are_refused_by_name_and_the_last_good_ones_go_on() {
    let Some(m) = machine() else { return };
    let path = |file: &str| format!("/etc/wcp360/users/alice/{file}.json");
    let services = m.text(&path("services"));
    let machine_before = inventory(m.dir.path());
    for (file, text, field) in [
        ("services", services[..services.len() / 2].to_owned(), None),
        ("services", services.replace("\"schema_version\": 1", "\"schema_version\": 7"), Some("schema_version")),
        ("services", services.replace("\"8.2\"", "\"8.2; rm\""), Some("php.version")),
        ("services", services.replace("\"enabled\"", "\"enable\""), Some("php")),
        ("services", "\0\0\0\0".into(), None),
        ("account", String::new(), None),
    ] {
        let good = m.text(&path(file));
        m.write(&path(file), &text);
        let record = m.engine.account(&user("alice")).unwrap();
        let Some(ManifestsState::Refused { file: named, field: found, .. }) = record.on_disk else { panic!("{text}") };
        assert_eq!(named, path(file));
        match field {
            Some(field) => assert!(found.as_ref().is_some_and(|f| f.starts_with(field)), "{found:?} {field}"),
            None => assert!(found.is_none(), "{found:?}"),
        }
        // A restart takes nothing away, and neither does the comparison after a boot.
        let again = engine(m.dir.path());
        again.bring_up(&user("alice")).unwrap();
        assert_eq!(again.scan(&ScanRequest::default()).unwrap().drifted.len(), 1);
        let listed = again.list(&ListRequest::default()).unwrap().accounts;
        assert!(listed[0].record.is_some());
        let revision = m.engine.drift(&user("alice")).unwrap().revision;
        let request = PickUpRequest { operation: OperationId::new(), revision, audit: audit() };
        assert_eq!(m.engine.pick_up(&user("alice"), &request).unwrap_err().code, AgentErrorCode::Invalid);
        // Put back from what the agent keeps.
        assert_eq!(m.one("manifests:alice", RepairAction::Repair), RepairOutcome::Done);
        assert_eq!(m.text(&path(file)), good);
    }
    std::fs::remove_dir_all(m.path("/etc/wcp360/users/alice")).unwrap();
    assert_eq!(m.engine.account(&user("alice")).unwrap().on_disk, Some(ManifestsState::Missing));
    m.engine.checkpoint().unwrap();
    let m = Machine { engine: engine(m.dir.path()), ..m };
    assert_eq!(m.engine.accounts().unwrap().len(), 1);
    assert_eq!(m.repair_all().left, 0);
    assert_eq!(inventory(m.dir.path()), machine_before);
}

#[test]
fn eng_07_an_ordinary_change_keeps_edited_manifests_aside() {
    let Some(m) = machine() else { return };
    let file = "/etc/wcp360/users/alice/services.json";
    m.write(file, "{ my half-done edit");
    let done = edit(&m.engine, "alice", |set| set.domains.primary.www = false).unwrap();
    assert!(done.notes.iter().any(|note| note.contains("/etc/wcp360/quarantine/")), "{:?}", done.notes);
    let kept = m.engine.node_drift().unwrap().quarantine;
    let kept = m.text(&format!("/etc/wcp360/quarantine/{}/services.json", kept[0].name));
    assert_eq!(kept, "{ my half-done edit");
    assert_eq!(m.keys(), Vec::<String>::new());
}

#[test]
fn eng_05_the_listing_names_bad_accounts_and_gives_the_others() {
    let Some(m) = machine() else { return };
    for name in ["bob", "carol", "dave"] {
        create(&m.engine, name, &format!("{name}.test")).unwrap();
    }
    m.engine.checkpoint().unwrap();
    // Neither the manifests nor what was kept of them can be used.
    m.write("/etc/wcp360/users/bob/domains.json", "{");
    m.write("/var/lib/wcp360/agent/applied/bob.json", "{");
    let mut found = BTreeMap::new();
    let mut request = ListRequest { after: None, limit: Some(3) };
    let mut pages = 0;
    loop {
        let page = m.engine.list(&request).unwrap();
        pages += 1;
        found.extend(page.accounts.into_iter().map(|listed| (listed.username.to_string(), listed)));
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    assert_eq!((pages, found.len()), (2, 4));
    assert!(found["bob"].record.is_none());
    assert!(found["bob"].error.as_ref().unwrap().contains("/etc/wcp360/users/bob/domains.json"));
    assert!(["alice", "carol", "dave"].iter().all(|name| found[*name].record.is_some()));
}

#[test]
fn eng_07_a_scan_pages_through_all_accounts_and_writes_nothing() {
    let Some(m) = machine() else { return };
    for n in 0..40 {
        create(&m.engine, &format!("user{n:02}"), &format!("user{n}.test")).unwrap();
    }
    m.chmod("/srv/www/user07/private", 0o755);
    std::fs::remove_file(m.path("/var/lib/wcp360/web/names/user33.test")).unwrap();
    m.write("/etc/wcp360/users/user20/meta.json", "");
    let scan = || {
        let (mut drifted, mut compared) = (Vec::new(), 0);
        let mut request = ScanRequest { after: None, limit: Some(7) };
        loop {
            let page = m.engine.scan(&request).unwrap();
            assert!(page.errors.is_empty() && page.busy.is_empty(), "{page:?}");
            compared += page.compared;
            drifted.extend(page.drifted.into_iter().map(|drift| drift.account.to_string()));
            match page.next {
                Some(next) => request.after = Some(next),
                None => return (compared, drifted),
            }
        }
    };
    let (before, writes) = (stamps(m.dir.path()), m.engine.fs().writes());
    assert_eq!(scan(), (41, vec!["user07".to_owned(), "user20".to_owned(), "user33".to_owned()]));
    assert_eq!((stamps(m.dir.path()), m.engine.fs().writes()), (before, writes), "looking changes nothing");
    for name in ["user07", "user20", "user33"] {
        let name = user(name);
        let items = m.engine.drift(&name).unwrap().items;
        let items = items.into_iter().map(|item| RepairItem {
            key: item.key,
            action: RepairAction::Repair,
            digest: Some(item.digest),
        });
        let request = RepairRequest { operation: OperationId::new(), items: items.collect(), audit: audit() };
        let answer = m.engine.repair_items(&name, &request).unwrap();
        assert_eq!(answer.left, 0, "{answer:?}");
        // Once more: nothing is left to do, and nothing is written.
        let (before, writes) = (stamps(m.dir.path()), m.engine.fs().writes());
        let request = RepairRequest { operation: OperationId::new(), ..request };
        assert_eq!(m.engine.repair_items(&name, &request).unwrap().items[0].outcome, RepairOutcome::Healthy);
        assert_eq!((stamps(m.dir.path()), m.engine.fs().writes()), (before, writes));
    }
    let (before, writes) = (stamps(m.dir.path()), m.engine.fs().writes());
    assert_eq!(scan(), (41, vec![]));
    assert_eq!(m.engine.bring_up(&user("alice")).unwrap(), BroughtUp::default());
    assert_eq!((stamps(m.dir.path()), m.engine.fs().writes()), (before, writes));
}
