//! Random secrets, and how they are compared and stored.

use sha2::{Digest, Sha256};
use wcp360_types::TokenId;

/// `bytes` random bytes, hexadecimal.
///
/// # Panics
/// If the kernel has no randomness to give: there is nothing safe to do then.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0u8; bytes];
    getrandom::fill(&mut buffer).expect("the kernel gives random bytes");
    hex(&buffer)
}

/// SHA-256, hexadecimal. Enough for secrets of 256 random bits; passwords need [`crate::password`].
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Compares in a time that does not depend on where the difference is.
pub fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0u8, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// An API token as it is shown once: `wcp_api_<id>_<256-bit secret>_<check>`.
///
/// The prefix lets scanners find leaked ones, the check tells a mistyped one from an unknown one.
pub struct ApiToken {
    /// Finds the row.
    pub id: TokenId,
    /// What is hashed.
    pub secret: String,
}

impl ApiToken {
    /// A new one.
    pub fn generate() -> Self {
        Self { id: TokenId::new(), secret: random_hex(32) }
    }

    /// One with a new secret for a token that exists.
    pub fn renew(id: TokenId) -> Self {
        Self { id, secret: random_hex(32) }
    }

    /// Reads one; `None` if it is mistyped or none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (body, check) = text.rsplit_once('_')?;
        if !equal(check, &check_digits(body)) {
            return None;
        }
        let (id, secret) = body.strip_prefix("wcp_api_")?.split_once('_')?;
        let well_formed = secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit());
        Some(Self { id: id.parse().ok()?, secret: well_formed.then(|| secret.to_owned())? })
    }
}

impl std::fmt::Display for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = format!("wcp_api_{}_{}", self.id.to_string().replace('-', ""), self.secret);
        write!(f, "{body}_{}", check_digits(&body))
    }
}

fn check_digits(body: &str) -> String {
    hash(body)[..6].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_03_tokens_round_trip_and_typos_are_seen() {
        let text = ApiToken::generate().to_string();
        assert_eq!(ApiToken::parse(&text).unwrap().to_string(), text);
        let mut typo = text.clone();
        typo.replace_range(20..21, if &text[20..21] == "0" { "1" } else { "0" });
        for bad in [typo.as_str(), "", "wcp_api_", "wcp_api_x_y_z", &text[..text.len() - 1]] {
            assert!(ApiToken::parse(bad).is_none(), "{bad}");
        }
    }
}
