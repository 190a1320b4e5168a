//! The people and objects that the matrix is tried with. Made once per run, under names of their own.

use crate::http::{Credential, browse, call};
use crate::object::{Kind, Names, Relation, fill};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The people and objects.
#[derive(Debug)]
pub(crate) struct World {
    /// Part of all names: a host can be used by several runs.
    pub(crate) tag: String,
    /// Client, reseller, admin, root.
    pub(crate) tokens: [Credential; 4],
    /// The same people's sessions, as far as they were needed.
    pub(crate) sessions: Mutex<[Option<Credential>; 4]>,
    /// Root's tokens with scopes.
    pub(crate) scoped: Vec<(Vec<&'static str>, Credential)>,
    /// Credentials that are none (any more), with what is wrong with them.
    pub(crate) strangers: Vec<(String, Credential)>,
    /// Those of a suspended account's owner.
    pub(crate) suspended: Vec<(String, Credential)>,
    pub(crate) root_name: String,
    pub(crate) root_password: String,
    /// Jobs that created own, sibling, foreign.
    pub(crate) jobs: [String; 3],
    /// Jobs that added a domain to own, sibling, foreign.
    pub(crate) changes: [String; 3],
    /// Changes of own, sibling, foreign in the far future.
    pub(crate) schedules: [String; 3],
    /// Changes of many accounts, by owners of own, sibling, foreign.
    pub(crate) bulks: [String; 3],
    /// Ids of tokens: of the four roles, and of sibling's and foreign's owners.
    pub(crate) spare_tokens: [String; 6],
    /// Ids of sessions of the same people.
    pub(crate) spare_sessions: [String; 6],
    pub(crate) fresh: AtomicUsize,
    pub(crate) busy: Mutex<()>,
}

impl World {
    /// The world.
    pub(crate) fn get() -> &'static World {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(World::make)
    }

    /// Held by a test while nobody else may change anything.
    pub(crate) fn quiet(&self) -> MutexGuard<'_, ()> {
        // A test that failed says so itself.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of a relation; for what is missing a name of the same length.
    pub(crate) fn account(&self, relation: Relation) -> String {
        format!("m{}{}", self.tag, ["own", "sib", "far", "nil"][relation as usize])
    }

    pub(crate) fn halted(&self, relation: Relation) -> String {
        format!("m{}{}", self.tag, ["hon", "hsi", "hfa", "hni"][relation as usize])
    }

    /// A person of the panel itself: `sel`, `riv`, `adm`, `ad2`; others are missing.
    pub(crate) fn person(&self, who: &str) -> String {
        format!("m{}-{who}", self.tag)
    }

    /// The login of a role.
    pub(crate) fn login(&self, role: usize) -> String {
        match role {
            0 => self.account(Relation::Own),
            1 => self.person("sel"),
            2 => self.person("adm"),
            _ => self.root_name.clone(),
        }
    }

    /// Whether an entry of the audit trail is about what the holder of a role did, or for a reseller one of its clients.
    pub(crate) fn is_own_actor(&self, role: usize, actor: &Value) -> bool {
        let clients = [Relation::Own, Relation::Sibling].map(|relation| self.account(relation));
        *actor == self.login(role).as_str() || (role == 1 && clients.iter().any(|client| *actor == client.as_str()))
    }

    /// The password of a login that this world made, or of root.
    pub(crate) fn password(&self, login: &str) -> String {
        if login == self.root_name { self.root_password.clone() } else { format!("the password of {login}") }
    }

    /// A name that was not used before.
    pub(crate) fn fresh(&self) -> String {
        format!("f{}{:04}", self.tag, self.fresh.fetch_add(1, Ordering::Relaxed))
    }

    /// The names of an object for a caller with a role.
    pub(crate) fn names(&self, kind: Kind, relation: Relation, role: usize) -> Names {
        let index = relation as usize;
        let missing_id = "019f0000-0000-7000-8000-000000000000".to_owned();
        match kind {
            Kind::Nothing | Kind::ListOf(..) => Vec::new(),
            Kind::Account => vec![("account", self.account(relation))],
            Kind::Suspended => vec![("account", self.halted(relation))],
            Kind::Login => vec![("user", self.account(relation))],
            Kind::Reseller => vec![("user", self.person(["sel", "sel", "riv", "nil"][index]))],
            Kind::Package => vec![("package", format!("m{}-{}", self.tag, ["pko", "pks", "pkf", "pkn"][index]))],
            Kind::Job => vec![("job", self.jobs.get(index).cloned().unwrap_or(missing_id))],
            Kind::Change => vec![("job", self.changes.get(index).cloned().unwrap_or(missing_id))],
            Kind::Bulk => vec![("bulk", self.bulks.get(index).cloned().unwrap_or(missing_id))],
            Kind::Schedule => vec![("schedule", self.schedules.get(index).cloned().unwrap_or(missing_id))],
            Kind::Token => {
                let index = [role, 4, 5, 6][index];
                vec![("token", self.spare_tokens.get(index).cloned().unwrap_or(missing_id))]
            }
            Kind::Session => {
                let index = [role, 4, 5, 6][index];
                vec![("session", self.spare_sessions.get(index).cloned().unwrap_or(missing_id))]
            }
            Kind::LoginSession | Kind::LoginToken => {
                let (user, thing) = halves(relation);
                let (name, ids) = match kind {
                    Kind::LoginSession => ("session", &self.spare_sessions),
                    _ => ("token", &self.spare_tokens),
                };
                let id = ids.get([0, 4, 5, 6][thing as usize]).cloned().unwrap_or(missing_id);
                vec![("user", self.account(user)), (name, id)]
            }
            Kind::Domain => {
                let (account, domain) = halves(relation);
                vec![("account", self.account(account)), ("domain", format!("sub.{}.test", self.account(domain)))]
            }
        }
    }

