use super::*;
use crate::layout::Layout;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Refuses what contains "bad", and loads what `current` points at, unless told to be stubborn.
struct Pretended {
    root: std::path::PathBuf,
    running: AtomicU64,
    reloads: AtomicUsize,
    tests: AtomicUsize,
}

impl NginxControl for Pretended {
    fn test(&self, conf: &Path) -> Result<(), String> {
        self.tests.fetch_add(1, Ordering::SeqCst);
        let dir = conf.parent().unwrap();
        let files = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let snippets = files(dir.join("snippets")).flat_map(files);
        for path in files(dir.join("sites")).chain(snippets) {
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("bad") {
                return Err(format!("[emerg] bad directive in {}:1", path.display()));
            }
            // As of two things that contradict each other: the message is about the other one.
            if text.contains("duplicate") {
                return Err(format!("[emerg] duplicate location in {}:7", dir.join("site-body.conf").display()));
            }
        }
        Ok(())
    }
    fn is_running(&self) -> bool {
        true
    }
    fn reload(&self) -> Result<(), String> {
        self.reloads.fetch_add(1, Ordering::SeqCst);
        let target = std::fs::read_link(self.root.join("etc/wcp360/nginx/current")).unwrap();
        let number = target.to_str().unwrap().trim_start_matches("gen-").parse().unwrap();
        self.running.store(number, Ordering::SeqCst);
        Ok(())
    }
    fn running_generation(&self) -> Option<u64> {
        Some(self.running.load(Ordering::SeqCst))
    }
}

fn start(dir: &tempfile::TempDir) -> (Nginx, Arc<Pretended>) {
    std::fs::create_dir_all(dir.path().join("etc/wcp360/nginx")).unwrap();
    let fs = Arc::new(Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap());
    let control = Arc::new(Pretended {
        root: dir.path().to_owned(),
        running: AtomicU64::new(0),
        reloads: AtomicUsize::new(0),
        tests: AtomicUsize::new(0),
    });
    let base = BTreeMap::from([("nginx.conf".to_owned(), "main".to_owned())]);
    let (nginx, started) = Nginx::start(fs, Arc::clone(&control) as Arc<dyn NginxControl>, base).unwrap();
    started.unwrap();
    (nginx, control)
}

fn change(file: &str, content: &str) -> SiteChange {
    SiteChange::from([(file.to_owned(), Some(content.to_owned()))])
}

#[test]
fn eng_08_a_bad_change_is_refused_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (nginx, control) = start(&dir);
    nginx.apply(change("a.conf", "good")).unwrap();
    let NginxError::Rejected(message) = nginx.apply(change("b.conf", "bad")).unwrap_err() else { panic!() };
    assert!(message.contains("bad directive") && !message.contains("gen-"), "{message}");
    let changes = [change("c.conf", "good"), change("d.conf", "bad"), change("e.conf", "good")];
    let reloads = control.reloads.load(Ordering::SeqCst);
    let results = process(&nginx.generations, &*control, &changes.iter().collect::<Vec<_>>());
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
    assert_eq!(control.reloads.load(Ordering::SeqCst), reloads + 1, "the good ones go live together");
    for (file, there) in [("a.conf", true), ("b.conf", false), ("c.conf", true), ("d.conf", false), ("e.conf", true)] {
        assert_eq!(nginx.site(file).unwrap().is_some(), there, "{file}");
    }
    nginx.apply(SiteChange::from([("a.conf".to_owned(), None)])).unwrap();
    assert_eq!(nginx.site("a.conf").unwrap(), None);
    let kept = std::fs::read_dir(dir.path().join("etc/wcp360/nginx")).unwrap().count();
    assert!(kept <= KEEP_AND_LINK, "{kept} entries");
}

const KEEP_AND_LINK: usize = 4;

#[test]
fn a_burst_costs_few_reloads() {
    let dir = tempfile::tempdir().unwrap();
    let (nginx, control) = start(&dir);
    let before = control.reloads.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        for n in 0..100 {
            let nginx = &nginx;
            scope.spawn(move || nginx.apply(change(&format!("s{n}.conf"), "good")).unwrap());
        }
    });
    let reloads = control.reloads.load(Ordering::SeqCst) - before;
    println!("100 changes at once: {reloads} reloads");
    assert!(reloads < 60);
    assert!((0..100).all(|n| nginx.site(&format!("s{n}.conf")).unwrap().is_some()));
}

#[test]
fn starting_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (nginx, _) = start(&dir);
    nginx.apply(change("a.conf", "good")).unwrap();
    let current = std::fs::read_link(dir.path().join("etc/wcp360/nginx/current")).unwrap();
    drop(nginx);
    let (nginx, control) = start(&dir);
    assert_eq!(std::fs::read_link(dir.path().join("etc/wcp360/nginx/current")).unwrap(), current);
    assert_eq!(control.tests.load(Ordering::SeqCst), 0);
    assert_eq!(nginx.site("a.conf").unwrap().as_deref(), Some("good"));
}

