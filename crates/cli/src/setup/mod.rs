//! First boot (PLT-04): it works once, so nothing of it may get lost.
//!
//! With `--save-token`, the token is made here and kept in `FILE.new` before the panel hears of it. However the command is
//! interrupted, running it again finds out whether the setup went through, and ends with the token in `FILE`.

mod token;

use crate::client::{Answer, Client};
use crate::document::{Document, Operation};
use crate::failure::Failure;
use crate::input::Request;
use crate::save::Place;
use crate::tree::Globals;
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the installer leaves the one-time token.
const SETUP_TOKEN: &str = "/var/lib/wcp360/setup.token";

/// Sets the panel up; with `save`, the administrator's token ends in that file and not in the answer.
pub(crate) fn run(
    document: &Document,
    globals: &Globals,
    mut request: Request,
    save: Option<&Path>,
) -> Result<Answer, Failure> {
    let Some(file) = save else {
        prove(globals, &mut request)?;
        return Client::new(globals, &document.base, None)?.send(&request);
    };
    let pending = pending(file);
    let known = match std::fs::read_to_string(&pending) {
        Ok(text) => Some(text.trim().to_owned()).filter(|token| token::is_well_formed(token)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Failure::file(pending, e)),
    };
    if let Some(token) = &known
        && let Some(answer) = went_through(document, globals, token)?
    {
        return keep(&pending, file, answer);
    }
    prove(globals, &mut request)?;
    let token = match known {
        Some(token) => token,
        None => {
            let token = token::generate()?;
            Place::prepare(&pending)?.save(&token)?;
            token
        }
    };
    if let Some(body) = &mut request.body {
        body["api_token"] = token.clone().into();
    }
    match Client::new(globals, &document.base, None)?.send(&request) {
        Ok(answer) => keep(&pending, file, answer),
        Err(Failure::Problem(problem)) if problem.status < 500 => {
            let _ = std::fs::remove_file(&pending);
            Err(Failure::Problem(problem))
        }
        // Nobody knows how far it got: ask. If nobody answers that either, the next run does.
        Err(unclear) => match went_through(document, globals, &token) {
            Ok(Some(answer)) => keep(&pending, file, answer),
            _ => Err(unclear),
        },
    }
}

/// What the setup answered, if it has happened with this token.
fn went_through(document: &Document, globals: &Globals, token: &str) -> Result<Option<Answer>, Failure> {
    let Some(whoami) = document.find("session.show") else { return Ok(None) };
    let request =
        Request { method: whoami.method.clone(), path: whoami.path.clone(), needs_login: true, ..Request::default() };
    match Client::new(globals, &document.base, Some(token.to_owned()))?.send(&request) {
        Ok(answer) => Ok(Some(Answer { status: 201, body: json!({ "username": answer.body["username"] }) })),
        Err(Failure::Problem(problem)) if matches!(problem.status, 401 | 403) => Ok(None),
        Err(other) => Err(other),
    }
}

fn keep(pending: &Path, file: &Path, mut answer: Answer) -> Result<Answer, Failure> {
    std::fs::rename(pending, file).map_err(|e| Failure::file(file, e))?;
    if let Value::Object(body) = &mut answer.body {
        body.remove("token");
    }
    Ok(answer)
}

fn pending(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Whether this operation is the first boot's.
pub(crate) fn is_setup(operation: &Operation) -> bool {
    operation.id == "setup.run"
}

/// Adds the installer's token where no proof was given and the token is at hand, as for root on the panel's machine.
fn prove(globals: &Globals, request: &mut Request) -> Result<(), Failure> {
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
    let text = read_token(Path::new(SETUP_TOKEN)).map_err(|e| missing(format!("{SETUP_TOKEN}: {e}")))?;
    body["setup_token"] = text.trim().into();
    Ok(())
}

/// Reads the installer's token. Root reads it in a folder that the panel's user can write to, and sends what it read to the
/// panel: a link there to a file of root's must not be followed.
fn read_token(path: &Path) -> std::io::Result<String> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.nlink() != 1 || facts.uid() == 0 {
        return Err(std::io::Error::other("it is not a file of the panel's user"));
    }
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text)?;
    Ok(text)
}
