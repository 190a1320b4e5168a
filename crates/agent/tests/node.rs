//! Drift of the node, snippets, and the requests about drift over the socket.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod machine;

use machine::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wcp360_agent::api::{App, CheckedListener, router};
use wcp360_agent::engine::Engine;
use wcp360_agent_proto::{
    AgentClient, AgentErrorCode, ListRequest, NodeRepairRequest, RepairAction, RepairItem, RepairOutcome,
    RepairRequest, ScanRequest,
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
    let units = dir.path().join("opt/wcp360/current/systemd");
    std::fs::create_dir_all(&units).unwrap();
    for dir in [units, dir.path().join("etc/systemd/system")] {
        std::fs::write(dir.join("nginx.service"), "[Service]\n").unwrap();
    }
    let engine = engine(dir.path());
    create(&engine, "alice", "alice.test").unwrap();
    create(&engine, "bob", "bob.test").unwrap();
    Some(Machine { dir, engine })
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    fn live(&self, file: &str) -> PathBuf {
        let nginx = self.path("/etc/wcp360/nginx");
        nginx.join(std::fs::read_link(nginx.join("current")).unwrap()).join(file)
    }
    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.engine.node_drift().unwrap().items.into_iter().map(|item| item.key).collect();
        keys.sort();
        keys
    }
    fn blocks(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.live("sites")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
    fn points_at(&self, link: &str, target: &str) -> bool {
        std::fs::read_link(self.path(link)).unwrap().ends_with(Path::new(target))
    }
}

fn request(keys: &[&str]) -> NodeRepairRequest {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    NodeRepairRequest { operation: OperationId::new(), keys, audit: audit() }
}

