//! What the agent checks again, whatever core has checked: the sender may be in the wrong hands.

use super::Engine;
use wcp360_agent_proto::{AgentError, AgentErrorCode};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{DocumentRoot, Username};

pub(super) fn invalid(message: impl Into<String>) -> AgentError {
    AgentError::new(AgentErrorCode::Invalid, message)
}

impl Engine {
    /// Checks `desired` against itself, against what the account is now, and against this machine, and fills in what the
    /// agent assigns. `uid` is what the account has or will have.
    pub(super) fn complete(
        &self,
        name: &Username,
        desired: &ManifestSet,
        current: Option<&ManifestSet>,
        uid: u32,
    ) -> Result<ManifestSet, AgentError> {
        let mut set = desired.clone();
        if set.account.username != *name {
            let reason =
                format!("account.json: username: it is \"{}\", the request is about \"{name}\"", set.account.username);
            return Err(invalid(format!("{reason}; make both the same")));
        }
        if current.is_none() && set.account.uid.is_some() {
            return Err(invalid("account.json: uid: a new account has none yet; leave it out, the agent assigns it"));
        }
        if set.account.uid.is_some_and(|given| given != uid) || set.account.gid.is_some_and(|given| given != uid) {
            return Err(invalid(format!("account.json: uid: it is {uid} for good; leave it as it is")));
        }
        set.account.uid = Some(uid);
        set.account.gid = Some(uid);
        let home = self.facts.home(name).to_string();
        if set.account.home_dir.as_ref().is_some_and(|given| *given != home) {
            return Err(invalid(format!("account.json: home_dir: it is \"{home}\" on this node; leave it out")));
        }
        set.account.home_dir = Some(home);
        set.validate().map_err(|e| invalid(e.to_string()))?;
        document_roots(&set)?;
        // Everything the renderer refuses, before anything is touched.
        wcp360_agent_render::render(&set, &self.facts).map_err(|e| invalid(e.to_string()))?;
        Ok(set)
    }
}

/// Directories under `domains` belong to root, one for each domain: only the standard ones can be named there, and only
/// those of the account's own sites.
fn document_roots(set: &ManifestSet) -> Result<(), AgentError> {
    for (kind, site) in set.domains.sites() {
        let root = &site.document_root;
        if root.components().next() != Some("domains") {
            continue;
        }
        let standard = set.domains.sites().any(|(_, other)| DocumentRoot::for_domain(&other.domain) == *root);
        if !standard {
            return Err(invalid(format!(
                "domains.json: {}: document_root: \"{root}\" is not the folder of a site of this account; use \"{}\", or a \
                 folder outside \"domains\"",
                kind.as_str(),
                DocumentRoot::for_domain(&site.domain)
            )));
        }
    }
    Ok(())
}