fn current(dir: &tempfile::TempDir) -> PathBuf {
    let nginx = dir.path().join("etc/wcp360/nginx");
    nginx.join(std::fs::read_link(nginx.join("current")).unwrap())
}

fn quarantine(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path().join("etc/wcp360/quarantine")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".note")).collect();
    names.sort_by_key(|name| name.split_once('-').map(|(_, rest)| rest.to_owned()));
    names
}

fn snippet(dir: &tempfile::TempDir, name: &str, content: &str) {
    let path = dir.path().join("etc/wcp360/snippets/nginx").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn eng_07_a_hand_made_file_that_is_broken_stops_nobody() {
    if !is_root() {
        return;
    }
    for broken in ["bad", "duplicate"] {
        let dir = tempfile::tempdir().unwrap();
        let (nginx, control) = start(&dir);
        nginx.apply(change("a.conf", "good")).unwrap();
        std::fs::write(current(&dir).join("sites/mine.conf"), "server { mine }").unwrap();
        std::fs::write(current(&dir).join("sites/broken.conf"), broken).unwrap();
        assert_eq!(
            nginx.made_by_hand().unwrap(),
            [("broken.conf".to_owned(), HandMade::Foreign), ("mine.conf".to_owned(), HandMade::Foreign)]
        );
        // Others change; what is good and made by hand stays.
        nginx.apply(change("b.conf", "good")).unwrap();
        for (file, there) in [("a.conf", true), ("b.conf", true), ("mine.conf", true), ("broken.conf", false)] {
            assert_eq!(nginx.site(file).unwrap().is_some(), there, "{broken}: {file}");
        }
        let kept = quarantine(&dir);
        assert!(kept.len() == 1 && kept[0].ends_with("-broken.conf"), "{kept:?}");
        // A change that is bad itself is still refused, whatever lies beside it.
        std::fs::write(current(&dir).join("sites/broken2.conf"), broken).unwrap();
        let NginxError::Rejected(message) = nginx.apply(change("c.conf", "bad")).unwrap_err() else { panic!() };
        assert!(message.contains("bad directive in"), "{message}");
        // Nobody changes anything: it is found all the same, before a restart of nginx would fail.
        assert!(nginx.follow().unwrap());
        assert_eq!(quarantine(&dir).len(), 2);
        let tests = control.tests.load(Ordering::SeqCst);
        assert!(!nginx.follow().unwrap(), "nothing is left to do");
        assert!(control.tests.load(Ordering::SeqCst) <= tests + 1);
    }
}

#[test]
fn eng_07_an_edited_block_that_is_broken_is_moved_aside() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (nginx, _) = start(&dir);
    nginx.apply(change("a.conf", "good\n")).unwrap();
    nginx.apply(change("b.conf", "good\n")).unwrap();
    let path = current(&dir).join("sites/a.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(nginx.made_by_hand().unwrap(), []);
    std::fs::write(&path, format!("{text}bad\n")).unwrap();
    assert_eq!(nginx.made_by_hand().unwrap(), [("a.conf".to_owned(), HandMade::Edited)]);
    assert_eq!(nginx.site("a.conf").unwrap().as_deref(), Some("good\nbad\n"));
    assert!(nginx.follow().unwrap());
    assert_eq!((nginx.site("a.conf").unwrap(), nginx.site("b.conf").unwrap()), (None, Some("good\n".into())));
    // It comes back as it should be.
    nginx.apply(change("a.conf", "good\n")).unwrap();
    assert_eq!(nginx.made_by_hand().unwrap(), []);
}

#[test]
fn eng_07_edited_files_of_the_node_are_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (nginx, _) = start(&dir);
    std::fs::write(current(&dir).join("nginx.conf"), "mine").unwrap();
    let edited = nginx.edited_base().unwrap();
    assert_eq!((edited[0].file.as_str(), edited[0].found.as_deref()), ("nginx.conf", Some("mine")));
    assert!(nginx.follow().unwrap());
    assert_eq!(nginx.edited_base().unwrap().len(), 0);
    assert_eq!(std::fs::read_to_string(current(&dir).join("nginx.conf")).unwrap(), "main");
}

