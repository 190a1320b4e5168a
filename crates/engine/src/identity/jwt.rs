//! JSON Web Tokens (RFC 7519) in the one form that this panel makes: signed with Ed25519 (RFC 8037), nothing optional.
//!
//! Whatever is not exactly that form is refused before its content is looked at: the algorithm is not the sender's choice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wcp360_types::api::session::Audience;
use wcp360_types::{SessionId, TokenId, UserId};

/// Who says so.
const ISSUER: &str = "wcp360";
/// Access tokens of this kind and nothing else (RFC 9068).
const TYPE: &str = "at+jwt";
const ALGORITHM: &str = "EdDSA";
/// Longer ones are none of ours.
const LONGEST: usize = 8 * 1024;
/// Seconds that clocks of several machines may differ.
const SKEW: i64 = 5;
/// Seconds that one is good for at most.
pub(super) const LIFETIME: i64 = 900;

/// What a JWT says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    iss: String,
    /// Whose.
    pub(super) sub: UserId,
    aud: Audience,
    /// Seconds since 1970: when it ends, begins, was made.
    pub(super) exp: i64,
    nbf: i64,
    iat: i64,
    /// A name of its own.
    jti: String,
    /// What it may be used for, separated by spaces (RFC 8693, section 4.2).
    pub(super) scope: String,
    /// The session it was minted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<SessionId>,
    /// The token it was minted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tid: Option<TokenId>,
}

impl Claims {
    /// Claims from `now` for `seconds`.
    pub(super) fn new(user: UserId, audience: Audience, scope: String, now: i64, seconds: i64) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: user,
            aud: audience,
            exp: now + seconds.min(LIFETIME),
            nbf: now,
            iat: now,
            jti: crate::secret::random_hex(16),
            scope,
            sid: None,
            tid: None,
        }
    }

    /// Minted from a session or a token.
    pub(super) fn minted_from(self, sid: Option<SessionId>, tid: Option<TokenId>) -> Self {
        Self { sid, tid, ..self }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Why a JWT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwtError {
    #[error("it is none of ours, or was changed")]
    Invalid,
    #[error("its key is not known")]
    UnknownKey,
    #[error("it is for something else")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not good yet")]
    TooEarly,
}

/// A key pair of this installation.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
    kid: String,
}

impl Signer {
    /// From 32 random bytes; `None` if it is another number of them.
    pub(super) fn from_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let kid = crate::secret::hash(&crate::secret::hex(pair.public_key().as_ref()))[..16].to_owned();
        Some(Self { pair, kid })
    }

    /// The JWT.
    pub(super) fn sign(&self, claims: &Claims) -> String {
        let header = Header { alg: ALGORITHM.into(), typ: TYPE.into(), kid: self.kid.clone() };
        let body = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// What a JWT says, if it is ours, for `audience`, and good at `now` (seconds since 1970).
    pub(super) fn verify(&self, text: &str, audience: Audience, now: i64) -> Result<Claims, JwtError> {
        if text.len() > LONGEST {
            return Err(JwtError::Invalid);
        }
        let (body, signature) = text.rsplit_once('.').ok_or(JwtError::Invalid)?;
        let (header, claims) = body.split_once('.').ok_or(JwtError::Invalid)?;
        let header: Header = decode(header)?;
        if header.alg != ALGORITHM || header.typ != TYPE {
            return Err(JwtError::Invalid);
        }
        if header.kid != self.kid {
            return Err(JwtError::UnknownKey);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtError::Invalid)?;
        let key = UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref());
        key.verify(body.as_bytes(), &signature).map_err(|_| JwtError::Invalid)?;
        let claims: Claims = decode(claims)?;
        if claims.iss != ISSUER || claims.exp - claims.iat > LIFETIME {
            return Err(JwtError::Invalid);
        }
        if claims.aud != audience {
            return Err(JwtError::Audience);
        }
        if now >= claims.exp {
            return Err(JwtError::Expired);
        }
        if now + SKEW < claims.nbf.max(claims.iat) {
            return Err(JwtError::TooEarly);
        }
        Ok(claims)
    }
}

