use super::*;
use crate::layout::Layout;
use wcp360_agent_render::AbsPath;

fn user(name: &str, uid: u32, locked: bool) -> UserSpec {
    UserSpec {
        name: Username::parse(name).unwrap(),
        uid,
        home: AbsPath::parse(&format!("/srv/www/{name}")).unwrap(),
        shell: "/usr/sbin/nologin",
        locked,
    }
}

fn machine() -> (tempfile::TempDir, Arc<Fs>, UserDb) {
    let dir = tempfile::tempdir().unwrap();
    let etc = dir.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(
        etc.join("passwd"),
        "root:x:0:0:root:/root:/bin/bash\nolé:x:7:7:\u{fffd}::\nbob:x:1000:1000::/home/bob:/bin/sh",
    )
    .unwrap();
    std::fs::write(etc.join("shadow"), "root:$y$hash:19000:0:99999:7:::\n").unwrap();
    std::fs::write(etc.join("group"), "root:x:0:\nwww-data:x:33:\n+::::\n").unwrap();
    std::fs::write(etc.join("gshadow"), "root:*::\n").unwrap();
    let fs = Arc::new(Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap());
    let db = UserDb::start(Arc::clone(&fs)).unwrap();
    (dir, fs, db)
}

fn read(dir: &tempfile::TempDir, file: &str) -> String {
    std::fs::read_to_string(dir.path().join("etc").join(file)).unwrap()
}

#[test]
fn ten_01_users_come_and_go_and_foreign_lines_stay() {
    let (dir, _, db) = machine();
    let before: Vec<String> = ["passwd", "shadow", "group", "gshadow"].map(|f| read(&dir, f)).to_vec();
    db.put(&user("alice", 20_000, false)).unwrap();
    assert!(
        read(&dir, "passwd")
            .ends_with("bob:x:1000:1000::/home/bob:/bin/sh\nalice:x:20000:20000::/srv/www/alice:/usr/sbin/nologin\n")
    );
    assert!(read(&dir, "group").ends_with("alice:x:20000:\n+::::\n"), "before the line for NIS");
    assert!(read(&dir, "gshadow").ends_with("alice:!::\n"));
    let state = db.find("alice").unwrap().unwrap();
    assert_eq!((state.uid, state.gid, state.locked), (20_000, 20_000, Some(false)));
    db.remove(&Username::parse("alice").unwrap(), 20_000).unwrap();
    for (file, before) in ["passwd", "shadow", "group", "gshadow"].iter().zip(before) {
        assert_eq!(read(&dir, file).trim_end(), before.trim_end(), "{file}");
    }
}

#[test]
fn suspended_and_back_exactly_as_it_was() {
    let (dir, _, db) = machine();
    db.put(&user("alice", 20_000, false)).unwrap();
    let path = dir.path().join("etc/shadow");
    let with_password = read(&dir, "shadow").replace("alice:*:", "alice:$y$secret:");
    std::fs::write(&path, &with_password).unwrap();
    db.put(&user("alice", 20_000, true)).unwrap();
    let locked = read(&dir, "shadow");
    let line = locked.lines().find(|l| l.starts_with("alice:")).unwrap();
    assert!(line.starts_with("alice:!$y$secret:") && line.ends_with(":1:"), "{line}");
    assert_eq!(db.find("alice").unwrap().unwrap().locked, Some(true));
    db.put(&user("alice", 20_000, true)).unwrap();
    assert_eq!(read(&dir, "shadow"), locked, "locking twice is locking once");
    db.put(&user("alice", 20_000, false)).unwrap();
    assert_eq!(read(&dir, "shadow"), with_password);
}

#[test]
fn somebody_elses_name_is_left_alone() {
    let (dir, _, db) = machine();
    let before = read(&dir, "passwd");
    assert!(matches!(db.put(&user("bob", 20_000, false)), Err(UserDbError::Taken(_))));
    db.remove(&Username::parse("bob").unwrap(), 20_000).unwrap();
    assert_eq!(read(&dir, "passwd"), before);
}

#[test]
fn numbers_are_found_in_their_own_field_only() {
    let lines = Lines::of(b"a:x:20000:20001::/:\nb:20002:7:7\nc:x:20003:");
    assert!(lines.has(2, 20_000) && lines.has(2, 20_003));
    assert!(!lines.has(2, 20_001) && !lines.has(2, 20_002) && !lines.has(2, 2000));
}

#[test]
fn without_gshadow_none_is_made() {
    let (dir, _, db) = machine();
    std::fs::remove_file(dir.path().join("etc/gshadow")).unwrap();
    db.put(&user("alice", 20_000, false)).unwrap();
    assert!(!dir.path().join("etc/gshadow").exists());
}

#[test]
fn a_burst_is_a_few_rewrites_and_stays_cheap_with_many_users() {
    let (dir, _, db) = machine();
    let many = |prefix: &str, line: &dyn Fn(usize) -> String| {
        let text: String = (0..10_000).map(line).collect();
        let path = dir.path().join("etc").join(prefix);
        let old = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{}\n{text}", old.trim_end())).unwrap();
    };
    many("passwd", &|n| format!("user{n}:x:{0}:{0}::/srv/www/user{n}:/usr/sbin/nologin\n", 30_000 + n));
    many("shadow", &|n| format!("user{n}:*:20000:0:99999:7:::\n"));
    many("gshadow", &|n| format!("user{n}:!::\n"));
    let started = Instant::now();
    db.put(&user("first", 20_000, false)).unwrap();
    let one = started.elapsed();
    let before = db.rewrites();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..100u32 {
            let db = &db;
            scope.spawn(move || db.put(&user(&format!("burst{n}"), 21_000 + n, false)).unwrap());
        }
    });
    let hundred = started.elapsed();
    let rewrites = db.rewrites() - before;
    println!("10,000 users: one more {one:?}, a hundred more at once {hundred:?} with {rewrites} rewrites");
    assert_eq!(read(&dir, "passwd").lines().filter(|l| l.starts_with("burst")).count(), 100);
    assert!(rewrites < 50, "{rewrites} rewrites for a hundred users");
}

proptest::proptest! {
    /// Whatever other lines there are, putting and removing a user changes none of them.
    #[test]
    fn foreign_bytes_survive(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        proptest::prop_assume!(!content.starts_with(b"alice:") && !content.windows(7).any(|w| w == b"\nalice:"));
        let mut lines = Lines::of(&content);
        lines.put("alice", &["alice", "x", "1"]);
        proptest::prop_assert_eq!(lines.get("alice").unwrap(), vec!["alice", "x", "1"]);
        lines.remove("alice");
        let mut expected = content.clone();
        if lines.bytes() != &expected[..] { expected.push(b'\n'); }
        proptest::prop_assert_eq!(lines.bytes(), &expected[..]);
    }
}
