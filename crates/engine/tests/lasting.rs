//! What is bounded makes nothing that is not: no login, no token, no schedule that outlives it.

#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

mod panel;

use panel::{PASSWORD, Panel, from, networks, wanted};
use wcp360_engine::identity::Attempt;
use wcp360_engine::{Caller, EngineError, password};
use wcp360_types::Role;
use wcp360_types::api::session::Login;
use wcp360_types::api::token::CreateToken;
use wcp360_types::api::user::{CreateUser, SetPassword};

fn admin(name: &str, current_password: Option<&str>) -> CreateUser {
    CreateUser {
        username: name.into(),
        role: Role::Admin,
        password: "another long password".into(),
        max_accounts: None,
        current_password: current_password.map(str::to_owned),
    }
}

impl Panel {
    async fn create(&self, caller: &Caller, request: CreateUser) -> Result<(), u16> {
        let made = self.engine.create_user(&from("203.0.113.9"), caller, request).await;
        made.map(|_| ()).map_err(|error| error.into_problem().status)
    }

    async fn set_password(&self, caller: &Caller, of: &str, current: Option<&str>, source: &str) -> Result<(), u16> {
        let request =
            SetPassword { current_password: current.map(str::to_owned), password: "another long password".into() };
        let set = self.engine.set_password(&from(source), caller, of, request).await;
        set.map_err(|error| error.into_problem().status)
    }

    /// The caller of a new token.
    async fn bearer(&self, session: &Caller, request: CreateToken) -> Caller {
        let request = CreateToken { password: Some(PASSWORD.into()), ..request };
        let made = self.token(session, request).await.unwrap();
        self.by_token(&made.secret, "203.0.113.9").await.unwrap()
    }
}

#[tokio::test]
async fn sec_03_what_is_bounded_makes_no_login() {
    let panel = Panel::new().await;
    panel.person("chief", Role::Root).await;
    panel.person("other", Role::Reseller).await;
    let (session, _) = panel.session("chief").await;
    let scopes = || Some(vec!["users.manage".to_owned(), "self.manage".to_owned()]);
    let free = panel.bearer(&session, wanted("free")).await;
    let jwt = panel.by_jwt(&panel.jwt(&session, None)).await.unwrap();
    for (what, caller) in [
        ("scopes", panel.bearer(&session, CreateToken { scopes: scopes(), ..wanted("scopes") }).await),
        ("networks", {
            let networks = networks(&["203.0.113.0/24"]);
            panel.bearer(&session, CreateToken { networks, ..wanted("networks") }).await
        }),
        ("expiry", panel.bearer(&session, CreateToken { expires_in_days: Some(1), ..wanted("expiry") }).await),
        ("jwt", jwt),
    ] {
        assert_eq!(panel.create(&caller, admin("intruder", Some(PASSWORD))).await, Err(403), "{what}");
        assert_eq!(panel.set_password(&caller, "other", Some(PASSWORD), "203.0.113.9").await, Err(403), "{what}");
        assert_eq!(panel.set_password(&caller, "chief", Some(PASSWORD), "203.0.113.9").await, Err(403), "{what}");
    }
    // A session that was stolen lacks the password, and so does an unbounded token for its owner's.
    assert_eq!(panel.create(&session, admin("intruder", None)).await, Err(422));
    assert_eq!(panel.create(&session, admin("colleague", Some(PASSWORD))).await, Ok(()));
    assert_eq!(panel.set_password(&session, "other", None, "203.0.113.9").await, Err(422));
    assert_eq!(panel.set_password(&session, "other", Some(PASSWORD), "203.0.113.9").await, Ok(()));
    assert_eq!(panel.set_password(&free, "chief", None, "203.0.113.9").await, Err(422));
    assert_eq!(panel.create(&free, admin("third", None)).await, Ok(()));
    // Root on the machine has forgotten it.
    assert_eq!(panel.set_password(&free, "chief", None, "local").await, Ok(()));
}

#[tokio::test]
async fn sec_03_what_a_token_made_ends_with_it() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Admin).await;
    let (session, _) = panel.session("boss").await;
    let parent = panel.bearer(&session, wanted("parent")).await;
    let child = panel.token(&parent, wanted("child")).await.unwrap();
    let child_caller = panel.by_token(&child.secret, "203.0.113.9").await.unwrap();
    let grandchild = panel.token(&child_caller, wanted("grandchild")).await.unwrap();
    let beside = panel.bearer(&session, wanted("beside")).await;
    panel.engine.revoke_token(&session, None, parent.token_id.unwrap()).await.unwrap();
    assert_eq!(panel.by_token(&child.secret, "203.0.113.9").await.unwrap_err(), 401);
    assert_eq!(panel.by_token(&grandchild.secret, "203.0.113.9").await.unwrap_err(), 401);
    // And at the last moment it makes none.
    assert_eq!(panel.token(&parent, wanted("late")).await.err().unwrap().status, 401);
    let left = panel.engine.tokens(&session, None, 100, None).await.unwrap().items;
    assert_eq!(left.iter().map(|token| token.id).collect::<Vec<_>>(), [beside.token_id.unwrap()]);
}

#[tokio::test]
async fn sec_03_a_person_has_a_thousand_tokens_at_most() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Admin).await;
    let (session, _) = panel.session("boss").await;
    let first = panel.bearer(&session, wanted("first")).await;
    for n in 1..1_000 {
        panel.token(&first, wanted(&format!("t{n}"))).await.unwrap();
    }
    assert_eq!(panel.token(&first, wanted("one too many")).await.err().unwrap().status, 422);
}

#[tokio::test]
async fn sec_02_a_reset_ends_logins_that_are_under_way() {
    let panel = Panel::new().await;
    let id = panel.person("boss", Role::Admin).await;
    let (session, _) = panel.session("boss").await;
    // Both are let in before the reset and come to write after it.
    let after = password::hash("another long password".into()).await.unwrap();
    let engine = panel.engine.clone();
    let held = std::sync::Arc::new(std::sync::Barrier::new(2));
    let (waits, hash) = (held.clone(), after.clone());
    let reset = tokio::spawn(async move {
        engine
            .db()
            .write::<_, wcp360_store::StoreError, _>(move |tx| {
                // The one thread that writes is busy until the password was compared.
                waits.wait();
                tx.set_password(id, &hash)
            })
            .await
    });
    let login = async {
        let login = Login { username: "boss".into(), password: PASSWORD.into() };
        let attempt = Attempt { user_agent: "Firefox/128.0".into(), session: None };
        panel.engine.log_in(&from("203.0.113.9"), attempt, login).await.map_err(EngineError::into_problem)
    };
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
    };
    let (login, ()) = tokio::join!(login, release);
    reset.await.unwrap().unwrap();
    assert_eq!(login.unwrap_err().status, 401);
    let late = panel.token(&session, CreateToken { password: Some("another long password".into()), ..wanted("late") });
    assert_eq!(late.await.err().unwrap().status, 401);
}
