//! The syntax of unit files (systemd.syntax(7)): sections, assignments, comments and continuation lines. No meaning yet.

/// One `Key=value` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The section it stands in, without brackets.
    pub section: String,
    /// The directive.
    pub key: String,
    /// The value, with continuation lines joined and surrounding white space removed. Empty means “reset”.
    pub value: String,
    /// Where it starts, counted from 1.
    pub line: usize,
}

/// What a file says, and what in it was not understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The assignments, in order.
    pub items: Vec<Assignment>,
    /// Lines that were skipped, and why.
    pub warnings: Vec<String>,
}

/// Reads a unit file. Never fails: a line that is no section, assignment or comment becomes a warning, as with systemd.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let mut out = Parsed::default();
    let mut section: Option<String> = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, raw)) = lines.next() {
        let line_no = number + 1;
        let first = raw.trim();
        if first.is_empty() || first.starts_with(['#', ';']) {
            continue;
        }
        let mut joined = String::from(raw.trim_start());
        while let Some(stripped) = joined.trim_end_matches('\r').strip_suffix('\\') {
            joined = format!("{stripped} ");
            // Comment lines inside a continued value are skipped.
            let next = lines.by_ref().find(|(_, l)| !l.trim_start().starts_with(['#', ';']));
            match next {
                Some((_, l)) => joined.push_str(l),
                None => break,
            }
        }
        let joined = joined.trim();
        if let Some(rest) = joined.strip_prefix('[') {
            match rest.strip_suffix(']') {
                Some(name) if !name.is_empty() => section = Some(name.to_owned()),
                _ => {
                    section = None;
                    out.warnings
                        .push(format!("line {line_no}: “{}” is no section; what follows is skipped", cut(joined)));
                }
            }
            continue;
        }
        let Some((key, value)) = joined.split_once('=') else {
            out.warnings.push(format!("line {line_no}: “{}” has no =, skipped", cut(joined)));
            continue;
        };
        let key = key.trim_end();
        let Some(section) = &section else {
            out.warnings.push(format!("line {line_no}: {}= stands outside any section, skipped", cut(key)));
            continue;
        };
        if key.is_empty() {
            out.warnings.push(format!("line {line_no}: an assignment without a name, skipped"));
            continue;
        }
        out.items.push(Assignment {
            section: section.clone(),
            key: key.to_owned(),
            value: value.trim().to_owned(),
            line: line_no,
        });
    }
    out
}

fn cut(s: &str) -> String {
    s.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<(String, String, String)> {
        parse(text).items.into_iter().map(|a| (a.section, a.key, a.value)).collect()
    }

    #[test]
    fn sections_comments_continuation() {
        let got = values(
            "# c\n[Unit]\nDescription = a b \n; c\n[Service]\nExecStart=/bin/a \\\n# inside\n  -x \\\n  -y\nUser=\n",
        );
        let want =
            [("Unit", "Description", "a b"), ("Service", "ExecStart", "/bin/a    -x    -y"), ("Service", "User", "")];
        assert_eq!(got, want.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }

    #[test]
    fn oddities_are_warnings() {
        let p = parse("A=b\n[Unit\nB=c\n[Unit]\nnonsense\n=x\nC=d=e\\");
        assert_eq!(p.items.len(), 1);
        assert_eq!(p.items[0].value, "d=e");
        assert_eq!(p.warnings.len(), 5, "{:?}", p.warnings);
    }

    proptest! {
        #[test]
        fn never_panics(s in "[\\[\\]=\\\\ \\n#;a-zA-Z%é\\t\\r]{0,200}") {
            let p = parse(&s);
            for a in p.items {
                prop_assert!(!a.key.is_empty());
                prop_assert_eq!(a.value.trim(), a.value.as_str());
            }
        }

        #[test]
        fn simple_values_survive(pairs in proptest::collection::vec(("[A-Za-z]{1,12}", "[!-\\[\\]-~]{0,30}"), 0..20)) {
            let mut text = String::from("[Service]\n");
            for (k, v) in &pairs {
                text.push_str(&format!("{k}={v}\n"));
            }
            let got: Vec<_> = parse(&text).items.into_iter().map(|a| (a.key, a.value)).collect();
            prop_assert_eq!(got, pairs);
        }
    }
}
