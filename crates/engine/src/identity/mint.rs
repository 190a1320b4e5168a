//! The key that signs JWTs: one per installation, made at the first start, sealed in the database.

use super::jwt::{Claims, JwtError, Signer};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::vault::{Place, Vault};
use jiff::Timestamp;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use wcp360_store::sealed::SECRETS;
use wcp360_store::{Db, StoreError};
use wcp360_types::api::session::Audience;

/// Its row.
const NAME: &str = "jwt-signing-key";
/// An unknown key may be one that another process has just made; it is looked for this often at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

fn place() -> Place<'static> {
    Place { column: SECRETS, row: NAME }
}

/// The signer in use.
pub(crate) struct Minting {
    current: RwLock<(Arc<Signer>, Instant)>,
}

impl std::fmt::Debug for Minting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minting").finish_non_exhaustive()
    }
}

impl Minting {
    /// Reads the key, or makes one. One that does not open is replaced: all it costs is JWTs of the last minutes.
    pub(crate) async fn load(db: &Db, vault: &Vault) -> Result<Self, StoreError> {
        let fresh = new_seed();
        let sealed = vault.seal(place(), &fresh);
        let kept = db.write(move |tx| tx.set_secret_once(NAME, &sealed, Timestamp::now())).await?;
        let opened = vault.unseal(place(), &kept).map_err(|error| error.to_string());
        let signer = match opened.map(|seed| Signer::from_seed(&seed)) {
            Ok(Some(signer)) => signer,
            other => {
                let error = other.err().unwrap_or_else(|| "it is no key".to_owned());
                tracing::error!(error, "the key that signs JWTs can't be used; a new one is made");
                replace(db, vault).await?
            }
        };
        Ok(Self { current: RwLock::new((Arc::new(signer), Instant::now())) })
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        self.signer().0.sign(claims)
    }

    fn signer(&self) -> (Arc<Signer>, Instant) {
        self.current.read().expect("no panic while keys change").clone()
    }

    fn set(&self, signer: Signer) {
        *self.current.write().expect("no panic while keys change") = (Arc::new(signer), Instant::now());
    }
}

impl Engine {
    /// What a JWT says, if it is ours.
    pub(super) async fn verify_jwt(&self, text: &str, audience: Audience) -> Result<Claims, EngineError> {
        let now = Timestamp::now().as_second();
        let (signer, looked) = self.inner.minting.signer();
        let verified = match signer.verify(text, audience, now) {
            Err(JwtError::UnknownKey) if looked.elapsed() >= LOOK_AGAIN => {
                let sealed = self.inner.db.read(|tx| tx.secret(NAME)).await?.unwrap_or_default();
                let seed = self.inner.vault.unseal(place(), &sealed).unwrap_or_default();
                if let Some(signer) = Signer::from_seed(&seed) {
                    self.inner.minting.set(signer);
                }
                self.inner.minting.signer().0.verify(text, audience, now)
            }
            other => other,
        };
        verified.map_err(|error| {
            let detail = format!("The JWT can't be used: {error}. Mint a new one.");
            wcp360_types::Problem::unauthenticated(detail).into()
        })
    }

    /// Makes a new key: JWTs of the old one end.
    pub(super) async fn replace_signer(&self) -> Result<(), EngineError> {
        let signer = replace(&self.inner.db, &self.inner.vault).await?;
        self.inner.minting.set(signer);
        Ok(())
    }
}

async fn replace(db: &Db, vault: &Vault) -> Result<Signer, StoreError> {
    let seed = new_seed();
    let sealed = vault.seal(place(), &seed);
    db.write(move |tx| tx.set_secret(NAME, &sealed, Timestamp::now())).await?;
    Signer::from_seed(&seed).ok_or_else(|| StoreError::Database("a seed has 32 bytes".into()))
}

fn new_seed() -> [u8; 32] {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).expect("the kernel gives random bytes");
    seed
}
