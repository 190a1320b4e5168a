//! Logins, sessions, tokens and JWTs on a real database, without an agent.

#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

mod panel;

use jiff::{SignedDuration, Timestamp};
use panel::{PASSWORD, Panel, from, networks, settings, wanted};
use wcp360_api::Permission;
use wcp360_engine::identity::Attempt;
use wcp360_engine::{Caller, Engine, EngineError};
use wcp360_store::{Db, StoreError};
use wcp360_types::Role;
use wcp360_types::api::session::{Audience, Login, LoginFailure, LoginFilter, MintJwt};
use wcp360_types::api::token::{CreateToken, RotateToken};

#[tokio::test]
async fn sec_02_a_jwt_ends_with_what_it_was_minted_from() {
    let panel = Panel::new().await;
    let id = panel.person("boss", Role::Admin).await;
    let (caller, _) = panel.session("boss").await;
    let jwt = panel.jwt(&caller, None);
    let known = panel.by_jwt(&jwt).await.unwrap();
    assert_eq!((known.via, known.user_id, known.session_id), ("jwt", id, caller.session_id));
    assert!(known.may(Permission::UsersManage) && known.session.is_none());
    // For WebSockets another one is needed.
    let elsewhere = panel.engine.by_jwt(&jwt, Audience::Ws, &from("local"), true).await;
    assert_eq!(elsewhere.unwrap_err().into_problem().status, 401);
    // It makes no other credentials.
    assert_eq!(panel.engine.mint_jwt(&known, &MintJwt::default()).err().unwrap().status, 403);

    // A smaller role at once.
    let sqlite = panel.dir.path().join("state.db");
    let demote = |role: &str| {
        let sql = format!("UPDATE users SET role = '{role}' WHERE username = 'boss'");
        let done = std::process::Command::new("sqlite3").args(["-cmd", ".timeout 5000"]).arg(&sqlite).arg(sql).status();
        assert!(done.unwrap().success());
    };
    demote("reseller");
    let demoted = panel.by_jwt(&jwt).await.unwrap();
    assert!(!demoted.may(Permission::UsersManage) && demoted.may(Permission::AccountsRead));
    demote("admin");

    let (other, _) = panel.session("boss").await;
    let others = panel.jwt(&other, None);
    panel.engine.revoke_session(&other, None, caller.session_id.unwrap()).await.unwrap();
    assert_eq!(panel.by_jwt(&jwt).await.unwrap_err(), 401, "its session was revoked");
    assert!(panel.by_jwt(&others).await.is_ok());
    panel.engine.log_out(&other).await.unwrap();
    assert_eq!(panel.by_jwt(&others).await.unwrap_err(), 401, "its session has ended");

    let (last, _) = panel.session("boss").await;
    let jwt = panel.jwt(&last, None);
    panel.write(move |tx| tx.delete_user(id)).await;
    assert_eq!(panel.by_jwt(&jwt).await.unwrap_err(), 401, "the person is gone");
}

#[tokio::test]
async fn sec_02_a_jwt_has_the_scopes_it_was_given_and_no_more() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Reseller).await;
    let (caller, _) = panel.session("boss").await;
    let narrow = panel.by_jwt(&panel.jwt(&caller, Some(&["jobs.read"]))).await.unwrap();
    assert!(narrow.may(Permission::JobsRead) && !narrow.may(Permission::AccountsRead));
    assert!(panel.by_jwt(&panel.jwt(&caller, Some(&[]))).await.unwrap().limited_to.unwrap().is_empty());
    for (scopes, seconds) in
        [(vec!["metrics.read"], None), (vec!["nothing"], None), (vec![], Some(29)), (vec![], Some(901))]
    {
        let request = MintJwt {
            scopes: Some(scopes.iter().map(|s| (*s).to_owned()).collect()),
            expires_in_seconds: seconds,
            ..MintJwt::default()
        };
        assert_eq!(panel.engine.mint_jwt(&caller, &request).err().unwrap().status, 422, "{scopes:?} {seconds:?}");
    }
    // From a limited token that ends soon and is used from one network.
    let request = CreateToken {
        password: Some(PASSWORD.into()),
        scopes: Some(vec!["jobs.read".into(), "self.manage".into()]),
        networks: networks(&["203.0.113.0/24"]),
        ..wanted("limited")
    };
    let made = panel.token(&caller, request).await.unwrap();
    let limited = panel.by_token(&made.secret, "203.0.113.9").await.unwrap();
    let jwt = panel.jwt(&limited, None);
    let by_jwt = panel.by_jwt(&jwt).await.unwrap();
    assert!(by_jwt.may(Permission::JobsRead) && !by_jwt.may(Permission::AccountsRead));
    assert_eq!(by_jwt.token_id, Some(made.token.id));
    let elsewhere = panel.engine.by_jwt(&jwt, Audience::Api, &from("198.51.100.1"), true).await;
    assert_eq!(elsewhere.unwrap_err().into_problem().status, 403);
    panel.engine.revoke_token(&caller, None, made.token.id).await.unwrap();
    assert_eq!(panel.by_jwt(&jwt).await.unwrap_err(), 401, "its token was revoked");
    // Of another installation.
    let other = Panel::new().await;
    other.person("boss", Role::Reseller).await;
    let (theirs, _) = other.session("boss").await;
    assert_eq!(panel.by_jwt(&other.jwt(&theirs, None)).await.unwrap_err(), 401);
}

