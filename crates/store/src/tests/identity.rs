//! Sessions, logins, tokens and sealed values.

use super::{account, on_every_database, read, user, write};
use crate::logins::{NewLogin, Place};
use crate::sealed::SECRETS;
use crate::sessions::NewSession;
use crate::users::StoredUser;
use jiff::{SignedDuration, Timestamp};
use wcp360_types::api::session::{LoginFailure, LoginFilter, LoginOutcome};
use wcp360_types::api::token::Token;
use wcp360_types::{AccountId, JobId, Network, Role, SessionId, TokenId, UserId};

fn session(user: UserId, secret: &str, now: Timestamp) -> NewSession {
    NewSession {
        id: SessionId::new(),
        secret_hash: secret.into(),
        user,
        source: "203.0.113.9".into(),
        user_agent: "Firefox".into(),
        expires_at: now + SignedDuration::from_hours(8),
    }
}

#[tokio::test]
async fn sec_02_sessions_are_listed_and_ended_one_by_one_and_all() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let (one, two) = (user("one", Role::Admin), user("two", Role::Admin));
        let sessions: Vec<NewSession> = ["a", "b", "c", "d"].map(|secret| session(one.id, secret, now)).into();
        let other = session(two.id, "other", now);
        let (first, ids) = (sessions.clone(), sessions.iter().map(|s| s.id).collect::<Vec<_>>());
        let (one_id, two_id) = (one.id, two.id);
        write(&db, move |tx| {
            tx.insert_user(&one, now)?;
            tx.insert_user(&two, now)?;
            for new in first.iter().chain([&other]) {
                tx.insert_session(new, now)?;
            }
            Ok(())
        })
        .await;
        let since = now - SignedDuration::from_mins(15);
        let page = read(&db, move |tx| tx.sessions(one_id, now, since, 3, None)).await;
        assert_eq!(page.items.len(), 3);
        let cursor = page.next_cursor.clone();
        let rest = read(&db, move |tx| tx.sessions(one_id, now, since, 3, cursor.as_deref())).await;
        assert_eq!((rest.items.len(), rest.next_cursor), (1, None));
        assert_eq!(read(&db, move |tx| tx.sessions(one_id, now, now, 9, None)).await.items.len(), 0, "idle ones");
        // By its public name, and only the person's own.
        let id = ids[0];
        assert_eq!(read(&db, move |tx| tx.session_by_id(id)).await.unwrap().secret_hash, "a");
        assert!(!write(&db, move |tx| tx.delete_session_of(two_id, id)).await);
        assert!(write(&db, move |tx| tx.delete_session_of(one_id, id)).await);
        assert!(read(&db, move |tx| tx.session("a")).await.is_none());
        // Those that were used last stay.
        let later = now + SignedDuration::from_secs(60);
        write(&db, move |tx| tx.touch_session("c", later)).await;
        write(&db, move |tx| tx.keep_sessions(one_id, 2)).await;
        assert!(read(&db, move |tx| tx.session("b")).await.is_none());
        assert_eq!(write(&db, move |tx| tx.delete_sessions_but(one_id, Some("c"))).await, 1);
        assert!(read(&db, move |tx| tx.session("c")).await.is_some());
        assert!(read(&db, move |tx| tx.session("other")).await.is_some(), "another person's");
        let end = now + SignedDuration::from_hours(9);
        write(&db, move |tx| tx.purge_sessions(end)).await;
        assert!(read(&db, move |tx| tx.session("c")).await.is_none());
    })
    .await;
}

fn from(network: &str, agent: &str) -> Place {
    let user_agent = format!("{agent}/1.0");
    Place { source: network.into(), network: network.into(), user_agent, agent: agent.into() }
}

#[tokio::test]
async fn sec_04_a_login_from_a_new_place_is_told() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let person = user("one", Role::Admin);
        let id = person.id;
        write(&db, move |tx| tx.insert_user(&person, now)).await;
        let log_in = async |place: Place, failure: Option<LoginFailure>| {
            write(&db, move |tx| tx.insert_login(&NewLogin { user: id, place, failure }, now)).await
        };
        let failed = log_in(from("192.0.2.1", "Evil"), Some(LoginFailure::Password)).await;
        assert!(!failed.alert);
        let first = log_in(from("192.0.2.7", "Firefox"), None).await;
        assert!(!first.alert && first.new_address && first.new_agent, "the first one is nothing to look at");
        assert!(!log_in(from("192.0.2.7", "Firefox"), None).await.alert);
        // A failure teaches no place: who guesses does not become known by guessing.
        let evil = log_in(from("192.0.2.1", "Firefox"), None).await;
        assert!(evil.alert && evil.new_address && !evil.new_agent);
        assert!(log_in(from("192.0.2.7", "Chrome"), None).await.alert);
        let all = read(&db, move |tx| tx.logins(id, &LoginFilter::default(), 100, None)).await;
        assert_eq!(all.items.len(), 5);
        assert_eq!((all.items[4].outcome, all.items[4].reason), (LoginOutcome::Failure, Some(LoginFailure::Password)));
        assert_eq!(all.items[0].username, "one");
        let alerts = LoginFilter { alert: Some(true) };
        assert_eq!(read(&db, move |tx| tx.logins(id, &alerts, 100, None)).await.items.len(), 2);
        let page = read(&db, move |tx| tx.logins(id, &LoginFilter::default(), 3, None)).await;
        let rest = read(&db, move |tx| tx.logins(id, &LoginFilter::default(), 3, page.next_cursor.as_deref())).await;
        assert_eq!(rest.items, all.items[3..]);
        assert_eq!(write(&db, move |tx| tx.purge_logins(now + SignedDuration::from_secs(1))).await, 5);
    })
    .await;
}

