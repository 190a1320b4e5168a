//! Paths inside an account's tree.

use crate::validated::ValueError;
use crate::validated_string;

validated_string!(
    /// A document root, relative to the account's home: `public_html`, `domains/shop.test/public_html`, `apps/blog/public`.
    ///
    /// Components of `A-Z a-z 0-9 . _ -`, none empty and none starting with a dot, 200 characters and 10 components at
    /// most. It can't leave the tree by its text; symbolic links are dealt with where it is used.
    DocumentRoot,
    schema = { "type": "string", "maxLength": 200, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,9}$",
               "description": "A folder inside the account, e.g. apps/blog/public", "examples": ["public_html"] },
    parse = parse_document_root
);

/// Folders of an account that are never served: they hold what must not be public.
const PRIVATE_FOLDERS: &[&str] = &["private", "tmp", "logs", "backups", "mail"];

fn parse_document_root(value: &str) -> Result<String, ValueError> {
    const REMEDY: &str = "give a folder inside the account such as \"apps/blog/public\"";
    if value.is_empty() || value.len() > 200 {
        return Err(ValueError::new("the path is empty or longer than 200 characters", REMEDY));
    }
    let components: Vec<&str> = value.split('/').collect();
    if components.len() > 10 {
        return Err(ValueError::new("the path has more than 10 parts", REMEDY));
    }
    for part in &components {
        let clean = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if part.is_empty() || part.starts_with('.') || !clean {
            return Err(ValueError::new(format!("the part {part:?} is not allowed"), REMEDY));
        }
    }
    if PRIVATE_FOLDERS.contains(&components[0]) {
        return Err(ValueError::new(format!("\"{}\" is never served", components[0]), "choose another folder"));
    }
    Ok(value.to_owned())
}

impl DocumentRoot {
    /// The document root of an account's primary domain.
    pub fn primary() -> Self {
        Self("public_html".into())
    }

    /// The standard document root of a further domain.
    pub fn for_domain(domain: &crate::Domain) -> Self {
        Self(format!("domains/{domain}/public_html"))
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_roots() {
        for good in ["public_html", "domains/a.test/public_html", "apps/blog-1/public"] {
            assert!(DocumentRoot::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/etc",
            "..",
            "a/../b",
            "a//b",
            ".system",
            "a/.git",
            "private/x",
            "logs",
            "a b",
            "a\n",
            "a;b",
            "a/",
        ] {
            assert!(DocumentRoot::parse(bad).is_err(), "{bad:?}");
        }
    }
}