#[tokio::test]
async fn sec_02_sessions_rotate_are_listed_and_revoked() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Admin).await;
    panel.person("other", Role::Reseller).await;
    let (_, first) = panel.session("boss").await;
    let attempt = Attempt { user_agent: "Firefox/129.0\r\nX".into(), session: Some(first.clone()) };
    let login = Login { username: "boss".into(), password: PASSWORD.into() };
    let (caller, second) = panel.engine.log_in(&from("203.0.113.9"), attempt, login).await.unwrap();
    assert_ne!(first, second);
    assert!(panel.engine.by_session(&first, true).await.is_err(), "the session that the browser held has ended");
    let (_, third) = panel.session("boss").await;
    let list = panel.engine.sessions(&caller, None, 10, None).await.unwrap().items;
    assert_eq!(list.iter().filter(|s| s.current).count(), 1);
    assert_eq!(
        (list.len(), list[0].user_agent.as_str(), list[0].source.as_str()),
        (2, "Firefox/129.0??X", "203.0.113.9")
    );
    panel.engine.revoke_sessions(&caller, None).await.unwrap();
    assert!(panel.engine.by_session(&third, true).await.is_err());
    assert!(panel.engine.by_session(&second, true).await.is_ok(), "the one that asked stays");

    // People below are reached, people above and beside are not there.
    let (reseller, theirs) = panel.session("other").await;
    let missing = panel.engine.sessions(&reseller, Some("nobody"), 10, None).await.unwrap_err().into_problem();
    let above = panel.engine.sessions(&reseller, Some("boss"), 10, None).await.unwrap_err().into_problem();
    assert_eq!((missing.status, above.status), (404, 404));
    assert_eq!(panel.engine.sessions(&caller, Some("other"), 10, None).await.unwrap().items.len(), 1);
    assert!(panel.engine.revoke_sessions(&reseller, Some("boss")).await.is_err());
    let id = caller.session_id.unwrap();
    assert!(panel.engine.revoke_session(&reseller, None, id).await.is_err(), "somebody else's, by its name");
    panel.engine.revoke_sessions(&caller, Some("other")).await.unwrap();
    assert!(panel.engine.by_session(&theirs, true).await.is_err());
}

#[tokio::test]
async fn sec_04_the_history_tells_failures_and_new_places_and_guessing_waits() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Admin).await;
    let (caller, _) = panel.session("boss").await;
    for n in 0..5 {
        assert_eq!(panel.log_in("198.51.100.1", "boss", "wrong").await.err().unwrap().status, 401, "{n}");
    }
    let locked = panel.log_in("198.51.100.1", "boss", PASSWORD).await.err().unwrap();
    assert_eq!((locked.status, locked.retry_after.is_some()), (429, true));
    assert!(panel.log_in("203.0.113.9", "boss", PASSWORD).await.is_ok(), "the person is not locked out");
    assert!(panel.log_in("2001:db8::1", "boss", PASSWORD).await.is_ok());
    // A name that does not exist waits just as well, and is in nobody's history.
    for _ in 0..5 {
        assert_eq!(panel.log_in("198.51.100.2", "nobody", "wrong").await.err().unwrap().status, 401);
    }
    assert_eq!(panel.log_in("198.51.100.2", "nobody", "wrong").await.err().unwrap().status, 429);

    let history = async || panel.engine.logins(&caller, None, LoginFilter::default(), 100, None).await.unwrap().items;
    // Failures are added without letting anybody wait for it.
    while history().await.len() < 8 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let all = history().await;
    assert_eq!(all.len(), 8);
    assert!(all[0].alert && all[0].new_address && !all[0].new_agent, "{:?}", all[0]);
    assert_eq!(all.iter().filter(|r| r.reason == Some(LoginFailure::Password)).count(), 5);
    let log = panel.security_log();
    assert_eq!(log.matches(" login-failed source=198.51.100.1 reason=password user=\"boss\"").count(), 5, "{log}");
    assert_eq!(log.matches(" locked-out source=198.51.100.1 ").count(), 1, "{log}");
    assert_eq!(log.matches(" new-place source=2001:db8::1 ").count(), 1, "{log}");
    panel.engine.audit().mirror().await.unwrap();
    let trail = std::fs::read_to_string(panel.dir.path().join("audit.json")).unwrap();
    assert!(trail.contains("session.lockout") && trail.contains("session.new-place"), "{trail}");
    for secret in [PASSWORD, "wrong"] {
        assert!(!log.contains(secret) && !trail.contains(secret));
    }
}