#[test]
fn eng_07_the_nodes_own_files_are_compared_and_put_back() {
    let Some(m) = machine() else { return };
    assert_eq!(m.keys(), Vec::<String>::new());
    let before = inventory(m.dir.path());
    m.write("/etc/systemd/system/nginx.service", "[Service]\nUser=root\n");
    m.write("/etc/systemd/system/wcp360-php8.2@.service", "[Service]\n");
    std::fs::remove_file(m.path("/etc/tmpfiles.d/wcp360-php.conf")).unwrap();
    std::fs::set_permissions(m.path("/srv/www"), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::set_permissions(m.path("/var/lib/wcp360/agent"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(m.live("nginx.conf"), "events {}\n").unwrap();
    std::fs::write(m.live("sites/mine.conf"), "server {}\n").unwrap();
    std::fs::create_dir_all(m.path("/var/lib/wcp360/web/sites/ghost")).unwrap();
    symlink("../sites/ghost/x", m.path("/var/lib/wcp360/web/names/ghost.test")).unwrap();
    symlink("x", m.path("/etc/systemd/system/wcp360.target.wants/wcp360-php8.2@ghost.socket")).unwrap();
    symlink("x", m.path("/etc/systemd/system/wcp360.target.wants/administrators.service")).unwrap();
    assert_eq!(
        m.keys(),
        [
            "dir:/srv/www",
            "dir:/var/lib/wcp360/agent",
            "extra:/etc/systemd/system/wcp360.target.wants/wcp360-php8.2@ghost.socket",
            "extra:/var/lib/wcp360/web/names/ghost.test",
            "extra:/var/lib/wcp360/web/sites/ghost",
            "file:/etc/systemd/system/nginx.service",
            "file:/etc/systemd/system/wcp360-php8.2@.service",
            "file:/etc/tmpfiles.d/wcp360-php.conf",
            "nginx-extra:mine.conf",
            "nginx-file:nginx.conf",
        ]
    );
    let drift = m.engine.node_drift().unwrap();
    let unit = drift.items.iter().find(|item| item.key.ends_with("/nginx.service")).unwrap();
    assert!(unit.diff.as_ref().unwrap().contains("+User=root"), "{unit:?}");
    assert!(m.engine.scan(&ScanRequest::default()).unwrap().drifted.is_empty(), "the accounts are healthy");
    let done = m.engine.node_repair(&request(&["dir:/srv/www", "dir:/nothing"])).unwrap();
    assert_eq!((done.items[0].outcome, done.items[1].outcome), (RepairOutcome::Done, RepairOutcome::Healthy));
    let done = m.engine.node_repair(&request(&[])).unwrap();
    assert!(done.left == 0 && done.items.iter().all(|item| item.outcome == RepairOutcome::Done), "{done:?}");
    std::fs::remove_file(m.path("/etc/systemd/system/wcp360.target.wants/administrators.service")).unwrap();
    assert_eq!(inventory(m.dir.path()), before);
    let kept = m.engine.node_drift().unwrap().quarantine;
    assert_eq!(kept.len(), 4, "{kept:?}");
    let writes = m.engine.fs().writes();
    assert_eq!(m.keys(), Vec::<String>::new());
    m.engine.follow_hand_edits();
    assert_eq!(m.engine.fs().writes(), writes, "looking changes nothing");
}

#[test]
fn eng_07_an_account_with_snippets_has_blocks_of_its_own_as_long_as_it_has_any() {
    let Some(m) = machine() else { return };
    let root = "/var/lib/wcp360/web/sites/alice/alice.test/root";
    assert!(m.blocks().is_empty() && m.points_at(root, "alice/public_html"));
    m.write("/etc/wcp360/snippets/nginx/alice/headers.conf", "add_header X-Mine 1;\n");
    m.write("/etc/wcp360/snippets/nginx/global/map.conf", "map a b {}\n");
    m.engine.follow_hand_edits();
    assert_eq!(m.blocks(), ["alice.alice.test.conf"]);
    let block = std::fs::read_to_string(m.live("sites/alice.alice.test.conf")).unwrap();
    assert!(block.contains("include snippets/alice/*.conf;") && m.points_at(root, "web/empty"), "{block}");
    assert!(m.live("snippets/alice/headers.conf").exists() && m.live("snippets/global/map.conf").exists());
    assert!(m.engine.scan(&ScanRequest::default()).unwrap().drifted.is_empty());
    // Changes of the account, suspending it, restarts: the snippet and its effect survive.
    edit(&m.engine, "alice", |set| set.services.php.pool.max_children = 9).unwrap();
    let again = engine(m.dir.path());
    again.follow_hand_edits();
    assert_eq!(m.blocks(), ["alice.alice.test.conf"]);
    assert!(m.path("/etc/wcp360/snippets/nginx/alice/headers.conf").exists());
    // A broken one costs its own site the snippet, and nobody else anything.
    let m = Machine { engine: again, ..m };
    m.write("/etc/wcp360/snippets/nginx/alice/headers.conf", "this is bad\n");
    m.engine.follow_hand_edits();
    assert!(!m.path("/etc/wcp360/snippets/nginx/alice/headers.conf").exists());
    let kept = m.engine.node_drift().unwrap().quarantine;
    assert!(kept[0].name.ends_with("-headers.conf") && kept[0].note.contains("account alice"), "{kept:?}");
    m.engine.follow_hand_edits();
    assert!(m.blocks().is_empty() && m.points_at(root, "alice/public_html"), "{:?}", m.blocks());
    assert!(m.engine.scan(&ScanRequest::default()).unwrap().drifted.is_empty());
    create(&m.engine, "carol", "carol.test").unwrap();
}

#[test]
fn eng_07_a_broken_edit_of_an_accounts_block_costs_nobody_anything() {
    let Some(m) = machine() else { return };
    let own = |set: &mut wcp360_types::manifest::ManifestSet| {
        set.domains.sub = vec![wcp360_types::manifest::Site {
            domain: wcp360_types::Domain::parse("own.alice.test").unwrap(),
            document_root: wcp360_types::DocumentRoot::parse("apps/own").unwrap(),
            www: false,
        }];
    };
    edit(&m.engine, "alice", own).unwrap();
    let file = m.live("sites/alice.own.alice.test.conf");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}bad\n")).unwrap();
    std::fs::write(m.live("sites/zzz.conf"), "bad\n").unwrap();
    let items = m.engine.drift(&user("alice")).unwrap().items;
    assert_eq!(items[0].key, "nginx:alice.own.alice.test.conf");
    assert!(items[0].diff.as_ref().unwrap().contains("+bad"));
    // Somebody else's change goes through, and the account's own block comes back as it should be.
    edit(&m.engine, "bob", |set| {
        own(set);
        set.domains.sub[0].domain = wcp360_types::Domain::parse("own.bob.test").unwrap();
    })
    .unwrap();
    assert_eq!(m.blocks(), ["bob.own.bob.test.conf"]);
    let items = vec![RepairItem { key: items[0].key.clone(), action: RepairAction::Repair, digest: None }];
    let request = RepairRequest { operation: OperationId::new(), items, audit: audit() };
    assert_eq!(m.engine.repair_items(&user("alice"), &request).unwrap().left, 0);
    assert_eq!(std::fs::read_to_string(m.live("sites/alice.own.alice.test.conf")).unwrap(), good);
    assert_eq!(m.blocks().len(), 2);
    assert_eq!(m.engine.node_drift().unwrap().quarantine.len(), 2);
    // And without any change: found in passing.
    std::fs::write(m.live("sites/alice.own.alice.test.conf"), format!("{good}bad\n")).unwrap();
    m.engine.follow_hand_edits();
    assert_eq!(std::fs::read_to_string(m.live("sites/alice.own.alice.test.conf")).unwrap(), good);
}

#[test]
fn eng_07_everything_can_be_asked_over_the_socket() {
    let Some(m) = machine() else { return };
    m.write("/etc/wcp360/php/alice/8.2.conf", "; mine\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let socket = m.path("/agent.sock");
        let listener = CheckedListener::new(tokio::net::UnixListener::bind(&socket).unwrap(), 0);
        let app = Arc::new(App::new(Arc::clone(&m.engine)));
        tokio::spawn(async move { axum::serve(listener, router(app)).await });
        let client = AgentClient::new(&socket);
        let page = client.scan(&ScanRequest::default()).await.unwrap();
        assert_eq!((page.compared, page.drifted.len(), page.next), (2, 1, None));
        let drift = client.drift(&user("alice")).await.unwrap();
        assert_eq!(page.drifted[0], drift);
        assert_eq!(client.drift(&user("nobody1")).await.unwrap_err().code, AgentErrorCode::NotFound);
        let items = vec![RepairItem {
            key: drift.items[0].key.clone(),
            action: RepairAction::Repair,
            digest: Some(drift.items[0].digest.clone()),
        }];
        let request = RepairRequest { operation: OperationId::new(), items, audit: audit() };
        let done = client.repair(&user("alice"), &request).await.unwrap();
        assert_eq!((done.items[0].outcome, done.left), (RepairOutcome::Done, 0));
        let page = client.list(&ListRequest { after: Some(user("alice")), limit: None }).await.unwrap();
        assert_eq!(page.accounts[0].username, user("bob"));
        assert!(page.accounts[0].record.is_some());
        assert!(client.node_drift().await.unwrap().items.is_empty());
        assert_eq!(client.node_repair(&self::request(&[])).await.unwrap().left, 0);
        // Its own books, page by page (SEC-06).
        let mut asked = wcp360_agent_proto::OperationsRequest { after: None, limit: Some(2) };
        let page = client.operations(&asked).await.unwrap();
        assert_eq!(page.operations.iter().map(|done| done.account.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
        asked.after = page.next;
        let page = client.operations(&asked).await.unwrap();
        assert_eq!((page.operations[0].operation, page.next), (request.operation, None));
        assert_eq!(page.operations[0].audit, request.audit);
        let pick = wcp360_agent_proto::PickUpRequest {
            operation: OperationId::new(),
            revision: drift.revision,
            audit: audit(),
        };
        assert_eq!(client.pick_up(&user("alice"), &pick).await.unwrap_err().code, AgentErrorCode::RevisionMoved);
    });
}
