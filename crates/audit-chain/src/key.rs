//! Ed25519 keys (RFC 8032).

use crate::canonical::digest;
use crate::hex;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// A key that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not an audit key: {0}")]
pub struct KeyError(&'static str);

/// Signs checkpoints. The secret never leaves it but by [`SigningKey::seed`].
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public().id()).finish()
    }
}

impl SigningKey {
    /// The key of 32 random bytes.
    ///
    /// # Errors
    /// They can't be a key.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError("its secret is refused"))?;
        Ok(Self { seed, pair })
    }

    /// The key of a file: 64 hexadecimal digits.
    ///
    /// # Errors
    /// It holds something else.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let seed = hex::decode(text.trim()).ok_or(KeyError("it should be 64 digits 0-9 a-f"))?;
        Self::from_seed(seed)
    }

    /// What the file holds.
    pub fn seed(&self) -> String {
        hex::encode(&self.seed)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// A signature, hexadecimal.
    pub(crate) fn sign(&self, message: &str) -> String {
        hex::encode(self.pair.sign(message.as_bytes()).as_ref())
    }
}

/// Verifies checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Its short name: the first 16 digits of its SHA-256.
    pub fn id(&self) -> String {
        let mut id = digest(&self.to_string());
        id.truncate(16);
        id
    }

    /// Whether a signature of a message is this key's.
    pub(crate) fn verifies(&self, message: &str, signature: &str) -> bool {
        let Some(signature) = hex::decode::<64>(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message.as_bytes(), &signature).is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text.trim()).map(Self).ok_or(KeyError("a public key is 64 digits 0-9 a-f"))
    }
}
