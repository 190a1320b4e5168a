//! The values of directives: booleans, time spans, modes, limits, signals, and lists of quoted words.

use std::time::Duration;

/// What is wrong with a value. The directive and the line are added by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a boolean.
    #[error("expected yes or no, found “{0}”")]
    Bool(String),
    /// Not a time span.
    #[error("expected a time span such as 5s, 500ms or 1min 30s, found “{0}”")]
    Duration(String),
    /// Not an octal file mode.
    #[error("expected an octal mode such as 0750, found “{0}”")]
    Mode(String),
    /// Not a number or limit.
    #[error("expected a number, found “{0}”")]
    Number(String),
    /// Not a signal.
    #[error("expected a signal such as SIGTERM, found “{0}”")]
    Signal(String),
    /// An open quote or a bad escape.
    #[error("the quotes or escapes in “{0}” are not complete")]
    Quotes(String),
    /// A value outside the supported set.
    #[error("“{value}” is not supported here; use {allowed}")]
    Choice {
        /// What was found.
        value: String,
        /// What would be accepted.
        allowed: &'static str,
    },
    /// Not an absolute, plain path.
    #[error("expected an absolute path without .. parts, found “{0}”")]
    Path(String),
    /// Not `NAME=value`.
    #[error("expected NAME=value, found “{0}”")]
    Assignment(String),
}

/// `yes/no/true/false/on/off/1/0`.
///
/// # Errors
/// On anything else.
pub fn boolean(v: &str) -> Result<bool, ValueError> {
    match v.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(ValueError::Bool(v.to_owned())),
    }
}

/// A time span as in systemd.time(7); a bare number is seconds. `None` is “infinity”.
///
/// # Errors
/// On an unknown unit or no number.
pub fn duration(v: &str) -> Result<Option<Duration>, ValueError> {
    let err = || ValueError::Duration(v.to_owned());
    let t = v.trim();
    if t == "infinity" {
        return Ok(None);
    }
    let mut rest = t;
    let mut micros: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let n: u64 = rest[..digits].parse().map_err(|_| err())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit: u128 = match &rest[..letters] {
            "us" | "usec" => 1,
            "ms" | "msec" => 1_000,
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            "d" | "day" | "days" => 86_400_000_000,
            _ => return Err(err()),
        };
        micros = micros.saturating_add(u128::from(n).saturating_mul(unit));
        rest = rest[letters..].trim_start();
    }
    if t.is_empty() {
        return Err(err());
    }
    Ok(Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))))
}

/// An octal mode, at most 07777.
///
/// # Errors
/// On anything else.
pub fn mode(v: &str) -> Result<u32, ValueError> {
    match u32::from_str_radix(v, 8) {
        Ok(m) if m <= 0o7777 && v.bytes().all(|b| b.is_ascii_digit()) => Ok(m),
        _ => Err(ValueError::Mode(v.to_owned())),
    }
}

/// A soft and a hard resource limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What the process gets.
    pub soft: Option<u64>,
    /// How far it may raise that.
    pub hard: Option<u64>,
}

/// `N`, `soft:hard` or `infinity`, with the suffixes K M G T (powers of 1024).
///
/// # Errors
/// When it is no number, or soft exceeds hard.
pub fn limit(v: &str) -> Result<Limit, ValueError> {
    let err = || ValueError::Number(v.to_owned());
    let one = |s: &str| -> Result<Option<u64>, ValueError> {
        let s = s.trim();
        if s == "infinity" {
            return Ok(None);
        }
        let (digits, shift) = match s.chars().last() {
            Some('K') => (&s[..s.len() - 1], 10),
            Some('M') => (&s[..s.len() - 1], 20),
            Some('G') => (&s[..s.len() - 1], 30),
            Some('T') => (&s[..s.len() - 1], 40),
            _ => (s, 0),
        };
        let n: u64 = digits.parse().map_err(|_| err())?;
        n.checked_mul(1 << shift).map(Some).ok_or_else(err)
    };
    let (soft, hard) = match v.split_once(':') {
        Some((s, h)) => (one(s)?, one(h)?),
        None => (one(v)?, one(v)?),
    };
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err(err());
    }
    Ok(Limit { soft, hard })
}

/// Signals by name (with or without `SIG`) or number.
///
/// # Errors
/// On an unknown name.
pub fn signal(v: &str) -> Result<i32, ValueError> {
    const NAMES: &[(&str, i32)] = &[
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ABRT", libc::SIGABRT),
        ("KILL", libc::SIGKILL),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("ALRM", libc::SIGALRM),
        ("TERM", libc::SIGTERM),
        ("CONT", libc::SIGCONT),
        ("STOP", libc::SIGSTOP),
        ("WINCH", libc::SIGWINCH),
        ("PWR", libc::SIGPWR),
    ];
    if let Ok(n) = v.parse::<i32>()
        && (1..=64).contains(&n)
    {
        return Ok(n);
    }
    let short = v.strip_prefix("SIG").unwrap_or(v);
    NAMES.iter().find(|(n, _)| *n == short).map(|(_, s)| *s).ok_or_else(|| ValueError::Signal(v.to_owned()))
}

/// The name of a signal, for messages.
#[must_use]
pub fn signal_name(sig: i32) -> String {
    let name = match sig {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGSYS => "SIGSYS",
        libc::SIGXCPU => "SIGXCPU",
        n => return format!("signal {n}"),
    };
    name.to_owned()
}