#[tokio::test]
async fn sec_02_the_history_is_bounded_and_failures_push_out_no_success() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let person = user("one", Role::Admin);
        let id = person.id;
        write(&db, move |tx| {
            tx.insert_user(&person, now)?;
            tx.insert_login(&NewLogin { user: id, place: from("192.0.2.7", "Firefox"), failure: None }, now)?;
            for n in 0..260 {
                let place = from(&format!("198.51.100.{n}"), "Evil");
                tx.insert_login(&NewLogin { user: id, place, failure: Some(LoginFailure::Password) }, now)?;
            }
            Ok(())
        })
        .await;
        let all = read(&db, move |tx| tx.logins(id, &LoginFilter::default(), 1000, None)).await.items;
        assert_eq!(all.len(), 201);
        assert_eq!(all.last().unwrap().outcome, LoginOutcome::Success);
        assert!(read(&db, move |tx| tx.known_place(id, &from("192.0.2.7", "x"))).await.network);
    })
    .await;
}

#[tokio::test]
async fn sec_03_tokens_keep_networks_uses_and_a_new_secret() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let person = user("one", Role::Admin);
        let (owner, id) = (person.id, TokenId::new());
        let networks = vec![Network::parse("::ffff:203.0.113.9").unwrap(), Network::parse("2001:db8::/32").unwrap()];
        let token = Token {
            id,
            name: "billing".into(),
            owner: "one".into(),
            scopes: Some(vec!["accounts.read".into()]),
            networks: Some(networks.clone()),
            created_at: now,
            rotated_at: None,
            expires_at: None,
            last_used_at: None,
            last_used_from: None,
            uses: 0,
        };
        write(&db, move |tx| {
            tx.insert_user(&person, now)?;
            tx.insert_token(&token, owner, "hash", None)?;
            tx.count_token_uses(id, 7, "203.0.113.9", now)?;
            tx.count_token_uses(id, 3, "203.0.113.9", now)
        })
        .await;
        let shown = read(&db, move |tx| tx.token_of(owner, id)).await.unwrap();
        assert_eq!((shown.uses, shown.last_used_from.as_deref()), (10, Some("203.0.113.9")));
        assert_eq!(shown.networks, Some(networks));
        assert!(!write(&db, move |tx| tx.rotate_token(UserId::new(), id, "new", now)).await, "somebody else's");
        assert!(write(&db, move |tx| tx.rotate_token(owner, id, "new", now)).await);
        let stored = read(&db, move |tx| tx.token(id)).await.unwrap();
        assert_eq!(stored.secret_hash, "new");
        assert!(read(&db, move |tx| tx.token_of(UserId::new(), id)).await.is_none());
        assert_eq!(read(&db, move |tx| tx.tokens(owner, 10, None)).await.items.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn sec_10_sealed_values_are_counted_and_replaced_unless_they_moved() {
    on_every_database(async |db| {
        let now = Timestamp::now();
        let value = |key: char, rest: &str| format!("w1.{}.{rest}", key.to_string().repeat(16));
        let (a1, a2, b1) = (value('a', "one"), value('a', "two"), value('b', "one"));
        let (first, second, next) = (a1.clone(), a2.clone(), b1.clone());
        write(&db, move |tx| {
            tx.set_secret("one", &first, now)?;
            assert_eq!(tx.set_secret_once("one", "w1.x", now)?, first, "the first one stays");
            tx.set_secret_once("two", &second, now)
        })
        .await;
        let counts = read(&db, |tx| tx.sealed_counts()).await;
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("a".repeat(16), 2)]);
        let b = "b".repeat(16);
        let key = b.clone();
        let old = read(&db, move |tx| tx.sealed_with_others(SECRETS, &key, "", 10)).await;
        assert_eq!(old, [("one".to_owned(), a1.clone()), ("two".to_owned(), a2.clone())]);
        let key = b.clone();
        assert_eq!(read(&db, move |tx| tx.sealed_with_others(SECRETS, &key, "one", 10)).await.len(), 1);
        let (before, after) = (a1.clone(), next.clone());
        assert!(write(&db, move |tx| tx.replace_sealed(SECRETS, "one", &before, &after)).await);
        assert!(!write(&db, move |tx| tx.replace_sealed(SECRETS, "one", &a1, &a2)).await, "it has moved");
        assert_eq!(read(&db, |tx| tx.secret("one")).await, Some(next));
        assert_eq!(write(&db, |tx| tx.forget_sealed()).await, 2);
        assert!(read(&db, |tx| tx.sealed_counts()).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eng_05_a_clients_login_without_an_account_finds_the_one_of_its_name() {
    on_every_database(async |db| {
        let there = account("there", UserId::new());
        let (lost, new, taken) = (AccountId::new(), AccountId::new(), there.id);
        write(&db, move |tx| {
            tx.reserve_account(&there, JobId::new(), Timestamp::now())?;
            let client = |name: &str, id| StoredUser { account_id: Some(id), ..user(name, Role::Client) };
            tx.insert_user(&client("lost", lost), Timestamp::now())?;
            tx.insert_user(&client("there", taken), Timestamp::now())?;
            tx.insert_user(&user("reseller", Role::Reseller), Timestamp::now())?;
            assert!(tx.relink_client("lost", new)?);
            // One that has its account keeps it, and nobody else becomes a client.
            assert!(!tx.relink_client("there", new)? && !tx.relink_client("reseller", new)?);
            assert_eq!(tx.user_by_name("lost")?.and_then(|user| user.account_id), Some(new));
            assert_eq!(tx.user_by_name("there")?.and_then(|user| user.account_id), Some(taken));
            Ok(())
        })
        .await;
    })
    .await;
}
