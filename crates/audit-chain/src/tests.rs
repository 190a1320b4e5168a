//! What is found when a trail is tampered with.

use crate::*;
use jiff::Timestamp;
use wcp360_types::api::audit::{AuditEntry, AuditFaultKind as Kind, AuditVerification};

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32]).unwrap()
}

fn trail(length: u64) -> Vec<AuditEntry> {
    let mut previous = String::new();
    let mut entries = Vec::new();
    for seq in 1..=length {
        let mut entry = AuditEntry {
            seq,
            at: Timestamp::from_millisecond(1_790_000_000_000 + seq as i64).unwrap(),
            actor: "root".into(),
            on_behalf: (seq % 7 == 0).then(|| "alice".into()),
            source: "2001:db8::1".into(),
            action: if seq == 1 { KEY_ACTION.into() } else { "accounts.create".into() },
            target: Some(if seq == 1 { key(1).public().to_string() } else { format!("a{seq}") }),
            owner: Some(wcp360_types::UserId::new()),
            account: None,
            outcome: "succeeded".into(),
            detail: Some(
                ["=cmd|' /C calc'!A0", "a \"quoted\", thing\r\nsecond line", "'", "ü;"][seq as usize % 4].into(),
            ),
            before: None,
            after: None,
            request_id: "r".into(),
            job: None,
            previous: previous.clone(),
            hash: String::new(),
        };
        entry.hash = hash_of(&entry);
        previous = entry.hash.clone();
        entries.push(entry);
    }
    entries
}

fn rehash(entry: &mut AuditEntry, previous: &str) {
    entry.previous = previous.to_owned();
    entry.hash = hash_of(entry);
}

/// An export with a checkpoint after every tenth entry.
fn export(entries: &[AuditEntry], table: bool) -> String {
    fn line<T: serde::Serialize>(table: bool, kind: &str, value: &T) -> String {
        if table { csv_line(kind, value) } else { json_line(kind, value) }
    }
    let keys = vec![key(1).public().to_string()];
    let head = Head { format: FORMAT.into(), keys, chained: true, ends: true, note: None };
    let mut text = if table { csv_line("columns", &()) } else { String::new() };
    text += &line(table, "head", &head);
    let truth = trail_cache(entries.len() as u64 + 20);
    for entry in entries {
        text += &line(table, "entry", entry);
        if entry.seq % 10 == 0 {
            let there = truth.iter().find(|t| t.seq == entry.seq).map_or(&entry.hash, |t| &t.hash);
            text += &line(table, "checkpoint", &Checkpoint::sign(&key(1), entry.seq, there, entry.at));
        }
    }
    let end = End { entries: entries.len() as u64, last: entries.last().map(|e| e.seq) };
    text + &line(table, "end", &end)
}