fn encode<T: Serialize>(value: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("plain data has a JSON form"))
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtError::Invalid)?;
    serde_json::from_slice(&bytes).map_err(|_| JwtError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;

    fn signer() -> Signer {
        Signer::from_seed(&[7; 32]).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            sid: Some(SessionId::new()),
            ..Claims::new(UserId::new(), Audience::Api, "jobs.read".into(), NOW, 300)
        }
    }

    /// A JWT of any header and claims with a right signature of `signer`.
    fn forge(signer: &Signer, header: &Value, claims: &Value) -> String {
        let body = format!("{}.{}", encode(header), encode(claims));
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signer.pair.sign(body.as_bytes()).as_ref()))
    }

    fn header(signer: &Signer) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": signer.kid})
    }

    #[test]
    fn sec_02_a_jwt_is_good_for_its_audience_and_time() {
        let (signer, claims) = (signer(), claims());
        let text = signer.sign(&claims);
        assert_eq!(signer.verify(&text, Audience::Api, NOW), Ok(claims));
        assert_eq!(signer.verify(&text, Audience::Ws, NOW), Err(JwtError::Audience));
        assert!(signer.verify(&text, Audience::Api, NOW + 299).is_ok());
        assert_eq!(signer.verify(&text, Audience::Api, NOW + 300), Err(JwtError::Expired));
        assert!(signer.verify(&text, Audience::Api, NOW - SKEW).is_ok());
        assert_eq!(signer.verify(&text, Audience::Api, NOW - SKEW - 1), Err(JwtError::TooEarly));
    }

    #[test]
    fn sec_02_the_algorithm_is_not_the_senders_choice() {
        let signer = signer();
        let claims = serde_json::to_value(claims()).unwrap();
        let kid = &signer.kid;
        for header in [
            json!({"alg": "none", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "None", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "RS256", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "Ed25519", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}),
            json!({"alg": "EdDSA", "kid": kid}),
            json!({"typ": "at+jwt", "kid": kid}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "crit": ["exp"]}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "b64": false}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jwk": {"kty": "OKP"}}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jku": "https://evil.test/"}),
        ] {
            let text = forge(&signer, &header, &claims);
            assert_eq!(signer.verify(&text, Audience::Api, NOW), Err(JwtError::Invalid), "{header}");
        }
        // Without a signature, and with the public key as the secret of a MAC (RFC 8725, section 2.1).
        let none = encode(&json!({"alg": "none"}));
        for unsigned in [format!("{none}.{}.", encode(&claims)), format!("{none}.{}", encode(&claims))] {
            assert_eq!(signer.verify(&unsigned, Audience::Api, NOW), Err(JwtError::Invalid));
        }
        let body = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "at+jwt", "kid": kid})), encode(&claims));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.pair.public_key().as_ref());
        let mac = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, body.as_bytes()).as_ref());
        assert_eq!(signer.verify(&format!("{body}.{mac}"), Audience::Api, NOW), Err(JwtError::Invalid));
    }

    #[test]
    fn sec_02_claims_are_those_we_make_and_no_others() {
        let signer = signer();
        let good = serde_json::to_value(claims()).unwrap();
        assert!(signer.verify(&forge(&signer, &header(&signer), &good), Audience::Api, NOW).is_ok());
        for (name, value) in [
            ("iss", json!("somebody")),
            ("aud", json!("other")),
            ("aud", json!(["api", "ws"])),
            ("exp", json!(NOW + 901)),
            ("exp", json!("2100-01-01")),
            ("exp", json!(1e30)),
            ("sub", json!("root")),
            ("role", json!("root")),
            ("scope", json!(["jobs.read"])),
        ] {
            let mut claims = good.clone();
            claims[name] = value;
            let text = forge(&signer, &header(&signer), &claims);
            assert_eq!(signer.verify(&text, Audience::Api, NOW), Err(JwtError::Invalid), "{claims}");
        }
        for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope"] {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(name);
            let text = forge(&signer, &header(&signer), &claims);
            assert_eq!(signer.verify(&text, Audience::Api, NOW), Err(JwtError::Invalid), "without {name}");
        }
        // A name twice: two readers could take different ones.
        let twice = serde_json::to_string(&good).unwrap().replacen('{', "{\"scope\":\"accounts.manage\",", 1);
        let body = format!("{}.{}", encode(&header(&signer)), URL_SAFE_NO_PAD.encode(twice));
        let text = format!("{body}.{}", URL_SAFE_NO_PAD.encode(signer.pair.sign(body.as_bytes()).as_ref()));
        assert_eq!(signer.verify(&text, Audience::Api, NOW), Err(JwtError::Invalid));
    }

    #[test]
    fn sec_02_two_installations_share_no_key() {
        let (one, two) = (signer(), Signer::from_seed(&[8; 32]).unwrap());
        assert_ne!(one.kid, two.kid);
        let text = one.sign(&claims());
        assert_eq!(two.verify(&text, Audience::Api, NOW), Err(JwtError::UnknownKey));
        let claims = serde_json::to_value(claims()).unwrap();
        let pretended = forge(&one, &header(&two), &claims);
        assert_eq!(two.verify(&pretended, Audience::Api, NOW), Err(JwtError::Invalid));
        assert!(Signer::from_seed(&[7; 31]).is_none());
    }

    #[test]
    fn sec_02_a_changed_jwt_is_refused() {
        let signer = signer();
        let text = signer.sign(&claims());
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(signer.verify(&changed, Audience::Api, NOW).is_err(), "{position}");
            assert!(signer.verify(&text[..position], Audience::Api, NOW).is_err(), "{position}");
        }
        for longer in [format!("{text}="), format!("{text}.x"), format!(".{text}"), format!("{text}A")] {
            assert!(signer.verify(&longer, Audience::Api, NOW).is_err(), "{longer}");
        }
        assert!(signer.verify(&"a.".repeat(LONGEST), Audience::Api, NOW).is_err());
    }

    proptest! {
        #[test]
        fn sec_02_no_text_is_a_jwt_by_chance(text in "[A-Za-z0-9_.-]{0,400}") {
            prop_assert!(signer().verify(&text, Audience::Api, NOW).is_err());
        }
    }
}
