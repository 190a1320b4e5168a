//! Packages as files: export and import (TEN-05).

use super::account_package::invalid;
use super::packages::{changeable, create, update};
use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use wcp360_store::{Scope, Tx};
use wcp360_types::api::package::{
    Difference, Existing, ImportAction, ImportResult, Imported, MAX_PACKAGES_IN_FILE, PACKAGE_FILE_VERSION,
    PackageFile, PackageSpec,
};
use wcp360_types::{FieldError, PackageName, Problem};

impl Engine {
    /// The caller's packages as a file: all of them for an administrator, a reseller's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn export_packages(&self, caller: &Caller) -> Result<PackageFile, EngineError> {
        let owner = (!caller.is_admin()).then_some(caller.user_id);
        let packages = self.inner.db.read(move |tx| tx.package_specs(owner)).await?;
        Ok(PackageFile { schema_version: PACKAGE_FILE_VERSION, packages })
    }

    /// Makes the packages of a file, all or none.
    ///
    /// # Errors
    /// Everything in the file that can't be used; names that exist, unless they are skipped or replaced.
    pub async fn import_packages(
        &self,
        caller: &Caller,
        file: PackageFile,
        existing: Existing,
        dry_run: bool,
    ) -> Result<ImportResult, EngineError> {
        let by = caller.clone();
        let work = move |tx: &mut Tx<'_>| {
            tx.lock_names()?;
            import(tx, &by, &file, existing)
        };
        match dry_run {
            true => self.inner.db.rehearse(work).await,
            false => self.inner.db.write(work).await,
        }
    }
}

fn import(tx: &mut Tx<'_>, by: &Caller, file: &PackageFile, existing: Existing) -> Result<ImportResult, EngineError> {
    let now = Timestamp::now();
    let mut errors = Vec::new();
    let mut done: BTreeMap<usize, Imported> = BTreeMap::new();
    for position in order(file)? {
        let spec = &file.packages[position];
        match import_one(tx, by, spec, existing, now) {
            Ok(imported) => drop(done.insert(position, imported)),
            Err(EngineError::Problem(problem)) => errors.extend(placed(position, problem)),
            Err(other) => return Err(other),
        }
    }
    invalid(errors)?;
    Ok(ImportResult { items: done.into_values().collect() })
}

/// The fields at fault, as they are found in the file.
fn placed(position: usize, problem: Problem) -> Vec<FieldError> {
    if problem.errors.is_empty() {
        return vec![FieldError { field: format!("packages[{position}]"), message: problem.detail }];
    }
    let at = |error: FieldError| FieldError { field: format!("packages[{position}].{}", error.field), ..error };
    problem.errors.into_iter().map(at).collect()
}

fn import_one(
    tx: &mut Tx<'_>,
    by: &Caller,
    spec: &PackageSpec,
    existing: Existing,
    now: Timestamp,
) -> Result<Imported, EngineError> {
    let done = |action, differences| Ok(Imported { name: spec.name.clone(), action, differences });
    if tx.package_content(Scope::All, &spec.name)?.is_none() {
        create(tx, by, spec, now)?;
        return done(ImportAction::Created, differences(None, spec));
    }
    let mine = changeable(tx, by, &spec.name)?;
    match (existing, mine) {
        // Of a package that the caller does not see nothing is told but that its name is taken.
        (Existing::Refuse, _) | (_, None) => {
            let message =
                format!("there is a package \"{}\" already; choose another name, or how to treat it", spec.name);
            Err(Problem::field_conflict("name", message).into())
        }
        (Existing::Skip, Some(before)) => done(ImportAction::Skipped, differences(Some(&before.spec), spec)),
        (Existing::Replace, Some(before)) => match update(tx, by, spec, now)? {
            true => done(ImportAction::Replaced, differences(Some(&before.spec), spec)),
            false => done(ImportAction::Unchanged, Vec::new()),
        },
    }
}

