//! What was made by hand and keeps nginx from accepting its configuration: found, named, and moved aside, so that it stops
//! nobody else.

use super::generation::{Generations, Origin, SNIPPETS_DIR};
use super::snippets::{GLOBAL, Snippets};
use super::{NginxControl, NginxError, SiteChange};
use crate::quarantine::Quarantine;
use std::collections::BTreeSet;
use std::sync::Arc;
use wcp360_agent_render::nginx::SITES_DIR;
use wcp360_agent_render::paths::SNIPPETS;

/// Something made by hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspect {
    /// A file among the sites of the current generation.
    Site(String),
    /// A snippet: directory and file.
    Snippet(String, String),
}

impl Suspect {
    /// Where it is.
    fn path(&self, generations: &Generations) -> Result<Option<String>, NginxError> {
        match self {
            Self::Site(file) => generations.site_path(file),
            Self::Snippet(dir, file) => Ok(Some(format!("{SNIPPETS}/{dir}/{file}"))),
        }
    }
}

/// Everything made by hand that the next generation would have. Files that `change` replaces are not among it.
pub(super) fn all(generations: &Generations, change: &SiteChange) -> Result<BTreeSet<Suspect>, NginxError> {
    let mut out = BTreeSet::new();
    for file in generations.sites()? {
        if !change.contains_key(&file) && matches!(generations.origin_of(&file)?, Origin::Foreign | Origin::Edited) {
            out.insert(Suspect::Site(file));
        }
    }
    let written = Snippets::written(generations.fs())?;
    out.extend(written.0.into_keys().map(|(dir, file)| Suspect::Snippet(dir, file)));
    Ok(out)
}

/// Builds and tests a candidate. If nginx refuses it because of what was made by hand, that is moved aside.
///
/// # Errors
/// It is refused without that as well; or the disk.
pub(super) fn candidate(
    generations: &Generations,
    control: &dyn NginxControl,
    change: &SiteChange,
) -> Result<u64, NginxError> {
    let build = |left_out: &BTreeSet<Suspect>| -> Result<u64, NginxError> {
        let mut sites = BTreeSet::new();
        let mut snippets = BTreeSet::new();
        for suspect in left_out {
            match suspect {
                Suspect::Site(file) => drop(sites.insert(file.clone())),
                Suspect::Snippet(dir, file) => drop(snippets.insert((dir.clone(), file.clone()))),
            }
        }
        let written = Snippets::written(generations.fs())?.without(&snippets);
        let number = generations.build(change, &written, &sites)?;
        super::test(generations, control, number).inspect_err(|_| generations.discard(number)).map(|()| number)
    };
    let mut bad = BTreeSet::new();
    let refusal = loop {
        let message = match build(&bad) {
            Err(NginxError::Rejected(message)) => message,
            other => return finish(generations, &bad, other?),
        };
        // nginx names the file it stumbled over, nearly always.
        match all(generations, change)?.into_iter().find(|suspect| !bad.contains(suspect) && named(suspect, &message)) {
            Some(suspect) => drop(bad.insert(suspect)),
            None => break message,
        }
    };
    let suspects = all(generations, change)?;
    if suspects.len() == bad.len() {
        return Err(NginxError::Rejected(refusal));
    }
    // Without all of them, is it accepted? Then with one after the other.
    let mut best = match build(&suspects) {
        Err(NginxError::Rejected(_)) => return Err(NginxError::Rejected(refusal)),
        other => other?,
    };
    let mut left_out = suspects.clone();
    for suspect in suspects.difference(&bad) {
        left_out.remove(suspect);
        match build(&left_out) {
            Ok(number) => generations.discard(std::mem::replace(&mut best, number)),
            Err(NginxError::Rejected(_)) => drop(left_out.insert(suspect.clone())),
            Err(error) => return Err(error),
        }
    }
    finish(generations, &left_out, best)
}

/// Whether nginx's message is about it: "… in sites/x.conf:3".
fn named(suspect: &Suspect, message: &str) -> bool {
    let path = match suspect {
        Suspect::Site(file) => format!("{SITES_DIR}/{file}:"),
        Suspect::Snippet(dir, file) => format!("{SNIPPETS_DIR}/{dir}/{file}:"),
    };
    message.contains(&path)
}

/// Moves aside what was found to be bad.
fn finish(generations: &Generations, bad: &BTreeSet<Suspect>, number: u64) -> Result<u64, NginxError> {
    let quarantine = Quarantine::new(Arc::clone(generations.fs()));
    for suspect in bad {
        let Some(path) = suspect.path(generations)? else { continue };
        let whose = match suspect {
            Suspect::Snippet(dir, _) if dir != GLOBAL => format!(" (account {dir})"),
            _ => String::new(),
        };
        let place = quarantine.take(&path, &format!("nginx refuses the configuration with it{whose}"))?;
        tracing::error!(path, place, "made by hand, and nginx refuses it: moved aside");
    }
    Ok(number)
}