    /// Waits for a change of many accounts to be over, and gives it.
    pub(crate) fn bulk_done(&self, id: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let bulk = must(&self.tokens[3], "GET", &format!("/bulk/{id}"), &Value::Null, 200);
            if bulk["state"] != "running" {
                return bulk;
            }
            assert!(Instant::now() < until, "it does not end: {bulk}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Adds a new domain to the account of a relation; the job.
    pub(crate) fn add_domain(&self, relation: Relation) -> String {
        let account = self.account(relation);
        let body = json!({"domain": format!("{}.{account}.test", self.fresh())});
        let job = must(&self.tokens[3], "POST", &format!("/accounts/{account}/domains"), &body, 202);
        self.settle();
        job_of(&job)
    }

    /// Schedules a change of the account of a relation; its id.
    pub(crate) fn schedule(&self, relation: Relation) -> String {
        let rule = crate::policy::find("schedules.create");
        let body = fill(rule.body, &vec![("own", self.account(relation))], &self.fresh());
        let body = serde_json::from_str(&body).expect("the policy's bodies are JSON");
        must(&self.tokens[3], "POST", "/schedules", &body, 201)["id"].as_str().expect("an id").to_owned()
    }

    /// A session of a role that is not over.
    pub(crate) fn session(&self, role: usize) -> Credential {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &sessions[role]
            && call(known, "GET", "/session", "").status == 200
        {
            return known.clone();
        }
        let login = self.login(role);
        let session = log_in(&login, &self.password(&login));
        sessions[role] = Some(session.clone());
        session
    }

    /// Waits until no job is waiting or being worked on.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        for state in ["queued", "running", "waiting"] {
            while !call(&self.tokens[3], "GET", &format!("/jobs?limit=1&state={state}"), "").json()["items"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                assert!(Instant::now() < until, "jobs don't end");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// A token of somebody, made as people do: by logging in and giving the password again; and its id.
    pub(crate) fn token_of(&self, login: &str) -> (Credential, String) {
        let session = log_in(login, &self.password(login));
        let body = json!({"name": "test", "password": self.password(login)});
        let made = browse(&session, "POST", "/tokens", &body.to_string(), "");
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        must(&session, "DELETE", "/session", &Value::Null, 204);
        (secret_of(&made), made["id"].as_str().expect("an id").to_owned())
    }
}

/// What the two names of a path are related to.
fn halves(relation: Relation) -> (Relation, Relation) {
    match relation {
        Relation::Crossed => (Relation::Own, Relation::Foreign),
        Relation::CrossedMissing => (Relation::Own, Relation::Missing),
        other => (other, other),
    }
}

/// The id of a session.
pub(crate) fn id_of_session(session: &Credential) -> String {
    let sessions = must(session, "GET", "/sessions?limit=1000", &Value::Null, 200);
    let own = sessions["items"].as_array().into_iter().flatten().find(|item| item["current"] == true);
    own.and_then(|item| item["id"].as_str()).expect("one is the own one").to_owned()
}

/// The token in an answer that shows it once.
pub(crate) fn secret_of(made: &Value) -> Credential {
    Credential::Token(made["secret"].as_str().expect("a secret").to_owned())
}

/// The id of the job in an answer.
pub(crate) fn job_of(answer: &Value) -> String {
    answer["id"].as_str().expect("a job").to_owned()
}

/// Begins a session.
pub(crate) fn log_in(login: &str, password: &str) -> Credential {
    let body = json!({"username": login, "password": password}).to_string();
    let answer = browse(&Credential::Nothing, "POST", "/session", &body, "");
    assert_eq!(answer.status, 200, "{login}: {answer:?}");
    Credential::Session(answer.session().expect("a session cookie"))
}

/// A call that has to succeed for the world to be there.
pub(crate) fn must(who: &Credential, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = call(who, method, path, &body);
    assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
    answer.json()
}
