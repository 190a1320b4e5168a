//! Finding the API token.

use crate::failure::Failure;
use crate::tree::Globals;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The local administrator's token, made by `wcp360 setup`.
const LOCAL: &str = "/etc/wcp360/api.key";

/// The first of: `--token-file`, `$WCP360_TOKEN`, `~/.config/wcp360/token` and, for a panel on this machine,
/// `/etc/wcp360/api.key`.
///
/// # Errors
/// `--token-file` can't be read, or a file holds no token.
pub(super) fn find(globals: &Globals, is_this_machine: bool) -> Result<Option<String>, Failure> {
    if let Some(file) = &globals.token_file {
        let text = std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?;
        return check(file, &text).map(Some);
    }
    if let Ok(token) = std::env::var("WCP360_TOKEN")
        && !token.trim().is_empty()
    {
        return check(Path::new("$WCP360_TOKEN"), &token).map(Some);
    }
    let own = config_home().map(|dir| dir.join("wcp360/token"));
    // The machine's own key is nobody else's business.
    let local = is_this_machine.then(|| PathBuf::from(LOCAL));
    for file in own.into_iter().chain(local) {
        match std::fs::read_to_string(&file) {
            Ok(text) => return check(&file, &text).map(Some),
            Err(e)
                if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory) => {
            }
            Err(e) => return Err(Failure::file(file, e)),
        }
    }
    Ok(None)
}

fn config_home() -> Option<PathBuf> {
    let given = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")))
}

/// A token is one word that fits into a header.
fn check(place: &Path, text: &str) -> Result<String, Failure> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let reason = "this is not an API token; make one with `wcp360 tokens create NAME --save-token FILE`".into();
        return Err(Failure::Content { path: place.into(), reason });
    }
    Ok(token.to_owned())
}
