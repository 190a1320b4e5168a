//! Domains of an account.

use crate::manifest::DomainKind;
use crate::{DocumentRoot, Domain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A domain to be added to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDomain {
    /// The name.
    pub domain: Domain,
    /// What it shall be; if absent: `alias` when `target` is given, `sub` when it lies under a domain of the account,
    /// else `addon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AddedDomainKind>,
    /// For an alias: the site it shows; the primary domain if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Domain>,
    /// Folder of its files, relative to the account's home; `domains/<name>/public_html` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_root: Option<DocumentRoot>,
}

/// Kinds of domains that can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddedDomainKind {
    /// A further domain with a site of its own.
    Addon,
    /// A subdomain of one of the account's domains, with a site of its own.
    Sub,
    /// A further name of an existing site.
    Alias,
}

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DomainView {
    /// The name.
    pub domain: Domain,
    /// What it is.
    pub kind: DomainKind,
    /// For an alias: the site it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Domain>,
    /// For a site: the folder of its files, relative to the account's home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_root: Option<DocumentRoot>,
    /// All host names that show it.
    pub hosts: Vec<Domain>,
}
