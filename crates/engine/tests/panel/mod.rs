//! A panel without an agent, and people who log in to it.

use jiff::Timestamp;
use std::path::Path;
use wcp360_engine::audit::AuditFiles;
use wcp360_engine::identity::Attempt;
use wcp360_engine::{Caller, Engine, EngineError, Origin, Settings, password};
use wcp360_store::users::StoredUser;
use wcp360_store::{Db, StoreError, Tx};
use wcp360_types::api::session::{Audience, Login, MintJwt};
use wcp360_types::api::token::{CreateToken, CreatedToken};
use wcp360_types::{Network, Problem, Role, UserId};

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Panel {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) engine: Engine,
}

pub(crate) fn settings(dir: &Path) -> Settings {
    Settings {
        hostname: "panel.test".into(),
        http_port: 80,
        agent_socket: dir.join("no-agent.sock"),
        audit: AuditFiles {
            mirror: dir.join("audit.json"),
            position: dir.join("audit.position"),
            key: dir.join("audit.key"),
        },
        security_file: dir.join("security.log"),
        secrets_file: dir.join("secrets.key"),
        setup_token_file: dir.join("setup.token"),
        drift: Default::default(),
        keep_jobs_days: 90,
        workers: 1,
    }
}

impl Panel {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&dir.path().join("state.db")).await.unwrap();
        let engine = Engine::new(db, settings(dir.path())).await.unwrap();
        Self { dir, engine }
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.engine.db().write(work).await.unwrap()
    }

    pub(crate) async fn person(&self, name: &str, role: Role) -> UserId {
        let user = StoredUser {
            id: UserId::new(),
            username: name.into(),
            role,
            account_id: None,
            suspended: false,
            password_hash: Some(password::hash(PASSWORD.into()).await.unwrap()),
            max_accounts: None,
        };
        let id = user.id;
        self.write(move |tx| tx.insert_user(&user, Timestamp::now())).await;
        id
    }

    pub(crate) async fn log_in(&self, source: &str, name: &str, password: &str) -> Result<(Caller, String), Problem> {
        let login = Login { username: name.into(), password: password.into() };
        let attempt = Attempt { user_agent: "Firefox/128.0".into(), session: None };
        self.engine.log_in(&from(source), attempt, login).await.map_err(EngineError::into_problem)
    }

    pub(crate) async fn session(&self, name: &str) -> (Caller, String) {
        self.log_in("203.0.113.9", name, PASSWORD).await.unwrap()
    }

    pub(crate) async fn token(&self, caller: &Caller, request: CreateToken) -> Result<CreatedToken, Problem> {
        self.engine.create_token(&from("local"), caller, request).await.map_err(EngineError::into_problem)
    }

    pub(crate) async fn by_token(&self, text: &str, source: &str) -> Result<Caller, u16> {
        self.engine.by_token(text, &from(source), true).await.map_err(|error| error.into_problem().status)
    }

    pub(crate) async fn by_jwt(&self, text: &str) -> Result<Caller, u16> {
        let verified = self.engine.by_jwt(text, Audience::Api, &from("203.0.113.9"), true).await;
        verified.map_err(|error| error.into_problem().status)
    }

    pub(crate) fn jwt(&self, caller: &Caller, scopes: Option<&[&str]>) -> String {
        let scopes = scopes.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        self.engine.mint_jwt(caller, &MintJwt { scopes, ..MintJwt::default() }).unwrap().secret
    }

    pub(crate) fn security_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("security.log")).unwrap_or_default()
    }
}

pub(crate) fn from(source: &str) -> Origin {
    Origin { source: source.into(), request_id: "r".into() }
}

pub(crate) fn wanted(name: &str) -> CreateToken {
    CreateToken { name: name.into(), password: None, expires_in_days: None, scopes: None, networks: None }
}

pub(crate) fn networks(list: &[&str]) -> Option<Vec<Network>> {
    Some(list.iter().map(|text| Network::parse(text).unwrap()).collect())
}