/// Splits a value into words, as systemd does: single and double quotes group, a backslash escapes as in C.
///
/// # Errors
/// On an open quote or an unknown escape.
pub fn words(v: &str) -> Result<Vec<String>, ValueError> {
    let err = || ValueError::Quotes(v.chars().take(80).collect());
    let mut out = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let mut quote: Option<char> = None;
    let mut chars = v.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                in_word = true;
                word.push(escape(&mut chars).ok_or_else(err)?);
            }
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => {
                in_word = true;
                quote = Some(c);
            }
            (c, None) if c.is_whitespace() => {
                if in_word {
                    out.push(std::mem::take(&mut word));
                    in_word = false;
                }
            }
            (c, None) => {
                in_word = true;
                word.push(c);
            }
        }
    }
    if quote.is_some() {
        return Err(err());
    }
    if in_word {
        out.push(word);
    }
    Ok(out)
}

fn escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let c = match chars.next()? {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        's' => ' ',
        c @ ('\\' | '"' | '\'' | ';') => c,
        'x' => {
            let hex: String = chars.by_ref().take(2).collect();
            let n = u8::from_str_radix(&hex, 16).ok()?;
            if n == 0 || n > 0x7f {
                return None;
            }
            char::from(n)
        }
        _ => return None,
    };
    Some(c)
}

/// Checks that a path is absolute and plain, and drops repeated and trailing slashes.
///
/// # Errors
/// When it is relative, empty, or holds `.` or `..` parts or a NUL.
pub fn path(v: &str) -> Result<std::path::PathBuf, ValueError> {
    let bad = || ValueError::Path(v.chars().take(120).collect());
    if !v.starts_with('/') || v.contains('\0') {
        return Err(bad());
    }
    let mut out = String::with_capacity(v.len());
    for part in v.split('/').filter(|p| !p.is_empty()) {
        if part == "." || part == ".." {
            return Err(bad());
        }
        out.push('/');
        out.push_str(part);
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out.into())
}

/// Splits `NAME=value`, with a name as systemd.exec(5) allows.
///
/// # Errors
/// When there is no `=` or the name is none.
pub fn env_assignment(v: &str) -> Result<(String, String), ValueError> {
    let bad = || ValueError::Assignment(v.chars().take(60).collect());
    let (name, value) = v.split_once('=').ok_or_else(bad)?;
    let ok = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !value.contains('\0');
    if ok { Ok((name.to_owned(), value.to_owned())) } else { Err(bad()) }
}

/// Reads an `EnvironmentFile=`: `NAME=value` lines, `#`/`;` comments, quotes, continuation lines. Bad lines are skipped, as
/// systemd does.
#[must_use]
pub fn env_file(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(first) = lines.next() {
        let line = first.trim_start();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let mut joined = line.to_owned();
        while joined.ends_with('\\') {
            joined.pop();
            match lines.next() {
                Some(l) => joined.push_str(l),
                None => break,
            }
        }
        let Ok((name, raw)) = env_assignment(joined.trim_end()) else { continue };
        out.push((name, unquote(raw.trim())));
    }
    out
}

fn unquote(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut quote: Option<char> = None;
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('\\', Some('\'')) => out.push('\\'),
            ('\\', _) => out.extend(chars.next()),
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        assert_eq!(duration("5").unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(duration("1min 30s").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(duration("500ms").unwrap(), Some(Duration::from_millis(500)));
        assert_eq!(duration("infinity").unwrap(), None);
        for bad in ["", "x", "5 parsecs", "-1", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(limit("1024:4096").unwrap(), Limit { soft: Some(1024), hard: Some(4096) });
        assert_eq!(limit("infinity").unwrap(), Limit { soft: None, hard: None });
        assert_eq!(limit("1G").unwrap().soft, Some(1 << 30));
        assert!(limit("5:4").is_err());
        assert!(limit("99999999999999999999").is_err());
    }

    #[test]
    fn word_lists() {
        assert_eq!(words(r#"a "b c" 'd "e' f\x20g "" A="x y""#).unwrap(), ["a", "b c", "d \"e", "f g", "", "A=x y"]);
        assert!(words("\"open").is_err());
        assert!(words("a\\").is_err());
        assert!(words("\\x00").is_err());
    }

    #[test]
    fn paths() {
        assert_eq!(path("//a///b/").unwrap().to_str().unwrap(), "/a/b");
        for bad in ["", "a", "/a/../b", "/./a"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn env_files() {
        let got = env_file("# c\nA=1\nB=\"x y\" \nbad line\n9X=1\nC='a\\b'\nD=a\\\nb\n");
        let want = [("A", "1"), ("B", "x y"), ("C", "a\\b"), ("D", "ab")];
        assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn signals_and_modes() {
        assert_eq!(signal("SIGQUIT").unwrap(), libc::SIGQUIT);
        assert_eq!(signal("TERM").unwrap(), libc::SIGTERM);
        assert!(signal("SIGNOPE").is_err());
        assert_eq!(mode("0750").unwrap(), 0o750);
        assert!(mode("+750").is_err());
        assert!(mode("99").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(s in "\\PC{0,80}") {
            let _ = (boolean(&s), duration(&s), mode(&s), limit(&s), signal(&s), words(&s), path(&s), env_file(&s));
        }

        #[test]
        fn plain_words_round_trip(w in proptest::collection::vec("[a-zA-Z0-9/._-]{1,10}", 0..10)) {
            prop_assert_eq!(words(&w.join(" ")).unwrap(), w);
        }

        #[test]
        fn quoted_words_round_trip(w in proptest::collection::vec("[^\"\\\\\\x00]{0,10}", 0..6)) {
            let text = w.iter().map(|x| format!("\"{x}\"")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(&text).unwrap(), w);
        }

        #[test]
        fn accepted_paths_stay_inside(s in "[/a.]{0,30}") {
            if let Ok(p) = path(&s) {
                prop_assert!(p.is_absolute());
                prop_assert!(!p.components().any(|c| matches!(c, std::path::Component::ParentDir)));
            }
        }
    }
}
