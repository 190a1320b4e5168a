//! Passwords: Argon2id, at most two computations at a time (SEC-02).

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};
use wcp360_types::Problem;

/// Each hash takes 19 MiB; a flood of logins must not take the machine's memory.
static TURNS: Turns = Turns::new();
/// How many may wait for their turn: with 50 ms each, the last one waits for about two seconds.
const LINE: usize = 64;
/// Of those, places that strangers don't get: a flood of guesses must not keep out who has logged in from there before.
const KEPT: usize = 16;
/// Longer ones are no passwords of anybody, see [`check`].
const LONGEST: usize = 256;

/// OWASP's minimum for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Passwords that are tried first by everybody who guesses.
const COMMON: &[&str] = &[
    "password",
    "12345678",
    "123456789",
    "1234567890",
    "qwertyui",
    "qwerty123",
    "password1",
    "11111111",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "letmein1",
    "welcome1",
    "passw0rd",
    "changeme",
    "administrator",
    "admin123",
    "adminadmin",
    "rootroot",
    "abcd1234",
    "1q2w3e4r",
    "asdfghjk",
];

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("these parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What is compared with when there is no such login, so that both cases take the same time.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now("nobody has this password"));

fn hash_now(password: &str) -> String {
    let salt: Vec<u8> = crate::secret::random_hex(16).into_bytes();
    let salt = SaltString::encode_b64(&salt[..16]).expect("16 bytes make a salt");
    hasher().hash_password(password.as_bytes(), &salt).expect("hashing works with these parameters").to_string()
}

/// Refuses passwords that are too short, too long or known to everybody. `field` names the input.
///
/// # Errors
/// 422 with the rule.
pub fn check(field: &str, password: &str, username: &str) -> Result<(), Problem> {
    let length = password.chars().count();
    if length < 8 {
        return Err(Problem::invalid(field, format!("it has {length} characters; use at least 8, better 15")));
    }
    if password.len() > LONGEST {
        return Err(Problem::invalid(field, "it has more than 256 bytes; use a shorter one"));
    }
    let lower = password.to_lowercase();
    if COMMON.contains(&lower.as_str()) || lower == username.to_lowercase() {
        return Err(Problem::invalid(field, "everybody who guesses tries it first; choose another one"));
    }
    Ok(())
}

/// What comparing a password gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is the right one.
    pub fits: bool,
    /// Whether its hash was made with weaker parameters than today's: it should be made anew.
    pub outdated: bool,
    /// The work that was done, in KiB of memory times passes. The same for a name that does not exist.
    pub work: u64,
}

/// Two compute, some wait, all others are turned away.
struct Turns {
    at_a_time: Semaphore,
    waiting: AtomicUsize,
}

impl Turns {
    const fn new() -> Self {
        Self { at_a_time: Semaphore::const_new(2), waiting: AtomicUsize::new(0) }
    }

    /// Waits for a turn, which ends when it is dropped. `known`: it is no stranger who asks.
    async fn next(&self, known: bool) -> Result<SemaphorePermit<'_>, Problem> {
        struct Place<'t>(&'t AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= if known { LINE } else { LINE - KEPT } {
            return Err(Problem::unavailable("Too many people are logging in; try again in a few seconds."));
        }
        self.at_a_time.acquire().await.map_err(|_| Problem::internal())
    }
}

/// Hashes a password.
///
/// # Errors
/// 503 if too many others are waiting.
pub async fn hash(password: String) -> Result<String, Problem> {
    let _turn = TURNS.next(true).await?;
    tokio::task::spawn_blocking(move || hash_now(&password)).await.map_err(|_| Problem::internal())
}

/// Compares a password with a hash; does the same work when there is no hash. `known`: the person has shown who it is, or has
/// logged in from there before.
///
/// # Errors
/// 503 if too many others are waiting.
pub async fn verify(password: String, hash: Option<String>, known: bool) -> Result<Checked, Problem> {
    let _turn = TURNS.next(known).await?;
    tokio::task::spawn_blocking(move || verify_now(&password, hash)).await.map_err(|_| Problem::internal())
}

