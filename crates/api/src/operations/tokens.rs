//! API tokens.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::token;

pub(super) const COLUMNS: &[&str] = &["id", "name", "owner", "expires_at", "last_used_at", "last_used_from", "uses"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("tokens.list", Get, "/tokens", "List your API tokens")
            .needs(P::SelfManage)
            .list::<token::Token>()
            .columns(COLUMNS),
        op("tokens.create", Post, "/tokens", "Make an API token")
            .needs(P::SelfManage)
            .body::<token::CreateToken>()
            .gives::<token::CreatedToken>(201)
            .positional(&["name"]),
        op("tokens.rotate", Post, "/tokens/{token}/rotate", "Give an API token a new secret")
            .about("The old secret ends at once; scopes, networks and expiry stay.")
            .needs(P::SelfManage)
            .maybe_body::<token::RotateToken>()
            .gives::<token::CreatedToken>(200),
        op("tokens.revoke", Delete, "/tokens/{token}", "Revoke an API token").needs(P::SelfManage).gives_nothing(),
    ]
}
