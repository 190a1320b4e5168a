//! What went wrong, said in terms of the command line.

use super::cell::{clean, clean_json};
use super::style::Style;
use crate::document::{Operation, flag, is_secret};
use crate::failure::Failure;
use serde_json::json;
use wcp360_types::Problem;

/// The lines to print for a failure of a command, which was `operation`, if it was one.
pub fn problem(failure: &Failure, operation: Option<&Operation>, verbose: bool, as_json: bool, style: Style) -> String {
    if as_json {
        return match failure {
            Failure::Shown => String::new(),
            Failure::Problem(problem) => clean_json(&format!("{:#}\n", json!(problem))),
            other => {
                clean_json(&format!("{:#}\n", json!({ "title": "The command failed", "detail": other.to_string() })))
            }
        };
    }
    let error = style.red("error:");
    match failure {
        Failure::Shown => String::new(),
        Failure::Problem(problem) => lines(&error, problem, operation, verbose),
        other => format!("{error} {}\n", clean(&other.to_string())),
    }
}

fn lines(error: &str, problem: &Problem, operation: Option<&Operation>, verbose: bool) -> String {
    // With one field at fault, the detail often only repeats what its own line says.
    let repeats = matches!(problem.errors.as_slice(), [only]
        if problem.detail == only.message || problem.detail == format!("{}: {}", only.field, only.message));
    let said = if repeats { &problem.title } else { &problem.detail };
    let mut text = format!("{error} {}\n", clean(said));
    for field in &problem.errors {
        text.push_str(&format!("  {}: {}\n", argument(&field.field, operation), clean(&field.message)));
    }
    if problem.status == 401 {
        text.push_str(
            "  The token comes from --token-file, $WCP360_TOKEN, ~/.config/wcp360/token or, for root on the\n",
        );
        text.push_str("  panel's machine, /etc/wcp360/api.key.\n");
    }
    if let Some(id) = problem.request_id.as_ref().filter(|_| verbose || problem.status >= 500) {
        text.push_str(&format!("  request id: {}\n", clean(id)));
    }
    text
}

/// How a field is called on the command line.
fn argument(field: &str, operation: Option<&Operation>) -> String {
    let positional = operation.is_some_and(|o| o.positional.iter().chain(&o.path_parameters).any(|name| name == field));
    match field {
        _ if positional => format!("<{}>", field.to_uppercase()),
        _ if is_secret(field) => field.replace('_', " "),
        "If-Match" | "if_match" => "--if-match".into(),
        "Idempotency-Key" | "idempotency_key" => "--idempotency-key".into(),
        other => format!("--{}", clean(&flag(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn fields_are_named_as_on_the_command_line() {
        let document = Document::embedded().unwrap();
        let create = document.find("accounts.create");
        let say = |problem: Problem| {
            self::problem(&Failure::Problem(Box::new(problem)), create, false, false, Style::plain())
        };
        assert_eq!(
            say(Problem::invalid("primary_domain", "\"x\" is no domain; use e.g. example.com")),
            "error: Invalid input\n  --primary-domain: \"x\" is no domain; use e.g. example.com\n"
        );
        assert_eq!(
            say(Problem::field_conflict("username", "is taken; choose another")),
            "error: Conflict\n  <USERNAME>: is taken; choose another\n"
        );
        assert_eq!(say(Problem::not_found("account", "x")), "error: There is no account \"x\".\n");
    }
}