fn verify_now(password: &str, hash: Option<String>) -> Checked {
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| NOBODY.clone());
    let refused = Checked { fits: false, outdated: false, work: 0 };
    let Ok(parsed) = PasswordHash::new(&hash) else { return refused };
    let Ok(params) = Params::try_from(&parsed) else { return refused };
    // The parameters are those of the hash, so that older ones can still be compared.
    let fits = hasher().verify_password(password.as_bytes(), &parsed).is_ok();
    let weaker = params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES || parsed.algorithm.as_str() != "argon2id";
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    Checked { fits: fits && known && password.len() <= LONGEST, outdated: weaker, work }
}

/// Has ready what unknown names are compared with, so that the first of them takes no longer.
pub(crate) async fn prepare() {
    let _ = tokio::task::spawn_blocking(|| LazyLock::force(&NOBODY).len()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sec_02_argon2id_round_trip() {
        let hash = hash("correct horse battery".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let right = verify("correct horse battery".into(), Some(hash.clone()), false).await.unwrap();
        assert!(right.fits && !right.outdated);
        assert!(!verify("wrong".into(), Some(hash), false).await.unwrap().fits);
    }

    #[tokio::test]
    async fn sec_02_a_name_that_does_not_exist_costs_the_same_work() {
        let hash = hash("correct horse battery".into()).await.unwrap();
        let known = verify("wrong".into(), Some(hash), false).await.unwrap();
        let unknown = verify("wrong".into(), None, false).await.unwrap();
        assert_eq!(known, unknown);
        assert_eq!(unknown.work, 19 * 1024 * 2);
        let guessed = verify("nobody has this password".into(), None, false).await.unwrap();
        assert_eq!(guessed, unknown, "and nobody gets in");
    }

    #[tokio::test]
    async fn sec_02_weaker_hashes_are_found() {
        let salt = SaltString::encode_b64(b"sixteen bytes of").unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8 * 1024, 1, 1, None).unwrap());
        let hash = weak.hash_password(b"correct horse battery", &salt).unwrap().to_string();
        let checked = verify("correct horse battery".into(), Some(hash.clone()), false).await.unwrap();
        assert!(checked.fits && checked.outdated);
        assert!(!verify("wrong".into(), Some(hash), false).await.unwrap().fits);
        assert!(!verify("x".into(), Some("$argon2id$broken".into()), false).await.unwrap().fits);
    }

    #[tokio::test]
    async fn sec_02_a_flood_is_turned_away_instead_of_waited_for() {
        static FLOODED: Turns = Turns::new();
        let held = (FLOODED.next(true).await.unwrap(), FLOODED.next(true).await.unwrap());
        let mut waiting: Vec<_> = (0..LINE - KEPT).map(|_| tokio::spawn(FLOODED.next(false))).collect();
        while FLOODED.waiting.load(Ordering::Relaxed) < LINE - KEPT {
            tokio::task::yield_now().await;
        }
        assert_eq!(FLOODED.next(false).await.map(drop).unwrap_err().status, 503);
        // Strangers alone don't keep out who is known.
        waiting.extend((0..KEPT).map(|_| tokio::spawn(FLOODED.next(true))));
        while FLOODED.waiting.load(Ordering::Relaxed) < LINE {
            tokio::task::yield_now().await;
        }
        assert_eq!(FLOODED.next(true).await.map(drop).unwrap_err().status, 503);
        drop(held);
        for turn in waiting {
            assert!(turn.await.unwrap().is_ok());
        }
        assert!(FLOODED.next(false).await.is_ok(), "the line is empty again");
    }

    #[test]
    fn weak_passwords_are_refused() {
        for bad in ["short", "password", "PassWord1", "alice-alice", &"x".repeat(257)] {
            assert!(check("password", bad, "alice-alice").is_err(), "{bad}");
        }
        assert!(check("password", "a decent one", "alice").is_ok());
    }
}