#[test]
fn eng_07_snippets_are_copied_when_they_are_good_and_moved_aside_when_not() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (nginx, control) = start(&dir);
    nginx.apply(change("a.conf", "good")).unwrap();
    for (name, content) in [
        ("global/map.conf", "map"),
        ("global/broken.conf", "bad"),
        ("alice/headers.conf", "header"),
        ("alice/twice.conf", "duplicate"),
        ("bobby/broken.conf", "bad"),
        ("alice/notes.txt", "bad"),
        ("not-a-name/x.conf", "bad"),
    ] {
        snippet(&dir, name, content);
    }
    assert_eq!(nginx.new_snippets().unwrap().len(), 5);
    let reloads = control.reloads.load(Ordering::SeqCst);
    assert!(nginx.follow().unwrap());
    assert_eq!(control.reloads.load(Ordering::SeqCst), reloads + 1);
    let live = |name: &str| std::fs::read_to_string(current(&dir).join("snippets").join(name)).ok();
    assert_eq!(live("global/map.conf").as_deref(), Some("map"));
    assert_eq!(live("alice/headers.conf").as_deref(), Some("header"));
    let kept = quarantine(&dir);
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(nginx.new_snippets().unwrap().is_empty() && !nginx.follow().unwrap());
    // Through every later change, and a restart.
    nginx.apply(change("b.conf", "good")).unwrap();
    drop(nginx);
    let (nginx, _) = start(&dir);
    assert!(live("alice/headers.conf").is_some() && !nginx.follow().unwrap());
    // Broken later, it is nginx's copy that goes on until then, and nobody else's change fails.
    snippet(&dir, "alice/headers.conf", "bad");
    nginx.apply(change("c.conf", "good")).unwrap();
    assert!(nginx.site("c.conf").unwrap().is_some() && live("alice/headers.conf").is_none());
    assert!(dir.path().join("etc/wcp360/snippets/nginx/global/map.conf").exists());
    // Removed, it is no longer live.
    std::fs::remove_file(dir.path().join("etc/wcp360/snippets/nginx/global/map.conf")).unwrap();
    assert!(nginx.follow().unwrap());
    assert_eq!(live("global/map.conf"), None);
}

/// With nginx itself, where it is installed.
#[test]
fn eng_07_nginx_names_what_it_stumbles_over() {
    struct Nginx(PathBuf);
    impl NginxControl for Nginx {
        fn test(&self, conf: &Path) -> Result<(), String> {
            let mut command = std::process::Command::new("/usr/sbin/nginx");
            command.args(["-t", "-q", "-c"]).arg(conf);
            command.arg("-g").arg(format!("pid {}/pid; error_log /dev/null;", self.0.display()));
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(text) }
        }
        fn is_running(&self) -> bool {
            false
        }
        fn reload(&self) -> Result<(), String> {
            Ok(())
        }
        fn running_generation(&self) -> Option<u64> {
            None
        }
    }
    if !is_root() || !Path::new("/usr/sbin/nginx").exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc/wcp360/nginx")).unwrap();
    let fs = Arc::new(Fs::open(&Layout::below(dir.path()), "/srv/www").unwrap());
    let main = "events {}\nhttp { access_log off; include snippets/global/*.conf; include sites/*.conf; }\n";
    let base = BTreeMap::from([
        ("nginx.conf".to_owned(), main.to_owned()),
        ("body.conf".to_owned(), "location / { return 200; }\n".to_owned()),
    ]);
    let (nginx, started) = super::Nginx::start(fs, Arc::new(Nginx(dir.path().to_owned())), base).unwrap();
    started.unwrap();
    let block = |account: &str| {
        format!(
            "server {{ listen unix:{0}/x.sock; server_name {1}; include snippets/{1}/*.conf; include body.conf; }}\n",
            dir.path().display(),
            account
        )
    };
    for account in ["alice", "bobby"] {
        nginx.apply(change(&format!("{account}.conf"), &block(account))).unwrap();
    }
    snippet(&dir, "alice/good.conf", "add_header X-A a;\n");
    // The message is about body.conf.
    snippet(&dir, "alice/second.conf", "location / { return 404; }\n");
    snippet(&dir, "bobby/unclosed.conf", "location /x { return 404;\n");
    snippet(&dir, "global/typo.conf", "add_hedaer X-B b;\n");
    snippet(&dir, "global/good.conf", "map $host $x { default 1; }\n");
    std::fs::write(current(&dir).join("sites/mine.conf"), "server { listen nowhere:x; }").unwrap();
    nginx.apply(change("carol.conf", &block("carol"))).unwrap();
    let kept = quarantine(&dir);
    let ends: Vec<&str> = kept.iter().filter_map(|name| name.rsplit('-').next()).collect();
    assert_eq!(ends, ["mine.conf", "second.conf", "typo.conf", "unclosed.conf"], "{kept:?}");
    for file in ["alice.conf", "bobby.conf", "carol.conf"] {
        assert!(nginx.site(file).unwrap().is_some(), "{file}");
    }
    assert!(
        current(&dir).join("snippets/alice/good.conf").exists()
            && current(&dir).join("snippets/global/good.conf").exists()
    );
    // What is bad in itself is refused with nginx's own words, and nothing else is touched.
    let error = nginx.apply(change("dave.conf", "server { nonsense; }")).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    assert_eq!(quarantine(&dir).len(), 4);
}
