//! Content revisions.

use crate::validated::ValueError;
use crate::validated_string;
use serde::Serialize;
use sha2::{Digest, Sha256};

validated_string!(
    /// What a set of manifests contains, as `sha256:` and 64 hexadecimal digits over its canonical form.
    ///
    /// Equal content has an equal revision on every machine; a change of any field moves it. Used as ETag, for
    /// compare-and-swap and to say what is applied.
    Revision,
    schema = { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "Content revision" },
    parse = |value| {
        let digits = value.strip_prefix("sha256:").unwrap_or("");
        if digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(value.to_owned())
        } else {
            Err(ValueError::new(format!("{value:?} is not a revision"), "give the value read before, \"sha256:…\""))
        }
    }
);

impl Revision {
    /// The revision of `content`: SHA-256 over its JSON with object keys sorted and no white space.
    pub fn of<T: Serialize>(content: &T) -> Self {
        // serde_json's Value keeps keys in a BTreeMap, which sorts them: the canonical form.
        let canonical = serde_json::to_value(content).expect("manifests are plain data").to_string();
        let digest = Sha256::digest(canonical.as_bytes());
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        Self(format!("sha256:{hex}"))
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[7..19]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eng_04_revision_ignores_key_order_and_follows_content() {
        let a: serde_json::Value = serde_json::from_str(r#"{"a":1,"b":[2]}"#).unwrap();
        let b: serde_json::Value = serde_json::from_str(r#"{"b":[2],"a":1}"#).unwrap();
        assert_eq!(Revision::of(&a), Revision::of(&b));
        assert_ne!(Revision::of(&a), Revision::of(&serde_json::json!({"a": 1, "b": [3]})));
        assert_eq!(Revision::parse(Revision::of(&a).as_str()).unwrap(), Revision::of(&a));
    }
}
