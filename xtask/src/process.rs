//! Running other programs: the one place where that happens.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// A program with arguments.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(crate::repo::root());
    command
}

/// Runs it to its end; its output is the user's.
///
/// # Errors
/// It can't be started, or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let said = said(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("can't start {said}"))?;
    if !status.success() {
        bail!("{said} failed ({status})");
    }
    Ok(())
}

/// Runs it to its end and returns what it prints.
///
/// # Errors
/// It can't be started, or fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let said = said(command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("can't start {said}"))?;
    if !output.status.success() {
        bail!("{said} failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{said} printed something that is not text"))
}

fn said(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
