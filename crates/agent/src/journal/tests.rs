use super::*;
use crate::fsx::{Access, Durability};
use crate::layout::Layout;
use std::path::PathBuf;
use wcp360_agent_proto::AgentErrorCode;
use wcp360_types::JobId;

pub(super) struct Machine {
    dir: tempfile::TempDir,
    fs: Arc<Fs>,
}

impl Machine {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib/wcp360/agent/journal")).unwrap();
        let fs = Arc::new(Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap());
        Self { dir, fs }
    }
    pub(super) fn journal(&self) -> Result<Journal, JournalError> {
        Journal::open(&self.fs)
    }
    pub(super) fn file(&self) -> PathBuf {
        let dir = self.dir.path().join("var/lib/wcp360/agent/journal");
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.pop().unwrap()
    }
    fn boot(&self, id: &str) {
        let dir = self.dir.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("boot_id"), id).unwrap();
    }
}

fn set(name: &str) -> ManifestSet {
    serde_json::from_value(serde_json::json!({
        "account": { "schema_version": 1, "username": name, "uid": 20_000, "gid": 20_000, "primary_domain": "a.test",
            "shell": "/usr/sbin/nologin", "status": "active", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "package": "starter" },
        "limits": { "schema_version": 1, "package_version": 1, "limits": {}, "features": {} },
        "domains": { "schema_version": 1,
            "primary": { "domain": "a.test", "document_root": "public_html", "www": true } },
        "services": { "schema_version": 1,
            "php": { "enabled": true, "version": "8.2", "pool": {}, "open_basedir": [] } },
        "ssh": { "schema_version": 1, "mode": "disabled" },
    }))
    .unwrap()
}

pub(super) fn entry(name: &str) -> Entry {
    Entry {
        operation: OperationId::new(),
        account: Username::parse(name).unwrap(),
        from: None,
        to: Some(set(name)),
        audit: AuditReference { action: "test".into(), actor: "test".into(), job: JobId::new() },
        started_at: Timestamp::now(),
        created: vec!["/srv/www/x".into()],
        state: State::Applying,
        task: Task::Converge,
        owner: None,
        answer: None,
    }
}

pub(super) fn rolled_back(entry: &Entry) -> Entry {
    let error = AgentError::new(AgentErrorCode::Rejected, "no");
    Entry { state: State::RolledBack, answer: Some(Err(error)), ..entry.clone() }
}

#[test]
fn eng_02_what_was_written_is_read_again() {
    let machine = Machine::new();
    let journal = machine.journal().unwrap();
    let (open, closed) = (entry("open"), entry("closed"));
    journal.write(&open).unwrap();
    journal.write(&closed).unwrap();
    journal.write(&rolled_back(&closed)).unwrap();
    for journal in [journal, machine.journal().unwrap()] {
        assert_eq!(journal.unfinished(), [open.operation]);
        let read = journal.read(open.operation).unwrap().unwrap();
        assert_eq!((read.to, read.created, read.state), (open.to.clone(), open.created.clone(), State::Applying));
        let read = journal.read(closed.operation).unwrap().unwrap();
        assert_eq!(read.answer.unwrap().unwrap_err().message, "no");
        assert_eq!(read.state, State::RolledBack);
        assert_eq!(journal.highest_uid(), 20_000);
        assert_eq!(journal.latest(&closed.account), Some(closed.operation));
        assert!(journal.read(OperationId::new()).unwrap().is_none());
    }
}

