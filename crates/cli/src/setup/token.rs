//! API tokens made by us, in the form that the panel understands: `wcp_api_<id>_<secret>_<check>`.

use crate::failure::Failure;
use crate::input::random_hex;
use sha2::{Digest, Sha256};
use wcp360_types::TokenId;

/// A new token.
pub(super) fn generate() -> Result<String, Failure> {
    let id = TokenId::new().to_string().replace('-', "");
    let body = format!("wcp_api_{id}_{}", random_hex::<32>()?);
    Ok(format!("{body}_{}", check_digits(&body)))
}

/// Whether this is a whole token, rather than what an interruption left of one.
pub(super) fn is_well_formed(token: &str) -> bool {
    token.starts_with("wcp_api_") && token.rsplit_once('_').is_some_and(|(body, check)| check == check_digits(body))
}

fn check_digits(body: &str) -> String {
    Sha256::digest(body.as_bytes()).iter().take(3).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_03_a_made_token_is_whole_and_a_part_of_it_is_not() {
        let token = generate().unwrap();
        assert!(is_well_formed(&token) && token.len() == 8 + 32 + 1 + 64 + 1 + 6, "{token}");
        assert!(!is_well_formed(&token[..token.len() - 1]) && !is_well_formed(""));
        // As the API describes it, computed elsewhere.
        assert_eq!(check_digits("wcp_api_0_0"), CHECK);
    }
    const CHECK: &str = "e73c09";
}
