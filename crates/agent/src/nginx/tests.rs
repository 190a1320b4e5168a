use super::*;
use crate::layout::Layout;
use std::path::Path;
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
        for entry in std::fs::read_dir(conf.parent().unwrap().join("sites")).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read_to_string(&path).unwrap().contains("bad") {
                return Err(format!("[emerg] bad directive in {}:1", path.display()));
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