#[test]
fn eng_02_a_torn_end_is_cut_off_wherever_it_is_torn() {
    let machine = Machine::new();
    let first = entry("first");
    machine.journal().unwrap().write(&first).unwrap();
    let before = std::fs::read(machine.file()).unwrap();
    machine.journal().unwrap().write(&rolled_back(&first)).unwrap();
    let after = std::fs::read(machine.file()).unwrap();
    let seal = frame::HEADER;
    let complete = after.len() - seal;
    for length in before.len()..=after.len() {
        // What was cut off may also be there as zeros: the file was made longer and the content did not follow.
        for zeros in [0, after.len() - length] {
            let mut bytes = after[..length].to_vec();
            bytes.resize(length + zeros, 0);
            std::fs::write(machine.file(), &bytes).unwrap();
            let journal = machine.journal().unwrap();
            let state = journal.read(first.operation).unwrap().unwrap().state;
            // Without its last bytes: those may have been zeros.
            let written = if length >= complete { State::RolledBack } else { State::Applying };
            if zeros == 0 || after[length..].iter().any(|byte| *byte != 0) {
                assert_eq!(state, written, "{length} of {} bytes", after.len());
            }
            // And it can be written on.
            journal.write(&rolled_back(&first)).unwrap();
            assert_eq!(machine.journal().unwrap().read(first.operation).unwrap().unwrap().state, State::RolledBack);
        }
    }
}

#[test]
fn eng_02_a_bit_flip_anywhere_is_refused_by_name() {
    let machine = Machine::new();
    let journal = machine.journal().unwrap();
    for name in ["alice", "bob"] {
        let entry = entry(name);
        journal.write(&entry).unwrap();
        journal.write(&rolled_back(&entry)).unwrap();
    }
    drop(journal);
    let good = std::fs::read(machine.file()).unwrap();
    // The last seal itself may be torn.
    for at in (0..good.len() - frame::HEADER).step_by(41) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(machine.file(), &bad).unwrap();
        let Err(error) = machine.journal() else { panic!("byte {at} of {}", good.len()) };
        let message = error.to_string();
        assert!(message.contains("/journal/0000000000000001.log") && message.contains("start again"), "{message}");
        assert_eq!(std::fs::read(machine.file()).unwrap(), bad, "it is not touched");
    }
    std::fs::write(machine.file(), &good).unwrap();
    machine.journal().unwrap();
}

#[test]
fn eng_02_another_version_is_refused_by_name() {
    let machine = Machine::new();
    let journal = machine.journal().unwrap();
    journal.log.append(b"{\"v\":2,\"kind\":\"begin\"}\n{}").unwrap();
    drop(journal);
    let Err(error) = machine.journal() else { panic!() };
    assert!(error.to_string().contains("version 2, this release knows 1"), "{error}");
    std::fs::remove_file(machine.file()).unwrap();
    let journal = machine.journal().unwrap();
    journal.log.append(b"{\"v\":1,\"kind\":\"confess\"}\n{}").unwrap();
    drop(journal);
    let Err(error) = machine.journal() else { panic!() };
    assert!(error.to_string().contains("confess"), "{error}");
    let text = "wcp360-journal 9 0000000000000000\n";
    std::fs::write(machine.file(), text).unwrap();
    let Err(error) = machine.journal() else { panic!() };
    assert!(error.to_string().contains("format 9, this release knows 1"), "{error}");
    // What was killed while it was begun is begun again.
    std::fs::write(machine.file(), &text[..9]).unwrap();
    machine.journal().unwrap();
}

#[test]
fn eng_02_only_a_new_boot_loses_anything() {
    let machine = Machine::new();
    machine.boot("one");
    let (one, two) = (entry("one"), entry("two"));
    let journal = machine.journal().unwrap();
    for entry in [&one, &two] {
        journal.write(entry).unwrap();
        journal.write(&rolled_back(entry)).unwrap();
    }
    journal.checkpoint(vec![(one.account.clone(), one.operation)]).unwrap();
    drop(journal);
    let journal = machine.journal().unwrap();
    assert!(journal.lost().is_empty());
    assert_eq!(journal.pending(), [(two.account.clone(), two.operation)]);
    drop(journal);
    machine.boot("two");
    // Killed before it was carried out again, it is still to be.
    for _ in 0..2 {
        let journal = machine.journal().unwrap();
        assert_eq!(journal.lost(), [(two.account.clone(), two.operation)]);
        assert!(journal.pending().is_empty());
    }
    let journal = machine.journal().unwrap();
    journal.found(&two.account, two.operation);
    assert!(journal.lost().is_empty());
    journal.checkpoint(journal.pending()).unwrap();
    machine.boot("three");
    assert!(machine.journal().unwrap().lost().is_empty());
}

