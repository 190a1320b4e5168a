//! The committed OpenAPI document, and what is written from it.

use crate::{permissions, process, reference, repo};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// Where the reference begins in a page whose beginning is written by hand.
const MARK: &str = "<!-- From here on written by `cargo xtask openapi`. -->\n";

/// Writes the document and the references, or checks them.
pub(crate) fn run(check: bool) -> Result<()> {
    let document = wcp360_api::openapi::document();
    // Keys are sorted by serde_json's map, which the revisions of manifests rely on too.
    let mut stale = Vec::new();
    put(check, "openapi/wcp360.json", &format!("{document:#}\n"), &mut stale)?;
    put(check, "docs/api.md", &reference::markdown(&document), &mut stale)?;
    put(check, "docs/permissions.md", &permissions::markdown(), &mut stale)?;
    // After the document, which the program is built with.
    let args = ["run", "--quiet", "--locked", "--package", "wcp360-cli", "--bin", "wcp360", "--", "reference"];
    let commands = process::output(&mut process::command(&repo::cargo(), args))?;
    let page = repo::root().join("docs/cli.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("can't read {}", page.display()))?;
    let (by_hand, _) = text.split_once(MARK).with_context(|| format!("docs/cli.md has lost its line {MARK}"))?;
    put(check, "docs/cli.md", &format!("{by_hand}{MARK}\n{commands}"), &mut stale)?;
    if !stale.is_empty() {
        bail!("{} not as the operation table says; run `cargo xtask openapi` and commit the result", stale.join(", "));
    }
    Ok(())
}

fn put(check: bool, name: &str, content: &str, stale: &mut Vec<String>) -> Result<()> {
    let path: PathBuf = repo::root().join(name);
    if check {
        if !std::fs::read_to_string(&path).is_ok_and(|now| now == content) {
            stale.push(name.to_owned());
        }
    } else if repo::write(&path, content)? {
        println!("wrote {name}");
    }
    Ok(())
}