thread_local! {
    static TRUTH: std::cell::RefCell<Vec<AuditEntry>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The trail as it was signed.
fn trail_cache(_: u64) -> Vec<AuditEntry> {
    TRUTH.with(|truth| truth.borrow().clone())
}

fn signed(length: u64) -> Vec<AuditEntry> {
    let made = trail(length);
    TRUTH.with(|truth| *truth.borrow_mut() = made.clone());
    made
}

fn verify(text: &str) -> AuditVerification {
    verify_file(text.as_bytes(), Verifier::new([key(1).public()])).unwrap()
}

fn fault(entries: &[AuditEntry]) -> (Kind, u64) {
    let by_lines = verify(&export(entries, false)).fault.expect("something is wrong");
    let by_table = verify(&export(entries, true)).fault.expect("something is wrong");
    assert_eq!(by_lines.kind, by_table.kind);
    assert_eq!(by_lines.seq, by_table.seq, "{by_lines:?} {by_table:?}");
    (by_lines.kind, by_lines.seq)
}

#[test]
fn sec_06_the_canonical_form_is_fixed() {
    let entry = Fields {
        seq: 1,
        at: 1_790_000_000_000,
        actor: "root",
        on_behalf: None,
        source: "local",
        action: "accounts.create",
        target: Some("ü"),
        owner: None,
        account: None,
        outcome: "succeeded",
        detail: Some(""),
        before: None,
        after: None,
        request_id: "r",
        job: None,
        previous: "",
        hash: "",
    };
    let text = "wcp360-audit-1\n0:\n1:1\n13:1790000000000\n4:root\n-\n5:local\n15:accounts.create\n2:ü\n-\n-\n9:succeeded\n\
                0:\n-\n-\n1:r\n-\n";
    assert_eq!(hash(&entry), crate::canonical::digest(text));
    assert_ne!(hash(&entry), hash(&Fields { detail: None, ..entry }), "empty is not absent");
}

#[test]
fn sec_06_an_intact_trail_is_found_intact() {
    let entries = signed(95);
    for table in [false, true] {
        let found = verify(&export(&entries, table));
        assert!(found.ok, "{found:?}");
        assert_eq!((found.entries, found.checkpoints, found.signed_through, found.unsigned), (95, 9, Some(90), 5));
        assert!(found.notes.is_empty());
    }
    // From the middle on, as a rotated file.
    let tail = verify(&export(&entries[40..], false));
    assert!(tail.ok && tail.first == Some(41), "{tail:?}");
}

#[test]
fn sec_06_what_is_altered_removed_or_reordered_is_named() {
    let whole = signed(95);
    let with = |change: &dyn Fn(&mut Vec<AuditEntry>)| {
        let mut entries = whole.clone();
        change(&mut entries);
        entries
    };
    assert_eq!(fault(&with(&|e| e[41].actor = "mallory".into())), (Kind::Altered, 42));
    assert_eq!(fault(&with(&|e| e[41].at = Timestamp::from_millisecond(5).unwrap())), (Kind::Altered, 42));
    assert_eq!(fault(&with(&|e| e[41].detail = None)), (Kind::Altered, 42));
    // With a new hash of its own: the next entry tells.
    let rehashed = with(&|e| {
        e[41].actor = "mallory".into();
        let previous = e[41].previous.clone();
        rehash(&mut e[41], &previous);
    });
    assert_eq!(fault(&rehashed), (Kind::Altered, 42));
    assert_eq!(fault(&with(&|e| drop(e.remove(41)))), (Kind::Removed, 42));
    assert_eq!(fault(&with(&|e| drop(e.drain(41..44)))), (Kind::Removed, 42));
    assert_eq!(fault(&with(&|e| e.swap(41, 42))), (Kind::Reordered, 42));
    assert_eq!(fault(&with(&|e| e.insert(50, e[41].clone()))), (Kind::Reordered, 42));
    // Hashed anew to the end: the signatures tell.
    let rewritten = with(&|e| {
        e[41].actor = "mallory".into();
        let mut previous = e[40].hash.clone();
        for entry in &mut e[41..] {
            rehash(entry, &previous);
            previous = entry.hash.clone();
        }
    });
    assert_eq!(fault(&rewritten), (Kind::Rewritten, 41));
    let found = verify(&export(&rewritten, false)).fault.unwrap();
    assert_eq!(found.until, Some(50));
}

#[test]
fn sec_06_a_missing_end_is_found() {
    let entries = signed(95);
    let text = export(&entries, false);
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    assert_eq!(verify(&cut).fault.unwrap().kind, Kind::Truncated);
    let shorter = export(&entries[..80], false).replace("\"entries\":80,\"last\":80", "\"entries\":95,\"last\":95");
    let found = verify(&shorter).fault.unwrap();
    assert_eq!((found.kind, found.seq, found.until), (Kind::Truncated, 81, Some(95)));
    // A checkpoint of what is not there any more.
    let later = json_line("checkpoint", &Checkpoint::sign(&key(1), 90, &entries[89].hash, entries[89].at));
    let stub = entries[..85].iter().map(entry_line).collect::<String>() + &later;
    let found = verify(&stub).fault.unwrap();
    assert_eq!((found.kind, found.seq, found.until), (Kind::Truncated, 86, Some(90)));
    let mut expecting = Verifier::new([key(1).public()]);
    expecting.expect_last(96);
    let found = verify_file(text.as_bytes(), expecting).unwrap().fault.unwrap();
    assert_eq!((found.kind, found.seq), (Kind::Truncated, 96));
}

#[test]
fn sec_06_signatures_need_a_key_that_is_vouched_for() {
    let entries = signed(30);
    let text = export(&entries, false);
    let forged =
        text.replace(&Checkpoint::sign(&key(1), 20, &entries[19].hash, entries[19].at).signature, &"0".repeat(128));
    assert_eq!(verify(&forged).fault.unwrap().kind, Kind::BadSignature);
    let other = json_line("checkpoint", &Checkpoint::sign(&key(9), 30, &entries[29].hash, entries[29].at));
    let body: String = entries.iter().map(entry_line).collect();
    assert_eq!(verify(&(body.clone() + &other)).fault.unwrap().kind, Kind::UnknownKey);
    assert_eq!(verify(&body).fault.unwrap().kind, Kind::Unsigned);
    // Without a key from elsewhere it only agrees with itself, and says so.
    let found = verify_file(text.as_bytes(), Verifier::new([])).unwrap();
    assert!(found.ok && found.notes.iter().any(|note| note.contains("names itself")), "{found:?}");
    // A new key counts once the old one signed the entry that names it.
    let rotated = |outcome: &str| {
        let mut rotated = entries.clone();
        rotated[11].action = KEY_ACTION.into();
        rotated[11].target = Some(key(2).public().to_string());
        rotated[11].outcome = outcome.into();
        let mut previous = rotated[10].hash.clone();
        for entry in &mut rotated[11..] {
            rehash(entry, &previous);
            previous = entry.hash.clone();
        }
        let mut text = String::new();
        for entry in &rotated {
            text += &entry_line(entry);
            if let Some(by) = [(12, 1), (25, 2)].iter().find(|(seq, _)| *seq == entry.seq).map(|(_, by)| key(*by)) {
                text += &json_line("checkpoint", &Checkpoint::sign(&by, entry.seq, &entry.hash, entry.at));
            }
        }
        text
    };
    assert_eq!(verify(&rotated("refused")).fault.unwrap().kind, Kind::UnknownKey);
    let text = rotated("succeeded");
    let found = verify(&text);
    assert!(found.ok && found.signed_through == Some(25), "{found:?}");
    // Who has the new key alone trusts what it signed, and with it all before.
    let found = verify_file(text.as_bytes(), Verifier::new([key(2).public()])).unwrap();
    assert!(found.ok && found.signed_through == Some(25), "{found:?}");
}

#[test]
fn sec_06_a_trail_computed_anew_is_not_the_one_that_was_signed_before() {
    let mut entries = signed(30);
    let anchor = Checkpoint::sign(&key(1), 20, &entries[19].hash, entries[19].at);
    entries[4].actor = "nobody".into();
    let mut previous = entries[3].hash.clone();
    for entry in &mut entries[4..] {
        rehash(entry, &previous);
        previous = entry.hash.clone();
    }
    let body: String = entries.iter().map(entry_line).collect();
    // Even where the panel was brought to sign it.
    let text = body + &json_line("checkpoint", &Checkpoint::sign(&key(1), 30, &previous, entries[29].at));
    assert!(verify(&text).ok);
    let mut expecting = Verifier::new([key(1).public()]);
    expecting.expect_checkpoint(anchor);
    let found = verify_file(text.as_bytes(), expecting).unwrap().fault.unwrap();
    assert_eq!((found.kind, found.until), (Kind::Rewritten, Some(20)));
}

#[test]
fn sec_06_what_is_no_entry_is_named() {
    let text: String = signed(5).iter().map(entry_line).collect();
    for (from, to) in [
        ("\"actor\":\"root\"", "\"actor\":\"root\",\"note\":\"harmless\""),
        ("\"actor\":\"root\"", "\"actor\":\"root\",\"actor\":\"root\""),
        ("{\"kind\":\"entry\",\"seq\":1", "{\"kind\":\"entry\",\"seq\":-1"),
        ("Z\"", "001Z\""),
        ("{\"kind\":\"entry\"", "{\"kind\":\"other\""),
    ] {
        let bad = text.replacen(from, to, 1);
        let found = verify_file(bad.as_bytes(), Verifier::new([])).unwrap();
        assert_eq!(found.fault.expect(to).kind, Kind::Unreadable, "{to}");
    }
}

#[test]
fn sec_06_no_cell_begins_like_a_formula() {
    for entry in signed(8) {
        let row = csv_line("entry", &entry);
        let mut reader = CsvReader::new(row.as_bytes());
        let Ok(Some(Ok(Some(Record::Entry(read))))) = reader.next_record() else { panic!("{row}") };
        assert_eq!(read.fields().detail, entry.detail.as_deref());
        assert_eq!(hash(&read.fields()), entry.hash);
        for cell in row.trim_end().split(',') {
            let bare = cell.trim_start_matches('"');
            assert!(!bare.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn sec_06_any_text_survives_both_forms(actor in ".*", detail in "(?s).+", target in "[=+@'\\-\t\r\n\",;a]{1,8}") {
        let mut entry = trail(1).remove(0);
        entry.actor = actor;
        entry.detail = Some(detail);
        entry.target = Some(target);
        rehash(&mut entry, "");
        let text = entry_line(&entry);
        let Ok(Record::Entry(line)) = parse_line(text.trim_end_matches('\n')) else { panic!("{text}") };
        proptest::prop_assert_eq!(hash(&line.fields()), entry.hash.clone());
        let text = csv_line("entry", &entry);
        let mut reader = CsvReader::new(text.as_bytes());
        let Ok(Some(Ok(Some(Record::Entry(row))))) = reader.next_record() else { panic!("{text}") };
        proptest::prop_assert_eq!(hash(&row.fields()), entry.hash);
    }

    #[test]
    fn sec_06_any_changed_byte_is_found(position in 0usize..6000, with in 33u8..126) {
        let text: String = trail(9).iter().map(entry_line).collect();
        let mut bytes = text.clone().into_bytes();
        let position = position % bytes.len();
        bytes[position] = with;
        let found = verify_file(bytes.as_slice(), Verifier::new([])).unwrap();
        // A changed letter may mean the same: `\n` as white space does not, but `Z` as `z` in a time does.
        let same = bytes == text.as_bytes() || (text.as_bytes()[position].eq_ignore_ascii_case(&with));
        proptest::prop_assert!(same || !found.ok, "{}", String::from_utf8_lossy(&bytes));
    }
}