#[test]
fn eng_02_what_waits_goes_to_disk_together() {
    // On a disk that takes its time: in memory, nobody waits.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::create_dir_all(dir.path().join("var/lib/wcp360/agent/journal")).unwrap();
    let fs = Arc::new(Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap());
    let machine = Machine { dir, fs };
    let journal = machine.journal().unwrap();
    let begin = std::sync::Barrier::new(64);
    std::thread::scope(|scope| {
        for n in 0..64 {
            let (journal, begin) = (&journal, &begin);
            scope.spawn(move || {
                let entry = entry(&format!("user{n}"));
                begin.wait();
                journal.write(&entry).unwrap();
                journal.write(&rolled_back(&entry)).unwrap();
            });
        }
    });
    let frames = frame::scan(&std::fs::read(machine.file()).unwrap()).unwrap().frames.len();
    println!("128 records of 64 threads: {frames} waits for the disk");
    assert!(frames < 100, "{frames}");
    let again = machine.journal().unwrap();
    assert!(again.unfinished().is_empty());
    assert_eq!(again.pending().len(), 64);
}

#[test]
fn files_whose_time_is_over_go_and_none_may_be_missing() {
    let machine = Machine::new();
    let journal = machine.journal().unwrap();
    let mut last = entry("first");
    let open = entry("open");
    let files = || std::fs::read_dir(machine.file().parent().unwrap()).unwrap().count();
    while files() < 4 {
        last = entry("carol");
        last.created = vec!["x".repeat(1024 * 1024)];
        journal.write(&last).unwrap();
        journal.write(&rolled_back(&last)).unwrap();
    }
    journal.write(&open).unwrap();
    let future = Timestamp::now().as_second() + 10;
    // The last operation of the account is not on disk yet, and it needs the files from its beginning on.
    journal.forget(future).unwrap();
    assert!(files() >= 1 && journal.read(last.operation).unwrap().is_some());
    journal.checkpoint(journal.pending()).unwrap();
    journal.forget(future).unwrap();
    let left = files();
    assert_eq!(machine.journal().unwrap().unfinished(), [open.operation]);
    assert!(journal.read(open.operation).unwrap().is_some());
    // A missing file in the middle is no end.
    while files() < left + 3 {
        let mut more = entry("carol");
        more.created = vec!["x".repeat(1024 * 1024)];
        journal.write(&more).unwrap();
    }
    let mut names: Vec<_> =
        std::fs::read_dir(machine.file().parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    std::fs::remove_file(&names[names.len() - 2]).unwrap();
    assert!(matches!(machine.journal(), Err(JournalError::Damaged { .. })));
}

#[test]
fn files_of_older_releases_are_taken_over() {
    let machine = Machine::new();
    let (open, done) = (entry("open"), entry("done"));
    let access = Access { uid: 0, gid: 0, mode: 0o600 };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (entry, state) in [(&open, "applying"), (&done, "rolled_back")] {
        let text = serde_json::json!({
            "operation": entry.operation, "account": entry.account, "from": null, "to": entry.to, "audit": entry.audit,
            "started_at": entry.started_at, "created": entry.created, "state": state,
        });
        let path = format!("{}/{}.json", log::dir(), entry.operation);
        machine.fs.write(&path, text.to_string().as_bytes(), access, Durability::Derived).unwrap();
    }
    for _ in 0..2 {
        let journal = machine.journal().unwrap();
        assert_eq!(journal.unfinished(), [open.operation]);
        assert_eq!(journal.read(done.operation).unwrap().unwrap().state, State::RolledBack);
    }
    assert_eq!(std::fs::read_dir(machine.file().parent().unwrap()).unwrap().count(), 1);
}
