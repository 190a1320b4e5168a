//! Operations to handlers, and everything that is answered without one.

use crate::call::{Answer, App, Call};
use crate::dispatch::{self, Handler};
use crate::handlers as h;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use wcp360_api::{Method, Operation, operations};
use wcp360_types::Problem;

struct Handlers(BTreeMap<&'static str, Handler>);

impl Handlers {
    fn bind<F, A>(&mut self, id: &'static str, handler: F)
    where
        F: Fn(Call) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        assert!(wcp360_api::find(id).is_some(), "\"{id}\" is not in the table of operations");
        self.0.insert(id, Arc::new(move |call| Box::pin(handler(call))));
    }
}

fn handlers() -> Handlers {
    let mut all = Handlers(BTreeMap::new());
    all.bind("health.show", h::system::health);
    all.bind("metrics.show", h::system::metrics);
    all.bind("setup.status", h::setup::status);
    all.bind("setup.run", h::setup::run);
    all.bind("session.login", h::session::login);
    all.bind("session.show", h::session::show);
    all.bind("session.logout", h::session::logout);
    all.bind("session.jwt", h::session::jwt);
    all.bind("sessions.list", h::sessions::list);
    all.bind("sessions.revoke", h::sessions::revoke);
    all.bind("sessions.revoke-others", h::sessions::revoke_others);
    all.bind("logins.list", h::sessions::logins);
    all.bind("tokens.list", h::tokens::list);
    all.bind("tokens.create", h::tokens::create);
    all.bind("tokens.rotate", h::tokens::rotate);
    all.bind("tokens.revoke", h::tokens::revoke);
    all.bind("users.list", h::users::list);
    all.bind("users.create", h::users::create);
    all.bind("users.delete", h::users::delete);
    all.bind("users.usage", h::users::usage);
    all.bind("users.limits", h::users::limits);
    all.bind("users.set-limits", h::users::set_limits);
    all.bind("users.suspend", h::users::suspend);
    all.bind("users.unsuspend", h::users::unsuspend);
    all.bind("users.set-password", h::users::set_password);
    all.bind("users.sessions", h::users::sessions);
    all.bind("users.revoke-session", h::users::revoke_session);
    all.bind("users.end-sessions", h::users::end_sessions);
    all.bind("users.logins", h::users::logins);
    all.bind("users.tokens", h::users::tokens);
    all.bind("users.revoke-token", h::users::revoke_token);
    all.bind("secrets.show", h::secrets::show);
    all.bind("secrets.rotate", h::secrets::rotate);
    all.bind("packages.list", h::packages::list);
    all.bind("packages.show", h::packages::show);
    all.bind("packages.create", h::packages::create);
    all.bind("packages.update", h::packages::update);
    all.bind("packages.delete", h::packages::delete);
    all.bind("packages.versions", h::packages::versions);
    all.bind("packages.propagate", h::packages::propagate);
    all.bind("packages.default", h::packages::default);
    all.bind("packages.set-default", h::packages::set_default);
    all.bind("packages.export", h::packages::export);
    all.bind("packages.import", h::packages::import);
    all.bind("accounts.list", h::accounts::list);
    all.bind("accounts.show", h::accounts::show);
    all.bind("accounts.create", h::accounts::create);
    all.bind("accounts.suspend", h::accounts::suspend);
    all.bind("accounts.unsuspend", h::accounts::unsuspend);
    all.bind("accounts.delete", h::accounts::delete);
    all.bind("accounts.change-package", h::accounts::change_package);
    all.bind("accounts.set-overrides", h::accounts::set_overrides);
    all.bind("accounts.clone", h::accounts::clone);
    all.bind("accounts.set-owner", h::accounts::set_owner);
    all.bind("bulk.start", h::bulk::start);
    all.bind("bulk.list", h::bulk::list);
    all.bind("bulk.show", h::bulk::show);
    all.bind("bulk.accounts", h::bulk::accounts);
    all.bind("domains.list", h::domains::list);
    all.bind("domains.add", h::domains::add);
    all.bind("domains.remove", h::domains::remove);
    all.bind("jobs.list", h::jobs::list);
    all.bind("jobs.show", h::jobs::show);
    all.bind("jobs.log", h::jobs::log);
    all.bind("jobs.artifacts", h::jobs::artifacts);
    all.bind("jobs.cancel", h::jobs::cancel);
    all.bind("jobs.retry", h::jobs::retry);
    all.bind("jobs.undo", h::jobs::undo);
    all.bind("jobs.resolve", h::jobs::resolve);
    all.bind("drift.show", h::node::drift);
    all.bind("drift.reconcile", h::node::reconcile);
    all.bind("accounts.drift", h::node::account_drift);
    all.bind("accounts.repair", h::node::repair_account);
    all.bind("accounts.pick-up", h::node::pick_up);
    all.bind("node.drift", h::node::node_drift);
    all.bind("node.repair", h::node::repair_node);
    all.bind("index.rebuild", h::node::rebuild_index);
    all.bind("maintenance.show", h::node::maintenance);
    all.bind("maintenance.set", h::node::set_maintenance);
    all.bind("schedules.list", h::schedules::list);
    all.bind("schedules.show", h::schedules::show);
    all.bind("schedules.create", h::schedules::create);
    all.bind("schedules.delete", h::schedules::delete);
    all.bind("audit.list", h::audit::list);
    all.bind("audit.export", h::audit::export);
    all.bind("audit.key", h::audit::key);
    all.bind("audit.rotate-key", h::audit::rotate_key);
    all.bind("audit.verify", h::audit::verify);
    all.bind("audit.compare", h::audit::compare);
    all.bind("events.listen", h::events::listen);
    all
}

/// All routes.
///
/// # Panics
/// If an operation has no handler: such a program must not start.
pub(crate) fn router(app: Arc<App>) -> Router {
    let handlers = handlers();
    let mut by_path: BTreeMap<&'static str, MethodRouter> = BTreeMap::new();
    for operation in operations() {
        let handler = handlers.0.get(operation.id);
        let handler = handler.unwrap_or_else(|| panic!("operation \"{}\" has no handler", operation.id)).clone();
        let route = route(app.clone(), operation, handler);
        let before = by_path.remove(operation.path).unwrap_or_default();
        by_path.insert(operation.path, before.merge(route));
    }
    let document = wcp360_api::openapi::document().to_string();
    let mut api = Router::new().route(
        "/openapi.json",
        get(move || async move { ([(http::header::CONTENT_TYPE, "application/json")], document) }),
    );
    for (path, methods) in by_path {
        api = api.route(path, methods);
    }
    Router::new()
        .nest("/api/v1", api)
        .method_not_allowed_fallback(async || {
            dispatch::outside(Problem::new(
                405,
                "method-not-allowed",
                "Not allowed here",
                "This path has no such method.",
            ))
        })
        .fallback(async |request: Request<Body>| {
            dispatch::outside(Problem::not_found("path", request.uri().path().chars().take(200).collect::<String>()))
        })
}

fn route(app: Arc<App>, operation: &'static Operation, handler: Handler) -> MethodRouter {
    let filter = match operation.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    on(filter, move |request: Request<Body>| dispatch::dispatch(app.clone(), operation, handler.clone(), request))
}

#[cfg(test)]
mod tests {
    #[test]
    fn api_01_every_operation_has_a_handler() {
        let handlers = super::handlers();
        for operation in super::operations() {
            assert!(handlers.0.contains_key(operation.id), "{}", operation.id);
        }
    }
}