#[tokio::test]
async fn sec_02_a_weaker_hash_is_made_anew_at_login() {
    let panel = Panel::new().await;
    let id = panel.person("boss", Role::Admin).await;
    // Argon2id of "correct horse battery" with 8 MiB and one pass.
    let weak = {
        use argon2::password_hash::{PasswordHasher, SaltString};
        let salt = SaltString::encode_b64(b"sixteen bytes of").unwrap();
        let params = argon2::Params::new(8 * 1024, 1, 1, None).unwrap();
        let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        hasher.hash_password(PASSWORD.as_bytes(), &salt).unwrap().to_string()
    };
    panel.write(move |tx| tx.set_password(id, &weak)).await;
    let (_, before) = panel.session("boss").await;
    let hash = panel.engine.db().read::<_, StoreError, _>(move |tx| tx.user(id)).await.unwrap().unwrap().password_hash;
    assert!(hash.unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    panel.session("boss").await;
    assert!(panel.engine.by_session(&before, true).await.is_ok(), "sessions go on");
}

#[tokio::test]
async fn sec_03_tokens_are_bound_counted_and_rotated_and_none_makes_a_wider_one() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Admin).await;
    let (session, _) = panel.session("boss").await;
    assert_eq!(panel.token(&session, wanted("x")).await.err().unwrap().status, 422, "not without the password");
    let with = |request: CreateToken| CreateToken { password: Some(PASSWORD.into()), ..request };
    let bound = CreateToken { networks: networks(&["203.0.113.0/24", "2001:db8::/32"]), ..wanted("bound") };
    let bound = panel.token(&session, with(CreateToken { expires_in_days: Some(2), ..bound })).await.unwrap();
    for (source, allowed) in [
        ("203.0.113.9", true),
        ("::ffff:203.0.113.9", true),
        ("2001:db8:ffff::1", true),
        ("203.0.114.9", false),
        ("2001:db9::1", false),
        ("local", false),
        ("unknown", false),
    ] {
        let answer = panel.by_token(&bound.secret, source).await;
        assert_eq!(answer.map(|_| ()), if allowed { Ok(()) } else { Err(403) }, "{source}");
    }
    assert!(panel.security_log().contains("token-failed source=203.0.114.9 reason=address user=\"boss\""));

    // What it makes is bound as it is.
    let caller = panel.by_token(&bound.secret, "203.0.113.9").await.unwrap();
    let child = panel.token(&caller, wanted("child")).await.unwrap().token;
    assert_eq!((child.networks, child.expires_at), (bound.token.networks.clone(), bound.token.expires_at));
    let smaller = CreateToken { networks: networks(&["203.0.113.128/25"]), ..wanted("smaller") };
    assert!(panel.token(&caller, smaller).await.is_ok());
    for wider in [networks(&["203.0.112.0/23"]), networks(&["203.0.113.9", "198.51.100.1"]), Some(vec![])] {
        assert_eq!(
            panel.token(&caller, CreateToken { networks: wider, ..wanted("w") }).await.err().unwrap().status,
            422
        );
    }
    let longer = panel.token(&caller, CreateToken { expires_in_days: Some(30), ..wanted("longer") }).await.unwrap();
    assert_eq!(longer.token.expires_at, bound.token.expires_at);

    // It does not get the secret of a wider one; of itself it does.
    let free = panel.token(&session, with(wanted("free"))).await.unwrap();
    let rotate = async |caller: &Caller, id, password: Option<&str>| {
        let request = RotateToken { password: password.map(str::to_owned) };
        panel.engine.rotate_token(&from("local"), caller, id, request).await.map_err(|e| e.into_problem().status)
    };
    assert_eq!(rotate(&caller, free.token.id, None).await.err(), Some(403));
    assert_eq!(rotate(&session, free.token.id, None).await.err(), Some(422), "not without the password");
    let renewed = rotate(&caller, bound.token.id, None).await.unwrap();
    assert_eq!((renewed.token.id, renewed.token.expires_at), (bound.token.id, bound.token.expires_at));
    assert!(renewed.token.rotated_at.is_some() && renewed.secret != bound.secret);
    assert_eq!(panel.by_token(&bound.secret, "203.0.113.9").await.unwrap_err(), 401, "the old secret");
    assert!(panel.by_token(&renewed.secret, "203.0.113.9").await.is_ok());

    // Uses are counted, the first at once and the rest at the end.
    let (stop, stopping) = tokio::sync::watch::channel(true);
    panel.engine.keep_identities(stopping).await;
    drop(stop);
    let listed = panel.engine.tokens(&session, None, 100, None).await.unwrap().items;
    let token = listed.iter().find(|token| token.id == bound.token.id).unwrap();
    assert_eq!((token.uses, token.last_used_from.as_deref()), (5, Some("203.0.113.9")));
    assert!(token.last_used_at.unwrap() > Timestamp::now() - SignedDuration::from_mins(1));
}

