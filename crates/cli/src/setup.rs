//! First boot: finding the proof that somebody controls the machine.

use crate::client::Client;
use crate::failure::Failure;
use crate::input::Request;
use crate::tree::Globals;
use std::path::Path;

/// Where the installer leaves the one-time token.
const TOKEN: &str = "/var/lib/wcp360/setup.token";

/// Adds the installer's token where no proof was given and the token is at hand, as for root on the panel's machine.
pub(crate) fn prove(globals: &Globals, request: &mut Request) -> Result<(), Failure> {
    let Some(body) = &mut request.body else { return Ok(()) };
    if ["setup_token", "root_password"].iter().any(|name| body.get(name).is_some()) {
        return Ok(());
    }
    let missing = |why: String| {
        Failure::Usage(format!(
            "{why}; prove that this machine is yours with --setup-token-file, --setup-token-prompt or \
             --root-password-prompt"
        ))
    };
    if !Client::is_local(globals)? {
        return Err(missing("the panel is on another machine".into()));
    }
    let text = std::fs::read_to_string(Path::new(TOKEN)).map_err(|e| missing(format!("{TOKEN}: {e}")))?;
    body["setup_token"] = text.trim().into();
    Ok(())
}
