//! Texts for people: diffs that are bounded and show no secrets.

use serde::Serialize;
use sha2::{Digest, Sha256};
use wcp360_types::manifest::ManifestSet;

/// Texts that are longer, in bytes, are not compared line by line.
const MAX_TEXT: usize = 256 * 1024;

/// A unified diff from `old` to `new` of at most `max` bytes, and whether it was cut. Nothing of a key is shown.
pub(crate) fn diff(old: &str, new: &str, name: &str, max: usize) -> (String, bool) {
    if [old, new].iter().any(|text| text.contains("PRIVATE KEY")) {
        return ("a private key is in it: not shown\n".into(), true);
    }
    if [old, new].iter().any(|text| text.len() > MAX_TEXT || text.contains('\0')) {
        return ("too large, or no text: not shown\n".into(), true);
    }
    let name = name.trim_start_matches('/');
    let (before, after) = (format!("wanted/{name}"), format!("found/{name}"));
    let mut text =
        similar::TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(&before, &after).to_string();
    if text.len() <= max {
        return (text, false);
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(text[..end].rfind('\n').map_or(end, |at| at + 1));
    (text, true)
}

/// A set of manifests as text, file by file.
pub(crate) fn of(set: &ManifestSet) -> String {
    fn file(out: &mut String, name: &str, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        out.push_str(&format!("{name}:\n{text}\n"));
    }
    let mut out = String::new();
    file(&mut out, "account.json", &set.account);
    file(&mut out, "limits.json", &set.limits);
    file(&mut out, "domains.json", &set.domains);
    file(&mut out, "services.json", &set.services);
    file(&mut out, "ssh.json", &set.ssh);
    out
}

/// A short name for something: equal things have equal names.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eng_07_diffs_are_bounded_and_show_no_keys() {
        let (text, cut) = diff("a\nb\n", "a\nc\n", "/etc/x", 1000);
        assert!(text.contains("--- wanted/etc/x") && text.contains("-b\n+c\n") && !cut, "{text}");
        let long: String = (0..10_000).map(|n| format!("ü{n}\n")).collect();
        let (text, cut) = diff("", &long, "x", 999);
        assert!(text.len() <= 999 && text.ends_with('\n') && cut);
        let key = "-----BEGIN PRIVATE KEY-----\nMIIsecret\n";
        assert!(!diff("", key, "x", 999).0.contains("MII"));
        assert!(!diff(key, "", "x", 999).0.contains("MII"));
        assert!(!diff("", "a\0b", "x", 999).0.contains('\0'));
        assert_ne!(digest(&[b"a", b"b"]), digest(&[b"ab", b""]));
    }
}
