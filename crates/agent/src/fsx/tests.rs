use super::*;
use crate::layout::Layout;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

fn fs() -> (tempfile::TempDir, Fs) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let fs = Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap();
    (dir, fs)
}

const ACCESS: Access = Access { uid: 0, gid: 0, mode: 0o640 };

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn only_trusted_roots_can_be_named() {
    let (_dir, fs) = fs();
    for path in ["/tmp/x", "/etc", "relative", "/", "/srv/wwwx/y", ""] {
        assert!(fs.write(path, b"", ACCESS, Durability::Derived).is_err(), "{path}");
    }
    for path in ["/etc/../tmp/x", "/srv/www/a/../../x"] {
        assert!(fs.meta(path).map(|m| m.is_none()).unwrap_or(true), "{path}");
        assert!(fs.write(path, b"", ACCESS, Durability::Derived).is_err(), "{path}");
    }
}

#[test]
fn no_link_is_followed_anywhere() {
    if !is_root() {
        return;
    }
    let (dir, fs) = fs();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "theirs").unwrap();
    symlink(&outside, dir.path().join("srv/www/parent")).unwrap();
    symlink(outside.join("file"), dir.path().join("srv/www/leaf")).unwrap();
    assert!(fs.write("/srv/www/parent/x", b"x", ACCESS, Durability::Derived).is_err());
    assert!(fs.ensure_dir("/srv/www/parent/x", ACCESS).is_err());
    assert!(fs.ensure_dir("/srv/www/parent", ACCESS).is_err());
    assert!(fs.ensure_file("/srv/www/leaf", ACCESS).is_err());
    assert!(fs.set_access("/srv/www/leaf", Access { uid: 1, gid: 1, mode: 0o777 }).is_err());
    assert!(fs.read("/srv/www/leaf").is_err());
    assert!(fs.read("/srv/www/parent/file").is_err());
    // A link in the place of a file is replaced, not followed.
    fs.write("/srv/www/leaf", b"ours", ACCESS, Durability::Derived).unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "theirs");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn a_deep_and_hostile_tree_is_removed_and_nothing_else() {
    let (dir, fs) = fs();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "stays").unwrap();
    let top = dir.path().join("srv/www/top");
    std::fs::create_dir(&top).unwrap();
    symlink(&outside, top.join("link")).unwrap();
    symlink("..", top.join("up")).unwrap();
    std::fs::hard_link(outside.join("file"), top.join("hard")).unwrap();
    std::fs::write(top.join("-rf"), "").unwrap();
    // Deeper than there should be descriptors for, made as a tenant would: one step at a time.
    let mut here = rustix::fs::open(&top, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o700)).unwrap();
        rustix::fs::mkdirat(&here, "e", Mode::from_raw_mode(0o700)).unwrap();
        here = rustix::fs::openat(&here, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    fs.remove_tree("/srv/www/top").unwrap();
    assert!(!top.exists());
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "stays");
    fs.remove_tree("/srv/www/top").unwrap();
}

/// A tenant swaps a directory for a link as fast as it can while root works on the path.
#[test]
fn attack_01_ten_thousand_swaps_change_nothing_outside() {
    if !is_root() {
        return;
    }
    let (dir, fs) = fs();
    let base = dir.path().join("srv/www/alice");
    let outside = dir.path().join("outside");
    for path in [&base, &outside, &base.join("a"), &outside.join("b")] {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::write(outside.join("b/file"), "theirs").unwrap();
    symlink(&outside, base.join("link")).unwrap();
    let before = |path: &std::path::Path| {
        let meta = std::fs::metadata(path).unwrap();
        (meta.uid(), meta.gid(), meta.mode(), meta.ctime(), meta.ctime_nsec())
    };
    let (was, file_was) = (before(&outside), before(&outside.join("b/file")));
    let stop = AtomicBool::new(false);
    let mut swaps = 0u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let access = Access { uid: 20_000, gid: 20_000, mode: 0o2750 };
            while !stop.load(Ordering::Relaxed) {
                let _ = fs.ensure_dir("/srv/www/alice/a", access);
                let _ = fs.ensure_dir("/srv/www/alice/a/b", access);
                let _ = fs.write("/srv/www/alice/a/b/file", b"ours", access, Durability::Derived);
                let _ = fs.set_access("/srv/www/alice/a/b/file", access);
                let _ = fs.tenant_dir("/srv/www/alice", "a/b/c", 20_000, 33);
                let _ = fs.remove_file("/srv/www/alice/a/b/file");
                let _ = fs.remove_tree("/srv/www/alice/a/b");
            }
        });
        while swaps < 10_000 {
            let swap = rustix::fs::renameat_with(
                rustix::fs::CWD,
                base.join("a"),
                rustix::fs::CWD,
                base.join("link"),
                rustix::fs::RenameFlags::EXCHANGE,
            );
            swaps += u32::from(swap.is_ok());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(before(&outside), was);
    assert_eq!(before(&outside.join("b/file")), file_was);
    assert_eq!(std::fs::read_to_string(outside.join("b/file")).unwrap(), "theirs");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(outside.join("b")).unwrap().count(), 1);
}
