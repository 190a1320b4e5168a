//! What a change would do.

use super::cell::clean;
use super::style::Style;
use crate::failure::Failure;
use std::io::Write;
use wcp360_types::plan::{Plan, PlanAction, PlannedResource};

/// Prints a plan: resources, services, what can't be taken back, then the files' differences.
///
/// # Errors
/// Standard output does not work.
pub fn plan(out: &mut dyn Write, plan: &Plan, style: Style) -> Result<(), Failure> {
    if plan.resources.is_empty() && plan.services.is_empty() {
        writeln!(out, "Nothing would change: {} is as it should be.", plan.account)?;
        return Ok(());
    }
    writeln!(out, "{}", style.bold(&format!("What would be done for {}:", plan.account)))?;
    resources(out, plan, style, "  ")?;
    for line in &plan.comes_back {
        writeln!(out, "  {}", style.green(&format!("< comes back: {}", clean(line))))?;
    }
    for line in &plan.data_loss {
        writeln!(out, "  {}", style.red(&format!("! can't be taken back: {}", clean(line))))?;
    }
    for resource in &plan.resources {
        if let Some(diff) = resource.diff.as_deref().filter(|d| !d.is_empty()) {
            writeln!(out)?;
            self::diff(out, resource, diff, style)?;
        }
    }
    let count = |action| plan.resources.iter().filter(|r| r.action == action).count();
    writeln!(
        out,
        "\n{} to create, {} to change, {} to remove. Nothing was changed.",
        count(PlanAction::Create),
        count(PlanAction::Update),
        count(PlanAction::Delete)
    )?;
    Ok(())
}

/// The resources and services of a plan, one per line.
pub(super) fn resources(out: &mut dyn Write, plan: &Plan, style: Style, indent: &str) -> Result<(), Failure> {
    for resource in &plan.resources {
        let key = clean(&resource.key);
        let summary = match resource.summary.as_str() {
            "" => String::new(),
            summary => style.dim(&format!("  {}", clean(summary))),
        };
        let line = match resource.action {
            PlanAction::Create => style.green(&format!("+ {key}")),
            PlanAction::Update => style.yellow(&format!("~ {key}")),
            PlanAction::Delete => style.red(&format!("- {key}")),
        };
        writeln!(out, "{indent}{line}{summary}")?;
    }
    for service in &plan.services {
        writeln!(out, "{indent}{}", style.cyan(&format!("* {}", clean(service))))?;
    }
    Ok(())
}

fn diff(out: &mut dyn Write, resource: &PlannedResource, diff: &str, style: Style) -> Result<(), Failure> {
    if !diff.starts_with("---") {
        writeln!(out, "{}", style.bold(&clean(&resource.key)))?;
    }
    for line in diff.lines() {
        let text = clean(line);
        let shown = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => style.bold(&text),
            [b'+', ..] => style.green(&text),
            [b'-', ..] => style.red(&text),
            [b'@', b'@', ..] => style.cyan(&text),
            _ => text,
        };
        writeln!(out, "{shown}")?;
    }
    Ok(())
}
