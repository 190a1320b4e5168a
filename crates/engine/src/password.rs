//! Passwords: Argon2id, at most two computations at a time.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::LazyLock;
use tokio::sync::Semaphore;
use wcp360_types::Problem;

/// Each hash takes 19 MiB; a flood of logins must not take the machine's memory.
static AT_A_TIME: Semaphore = Semaphore::const_new(2);

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
    // OWASP's minimum for Argon2id: 19 MiB, two passes, one lane.
    let params = Params::new(19 * 1024, 2, 1, None).expect("these parameters are valid");
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
    if password.len() > 256 {
        return Err(Problem::invalid(field, "it has more than 256 bytes; use a shorter one"));
    }
    let lower = password.to_lowercase();
    if COMMON.contains(&lower.as_str()) || lower == username.to_lowercase() {
        return Err(Problem::invalid(field, "everybody who guesses tries it first; choose another one"));
    }
    Ok(())
}

/// Hashes a password.
pub async fn hash(password: String) -> String {
    let _turn = AT_A_TIME.acquire().await;
    tokio::task::spawn_blocking(move || hash_now(&password)).await.expect("hashing does not panic")
}

/// Whether a password fits a hash; takes as long when there is no hash.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    let _turn = AT_A_TIME.acquire().await;
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let fits =
            PasswordHash::new(&hash).is_ok_and(|parsed| hasher().verify_password(password.as_bytes(), &parsed).is_ok());
        fits && known
    })
    .await
    .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sec_02_argon2id_round_trip() {
        let hash = hash("correct horse battery".into()).await;
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse battery".into(), Some(hash.clone())).await);
        assert!(!verify("wrong".into(), Some(hash)).await);
        assert!(!verify("nobody has this password".into(), None).await);
    }

    #[test]
    fn weak_passwords_are_refused() {
        for bad in ["short", "password", "PassWord1", "alice-alice", &"x".repeat(257)] {
            assert!(check("password", bad, "alice-alice").is_err(), "{bad}");
        }
        assert!(check("password", "a decent one", "alice").is_ok());
    }
}
