//! Which requests are let in: the limits of addresses, accounts and tokens, tiered by package (SEC-04).

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::place::{bucket, is_local};
use crate::rate::{Limiter, Quota};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use wcp360_store::StoreError;
use wcp360_types::{AccountId, Role};

/// Requests per minute of one address, whoever asks.
const ADDRESS: u32 = 1_800;
/// Attempts per minute of one address to log in or to set the panel up.
const LOGIN: u32 = 30;
/// Requests per minute of one person, unless the package says something else.
const CLIENT: u32 = 600;
const RESELLER: u32 = 1_800;
const ADMIN: u32 = 6_000;
/// Administrators on the machine itself: scripts and the command line are fast, and nobody is kept out of the own panel.
const LOCAL: u32 = 120_000;
/// Tenants' processes are on the machine too, and people log in through nginx, which says where they are.
const LOCAL_LOGIN: u32 = 120;

/// How long what a package says may be remembered, and of how many accounts.
const REMEMBER: Duration = Duration::from_secs(10);
const MOST_TIERS: usize = 10_000;

/// All limits.
#[derive(Debug)]
pub(crate) struct Admission {
    addresses: Limiter,
    logins: Limiter,
    accounts: Limiter,
    tokens: Limiter,
    /// Tokens that are none, as far as they are written down.
    unknown: Limiter,
    /// What packages say of their accounts, and since when it is known.
    tiers: Mutex<HashMap<AccountId, (Instant, Option<u32>)>>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            addresses: Limiter::new("address"),
            logins: Limiter::new("login"),
            accounts: Limiter::new("account"),
            tokens: Limiter::new("token"),
            unknown: Limiter::new("unknown"),
            tiers: Mutex::default(),
        }
    }
}

impl Engine {
    /// Counts a request of an address, before it is known who asks. The machine itself has no limit here: its processes,
    /// those of tenants too, share one address, and none is to keep out the others.
    pub fn admit_address(&self, source: &str) -> Option<Quota> {
        (!is_local(source)).then(|| self.inner.admission.addresses.count(&bucket(source), ADDRESS))
    }

    /// Counts an attempt to log in.
    pub fn admit_login(&self, source: &str) -> Quota {
        let limit = if is_local(source) { LOCAL_LOGIN } else { LOGIN };
        self.inner.admission.logins.count(&bucket(source), limit)
    }

    /// Whether a token that is none is to be written down: nobody fills the disk with them.
    pub(crate) fn admits_unknown_token(&self, source: &str) -> bool {
        self.inner.admission.unknown.count(&bucket(source), LOGIN).wait.is_none()
    }

    /// Counts a request of somebody known: for the person, and for the token if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn admit_caller(&self, caller: &Caller, source: &str) -> Result<Vec<Quota>, EngineError> {
        let usual = match caller.role {
            Role::Client => CLIENT,
            Role::Reseller => RESELLER,
            _ if is_local(source) => LOCAL,
            Role::Root | Role::Admin => ADMIN,
        };
        let limit = match caller.account_id {
            Some(account) => self.tier(account).await?.unwrap_or(usual),
            None => usual,
        };
        let admission = &self.inner.admission;
        let mut quotas = vec![admission.accounts.count(&caller.user_id.to_string(), limit)];
        // A script that runs wild leaves its owner something to stop it with.
        if let Some(token) = caller.token_id {
            let limit = u32::try_from(u64::from(limit) * 4 / 5).unwrap_or(limit);
            quotas.push(admission.tokens.count(&token.to_string(), limit));
        }
        Ok(quotas)
    }

    /// What an account's package says; a change of it counts within seconds.
    async fn tier(&self, account: AccountId) -> Result<Option<u32>, EngineError> {
        let remembered = {
            let tiers = self.inner.admission.tiers.lock().expect("no panic while counting");
            tiers.get(&account).filter(|(since, _)| since.elapsed() < REMEMBER).map(|(_, tier)| *tier)
        };
        if let Some(tier) = remembered {
            return Ok(tier);
        }
        let read = self.inner.db.read(move |tx| {
            let tier = tx.security_policy(account)?.api_requests_per_minute;
            // A reseller gives what it has itself; more is for who answers for the machine.
            Ok::<_, StoreError>(match tx.package_owner(account)? {
                Some(Role::Root | Role::Admin) => tier,
                _ => tier.map(|tier| tier.min(RESELLER)),
            })
        });
        let tier = read.await?;
        let mut tiers = self.inner.admission.tiers.lock().expect("no panic while counting");
        if tiers.len() >= MOST_TIERS {
            tiers.clear();
        }
        tiers.insert(account, (Instant::now(), tier));
        Ok(tier)
    }
}