/// The order in which packages can be made: none before the one that it extends.
fn order(file: &PackageFile) -> Result<Vec<usize>, Problem> {
    if file.schema_version != PACKAGE_FILE_VERSION {
        let message = format!("version {} is unknown; this release reads {PACKAGE_FILE_VERSION}", file.schema_version);
        return Err(Problem::invalid("schema_version", message));
    }
    if file.packages.len() > MAX_PACKAGES_IN_FILE {
        let message = format!("use at most {MAX_PACKAGES_IN_FILE} packages in a file");
        return Err(Problem::invalid("packages", message));
    }
    let mut places: BTreeMap<&PackageName, usize> = BTreeMap::new();
    let mut errors = Vec::new();
    for (position, spec) in file.packages.iter().enumerate() {
        if places.insert(&spec.name, position).is_some() {
            let message = format!("\"{}\" is in the file twice; leave one out", spec.name);
            errors.push(FieldError { field: format!("packages[{position}].name"), message });
        }
    }
    invalid(errors)?;
    let mut ordered = Vec::with_capacity(file.packages.len());
    let mut placed: BTreeSet<&PackageName> = BTreeSet::new();
    let mut left: Vec<usize> = (0..file.packages.len()).collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|position| {
            let spec = &file.packages[*position];
            let waits = spec.extends.as_ref().is_some_and(|name| places.contains_key(name) && !placed.contains(name));
            if !waits {
                ordered.push(*position);
                placed.insert(&spec.name);
            }
            waits
        });
        if left.len() == before {
            let message = "these packages extend each other in a circle; one has to be the first".to_owned();
            let at = |position: usize| FieldError {
                field: format!("packages[{position}].extends"),
                message: message.clone(),
            };
            invalid(left.into_iter().map(at).collect())?;
            break;
        }
    }
    Ok(ordered)
}

/// What is different in how a package is written, field by field.
fn differences(before: Option<&PackageSpec>, after: &PackageSpec) -> Vec<Difference> {
    let flat = |spec: &PackageSpec| {
        let mut fields = BTreeMap::new();
        flatten("", &serde_json::to_value(spec).unwrap_or_default(), &mut fields);
        fields
    };
    let (old, new) = (before.map(flat).unwrap_or_default(), flat(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|name| *name != "name").collect();
    let value = |fields: &BTreeMap<String, Value>, name: &String| fields.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Difference { field: name.clone(), before: value(&old, name), after: value(&new, name) })
        .collect()
}

fn flatten(name: &str, value: &Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&path, member, fields);
            }
        }
        other => drop(fields.insert(name.to_owned(), other.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: Value) -> PackageFile {
        serde_json::from_value(serde_json::json!({"schema_version": 1, "packages": json})).unwrap()
    }

    #[test]
    fn ten_05_packages_are_made_after_those_they_extend() {
        let good = file(serde_json::json!([
            {"name": "cc", "extends": "bb"}, {"name": "bb", "extends": "aa"}, {"name": "aa", "extends": "elsewhere"}
        ]));
        assert_eq!(order(&good).unwrap(), [2, 1, 0]);
        let circle =
            file(serde_json::json!([{"name": "aa", "extends": "bb"}, {"name": "bb", "extends": "aa"}, {"name": "cc"}]));
        let problem = order(&circle).unwrap_err();
        assert_eq!(
            problem.errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(),
            ["packages[0].extends", "packages[1].extends"]
        );
        let twice = file(serde_json::json!([{"name": "aa"}, {"name": "aa"}]));
        assert_eq!(order(&twice).unwrap_err().errors[0].field, "packages[1].name");
    }

    #[test]
    fn ten_05_differences_are_told_field_by_field() {
        let spec = |json: Value| serde_json::from_value::<PackageSpec>(json).unwrap();
        let before = spec(serde_json::json!({"name": "aa", "limits": {"disk_mb": 1, "inodes": null}}));
        let after = spec(serde_json::json!({"name": "aa", "limits": {"disk_mb": 2}, "features": {"ssh": true}}));
        let found = differences(Some(&before), &after);
        let fields: Vec<_> = found.iter().map(|d| d.field.as_str()).collect();
        // Null and absent are different things here, and look the same in a value: both are told.
        assert_eq!(fields, ["features.ssh", "limits.disk_mb", "limits.inodes"]);
    }
}