#[tokio::test]
async fn sec_10_keys_rotate_under_way_and_lost_keys_stop_the_start() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Admin).await;
    let (caller, _) = panel.session("boss").await;
    let before = panel.jwt(&caller, None);
    let status = panel.engine.rotate_secrets().await.unwrap();
    assert_eq!(status.keys.len(), 2);
    assert_eq!(panel.by_jwt(&before).await.unwrap_err(), 401, "the signing key is another one");
    assert!(panel.by_jwt(&panel.jwt(&caller, None)).await.is_ok());
    // Another process on the same state finds both keys.
    let db = Db::open_sqlite(&panel.dir.path().join("state.db")).await.unwrap();
    let again = Engine::new(db, settings(panel.dir.path())).await.unwrap();
    let jwt = panel.jwt(&caller, None);
    assert!(again.by_jwt(&jwt, Audience::Api, &from("local"), true).await.is_ok());
    assert_eq!(again.secrets().await.unwrap().current, status.current);

    std::fs::remove_file(panel.dir.path().join("secrets.key")).unwrap();
    let db = Db::open_sqlite(&panel.dir.path().join("state.db")).await.unwrap();
    let refused = Engine::new(db.clone(), settings(panel.dir.path())).await.unwrap_err();
    assert!(matches!(refused, EngineError::KeysLost { values: 1, .. }) && refused.to_string().contains("backup"));
    assert!(!panel.dir.path().join("secrets.key").exists(), "no new keys over lost ones");
    assert_eq!(db.write::<_, StoreError, _>(|tx| tx.forget_sealed()).await.unwrap(), 1);
    assert!(Engine::new(db, settings(panel.dir.path())).await.is_ok());
}

#[tokio::test]
async fn sec_04_limits_follow_the_caller() {
    let panel = Panel::new().await;
    panel.person("boss", Role::Reseller).await;
    let (caller, _) = panel.session("boss").await;
    assert_eq!(panel.engine.admit_address("local"), None, "the machine itself");
    assert_eq!(panel.engine.admit_address("127.0.0.1"), None);
    let quota = panel.engine.admit_address("203.0.113.9").unwrap();
    assert_eq!((quota.name, quota.remaining), ("address", quota.limit - 1));
    let logins = (0..100).filter(|_| panel.engine.admit_login("203.0.113.9").wait.is_some()).count();
    assert!((60..=80).contains(&logins), "{logins} of 100 attempts are refused");
    let away = panel.engine.admit_caller(&caller, "203.0.113.9").await.unwrap();
    let home = panel.engine.admit_caller(&caller, "local").await.unwrap();
    assert!(away.len() == 1 && home[0].limit == away[0].limit, "a tenant's processes are on the machine too");
    panel.person("chief", Role::Admin).await;
    let (chief, _) = panel.session("chief").await;
    let away = panel.engine.admit_caller(&chief, "203.0.113.9").await.unwrap();
    let home = panel.engine.admit_caller(&chief, "local").await.unwrap();
    assert!(home[0].limit > away[0].limit, "administrators' scripts are fast");
    let logins = (0..200).filter(|_| panel.engine.admit_login("local").wait.is_some()).count();
    assert!((60..=100).contains(&logins), "{logins} of 200 attempts on the machine are refused");
    let made = panel.token(&caller, CreateToken { password: Some(PASSWORD.into()), ..wanted("t") }).await.unwrap();
    let by_token = panel.by_token(&made.secret, "203.0.113.9").await.unwrap();
    let quotas = panel.engine.admit_caller(&by_token, "203.0.113.9").await.unwrap();
    assert_eq!(quotas.iter().map(|q| q.name).collect::<Vec<_>>(), ["account", "token"]);
    assert!(quotas[1].limit < quotas[0].limit);
}
