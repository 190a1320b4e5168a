//! Domains of an account.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{domain, page};

const COLUMNS: &[&str] = &["domain", "kind", "target", "document_root", "hosts"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("domains.list", Get, "/accounts/{account}/domains", "List the domains of an account")
            .needs(P::DomainsRead)
            .gives::<page::Page<domain::DomainView>>(200)
            .columns(COLUMNS),
        op("domains.add", Post, "/accounts/{account}/domains", "Add a domain to an account")
            .needs(P::DomainsManage)
            .body::<domain::AddDomain>()
            .job()
            .if_match()
            .positional(&["domain"]),
        op("domains.remove", Delete, "/accounts/{account}/domains/{domain}", "Remove a domain from an account")
            .about("Its files stay in the account.")
            .needs(P::DomainsManage)
            .job()
            .if_match(),
    ]
}
