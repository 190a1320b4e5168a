//! Templates: files under `templates/`, built into the program, rendered strictly.
//!
//! An undefined variable is an error. In configuration files every printed value must consist of characters that no
//! format gives a meaning to; whatever a template prints was validated before, so a refusal here is a defect found, not a
//! message for people. In pages, values are escaped for HTML.

use crate::RenderError;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use std::sync::LazyLock;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        /// Every template: name and source.
        pub const TEMPLATES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../templates/", $name)))),*];
    };
}

templates![
    "nginx/nginx.conf",
    "nginx/site-body.conf",
    "nginx/php.conf",
    "nginx/panel.conf",
    "nginx/site.conf",
    "php/pool.conf",
    "php/service",
    "php/socket",
    "php/slice.conf",
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_keep_trailing_newline(true);
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_auto_escape_callback(|name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None });
    env.set_formatter(|out, state, value| {
        if state.auto_escape() != AutoEscape::None {
            return minijinja::escape_formatter(out, state, value);
        }
        let text = value.to_string();
        match text.bytes().find(|b| !b.is_ascii_alphanumeric() && !b"._/@:~=,+-".contains(b)) {
            None if !value.is_undefined() && !value.is_none() && !text.is_empty() => {
                out.write_str(&text).map_err(Error::from)
            }
            _ => Err(Error::new(ErrorKind::InvalidOperation, format!("{text:?} must not be in a configuration file"))),
        }
    });
    for (name, source) in TEMPLATES {
        env.add_template(name, source).expect("templates are compiled by every test run");
    }
    env
});

/// Renders `template` with `values`.
///
/// # Errors
/// An undefined variable, or a value with syntax in it.
pub fn render<T: Serialize>(template: &'static str, values: T) -> Result<String, RenderError> {
    ENVIRONMENT
        .get_template(template)
        .and_then(|t| t.render(values))
        .map_err(|source| RenderError::Template { template, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_and_distrustful() {
        let env = &*ENVIRONMENT;
        let render = |source: &str, value: &str| env.render_str(source, minijinja::context! { v => value });
        assert_eq!(render("a {{ v }};", "b.test").unwrap(), "a b.test;");
        for bad in ["a b", "a;b", "a\nb", "a{b", "a\"b", "a$b", "a#b", "a\\b", "a'b", "a%b", "", "ü"] {
            assert!(render("{{ v }}", bad).is_err(), "{bad:?}");
        }
        assert!(render("{{ other }}", "x").is_err());
    }
}
