//! First boot: who the first administrator is (PLT-04).

use crate::caller::Origin;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::file::write_whole;
use crate::identity::check_login_name;
use crate::secret::{self, ApiToken};
use crate::security_log::Event;
use crate::{password, service};
use jiff::Timestamp;
use wcp360_agent_proto::VerifyRoot;
use wcp360_store::settings::{INITIALIZED, SETUP_TOKEN_HASH};
use wcp360_store::users::StoredUser;
use wcp360_types::api::setup::{Setup, SetupDone};
use wcp360_types::api::token::Token;
use wcp360_types::{Problem, Role, UserId};

impl Engine {
    /// Whether the first administrator exists, by the database or by the agent's seal.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_initialized(&self) -> Result<bool, EngineError> {
        if self.inner.db.read(|tx| tx.setting(INITIALIZED)).await?.is_some() {
            return Ok(true);
        }
        Ok(self.inner.agent.node().await.is_ok_and(|node| node.system_initialized))
    }

    /// Puts a one-time setup token where the administrator finds it, while there is no administrator; closes the agent's
    /// bootstrap where a crash left it open.
    ///
    /// # Errors
    /// The database's, or the file can't be written.
    pub async fn prepare_setup(&self) -> Result<(), EngineError> {
        let file = &self.inner.settings.setup_token_file;
        if self.inner.db.read(|tx| tx.setting(INITIALIZED)).await?.is_some() {
            let _ = std::fs::remove_file(file);
            if self.inner.agent.node().await.is_ok_and(|node| !node.system_initialized) {
                self.inner.agent.seal_bootstrap().await?;
            }
            return Ok(());
        }
        if self.inner.agent.node().await.is_ok_and(|node| node.system_initialized) {
            tracing::error!(
                "the database knows no administrator, but this panel was set up before: put the right database back, or, if it \
                 is gone for good, run as root: /opt/wcp360/current/bin/wcp360-agent reopen-setup"
            );
        }
        let known = self.inner.db.read(|tx| tx.setting(SETUP_TOKEN_HASH)).await?;
        let written = std::fs::read_to_string(file).ok();
        if known.is_some() && known == written.map(|text| secret::hash(text.trim())) {
            return Ok(());
        }
        let token = secret::random_hex(24);
        write_whole(file, &format!("{token}\n"), 0o600).map_err(|error| {
            tracing::error!(%error, path = %file.display(), "the setup token can't be written");
            Problem::internal()
        })?;
        Ok(self.inner.db.write(move |tx| tx.set_setting(SETUP_TOKEN_HASH, &secret::hash(&token))).await?)
    }

    /// Creates the first administrator, once.
    ///
    /// # Errors
    /// 409 afterwards; 403 if neither token nor root's password is right.
    pub async fn set_up(&self, origin: &Origin, request: Setup) -> Result<SetupDone, EngineError> {
        let closed = || Problem::conflict("The panel has been set up; setup is closed. Log in as an administrator.");
        if self.is_initialized().await? {
            return Err(closed().into());
        }
        check_login_name("username", &request.username)?;
        password::check("password", &request.password, &request.username)?;
        let now = Timestamp::now();
        let source = origin.source.as_str();
        self.refuse_if_locked(source, "setup", false, now)?;
        let proven = match (&request.setup_token, &request.root_password) {
            (Some(token), None) => {
                let known = self.inner.db.read(|tx| tx.setting(SETUP_TOKEN_HASH)).await?.unwrap_or_default();
                secret::equal(&known, &secret::hash(token.trim()))
            }
            (None, Some(password)) => {
                self.inner.agent.verify_root(&VerifyRoot { password: password.clone() }).await?.ok
            }
            _ => {
                let message = "give either the setup token or the password of the machine's root user";
                return Err(Problem::invalid("setup_token", message).into());
            }
        };
        if !proven {
            self.inner.security_log.note(Event::SetupFailed, source, "proof", "setup", &origin.request_id);
            self.note_failure(origin, "setup", now).await;
            let detail = "That is not the token in setup.token, or not root's password. Check it and try again.";
            return Err(Problem::forbidden(detail).into());
        }
        let api_token = match &request.api_token {
            None => ApiToken::generate(),
            Some(text) => ApiToken::parse(text)
                .ok_or_else(|| Problem::invalid("api_token", "it is not a token; leave it out to have one made"))?,
        };
        let user = StoredUser {
            id: UserId::new(),
            username: request.username.clone(),
            role: Role::Root,
            account_id: None,
            suspended: false,
            password_hash: Some(password::hash(request.password).await?),
            max_accounts: None,
        };
        let token = Token {
            id: api_token.id,
            name: "setup".into(),
            owner: user.username.clone(),
            scopes: None,
            networks: None,
            created_at: now,
            rotated_at: None,
            expires_at: None,
            last_used_at: None,
            last_used_from: None,
            uses: 0,
        };
        let secret_hash = secret::hash(&api_token.secret);
        self.inner
            .db
            .write(move |tx| {
                // Two setups at once: the second one sees what the first one wrote.
                tx.lock_names()?;
                if tx.setting(INITIALIZED)?.is_some() {
                    return Err(EngineError::from(closed()));
                }
                tx.set_setting(INITIALIZED, &now.to_string())?;
                tx.set_setting(SETUP_TOKEN_HASH, "")?;
                tx.insert_user(&user, now)?;
                tx.insert_token(&token, user.id, &secret_hash, None)?;
                service::packages::insert_defaults(tx, user.id, now)?;
                Ok(())
            })
            .await?;
        let _ = std::fs::remove_file(&self.inner.settings.setup_token_file);
        if let Err(error) = self.inner.agent.seal_bootstrap().await {
            // Made up for at the next start; until then the database's flag keeps setup closed.
            tracing::warn!(%error, "the agent could not close its bootstrap");
        }
        Ok(SetupDone { username: request.username, token: api_token.to_string() })
    }
}
