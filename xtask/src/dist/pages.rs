//! The pages that nginx shows by itself: one style sheet in the repository, complete pages in a release.
//!
//! A page that says what is wrong must not need a second request to be read: the name it was asked for under may lead nowhere.

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How a page asks for the style sheet, so that it can be looked at as it lies in the repository too.
const LINK: &str = "<link rel=\"stylesheet\" href=\"style.css\">";

/// Writes the pages of a directory, each with the style sheet in it.
///
/// # Errors
/// There is no page, one does not ask for the style sheet, or a file can't be read or written.
pub(super) fn write(from: &Path, to: &Path) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()));
    let style = read(&from.join("style.css"))?;
    fs::create_dir_all(to).with_context(|| format!("can't make {}", to.display()))?;
    let mut written = 0;
    for entry in fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))? {
        let page = entry?.path();
        if page.extension().is_none_or(|e| e != "html") {
            continue;
        }
        let whole = inline(&read(&page)?, &style).with_context(|| page.display().to_string())?;
        let target = to.join(page.file_name().unwrap_or_default());
        fs::write(&target, whole).with_context(|| format!("can't write {}", target.display()))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
        written += 1;
    }
    if written == 0 {
        bail!("{} holds no pages", from.display());
    }
    Ok(())
}

/// Puts the style sheet where a page asks for it.
fn inline(page: &str, style: &str) -> Result<String> {
    if style.contains("</") {
        bail!("the style sheet would end its own element");
    }
    match page.matches(LINK).count() {
        1 => Ok(page.replace(LINK, &format!("<style>\n{}\n</style>", without_comments(style).trim()))),
        n => bail!("it has {n} times {LINK}, and should have it once"),
    }
}

/// Comments are for whoever edits the style sheet.
fn without_comments(style: &str) -> String {
    let mut out = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_sheet_goes_in_once() {
        let page = format!("<head>{LINK}</head>");
        assert_eq!(inline(&page, "/* a */ p { } /* b */\n").expect("it fits"), "<head><style>\np { }\n</style></head>");
        assert!(inline("<head></head>", "p { }").is_err(), "a page without the style");
        assert!(inline(&format!("{LINK}{LINK}"), "p { }").is_err());
        assert!(inline(&page, "</style>").is_err());
    }

    #[test]
    fn the_pages_of_a_release_are_complete() {
        let out = std::env::temp_dir().join(format!("wcp360-pages-{}", std::process::id()));
        write(&crate::repo::root().join("templates/pages"), &out).expect("the pages can be written");
        // Those that templates/nginx names.
        for name in ["down", "not-found", "panel", "suspended", "unknown", "welcome"] {
            let page = fs::read_to_string(out.join(name).with_extension("html")).expect("the page is there");
            assert!(page.contains("<style>") && page.contains("--ink"), "{name} has no style");
            assert!(!page.contains("style.css"), "{name} needs a second request");
            assert!(!page.contains("{{"), "{name} is served as it is: nothing replaces what is in braces");
        }
        assert!(!out.join("style.css").exists());
        fs::remove_dir_all(&out).expect("it can be removed");
    }
}
