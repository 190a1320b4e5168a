//! Values that are sealed with a key outside of the database (SEC-10): where they are, and how they are replaced.
//!
//! A sealed value is text, `w1.<key id of 16 characters>.<rest>`: enough to tell which key it needs without opening it.

use crate::db::params;
use crate::row::columns;
use crate::{StoreError, Tx};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A column that holds sealed values. What is sealed for one place opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedColumn {
    /// Table.
    pub table: &'static str,
    /// Column that names the row; text.
    pub key: &'static str,
    /// Column with the sealed value; text, or null.
    pub column: &'static str,
}

/// The panel's own secrets.
pub const SECRETS: SealedColumn = SealedColumn { table: "secrets", key: "name", column: "sealed" };

/// Every column that holds sealed values: one that is not here is left behind by a rotation.
pub const SEALED_COLUMNS: &[SealedColumn] = &[SECRETS];

/// Characters before and of the key's identifier.
const BEFORE_KEY: i64 = 4;
const KEY: i64 = 16;

impl Tx<'_> {
    /// A secret of the panel, sealed.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn secret(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.query_opt("SELECT name, sealed FROM secrets WHERE name = $1", params![name])?;
        row.map(|row| columns("secrets", &row).text("sealed")).transpose()
    }

    /// Sets a secret of the panel.
    pub fn set_secret(&mut self, name: &str, sealed: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO secrets (name, sealed, created_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET sealed = $2, created_at = $3";
        self.execute(sql, params![name, sealed, now])?;
        Ok(())
    }

    /// Sets a secret of the panel unless there is one; the one that is there afterwards.
    pub fn set_secret_once(&mut self, name: &str, sealed: &str, now: Timestamp) -> Result<String, StoreError> {
        let sql = "INSERT INTO secrets (name, sealed, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.execute(sql, params![name, sealed, now])?;
        Ok(self.secret(name)?.unwrap_or_else(|| sealed.to_owned()))
    }

    /// How many values each key seals, by the key's identifier.
    pub fn sealed_counts(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut counts = BTreeMap::new();
        for SealedColumn { table, column, .. } in SEALED_COLUMNS {
            let sql = format!(
                "SELECT SUBSTR({column}, {BEFORE_KEY}, {KEY}) AS sealed_with, COUNT(*) AS how_many \
                 FROM {table} WHERE {column} IS NOT NULL GROUP BY SUBSTR({column}, {BEFORE_KEY}, {KEY})"
            );
            for row in self.query(&sql, &[])? {
                let c = columns(table, &row);
                *counts.entry(c.text("sealed_with")?).or_default() += c.count("how_many")?;
            }
        }
        Ok(counts)
    }

    /// Some values of a column that another key than `current` seals: their rows' names and the values.
    pub fn sealed_with_others(
        &mut self,
        place: SealedColumn,
        current: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let SealedColumn { table, key, column } = place;
        let sql = format!(
            "SELECT {key} AS row_name, {column} AS sealed_value FROM {table} WHERE {column} IS NOT NULL \
             AND SUBSTR({column}, {BEFORE_KEY}, {KEY}) <> $1 AND {key} > $2 ORDER BY {key} LIMIT $3"
        );
        let rows = self.query(&sql, params![current, after, i64::from(limit)])?;
        rows.iter()
            .map(|row| {
                let c = columns(table, row);
                Ok((c.text("row_name")?, c.text("sealed_value")?))
            })
            .collect()
    }

    /// Replaces a sealed value unless it has changed meanwhile; whether it was replaced.
    pub fn replace_sealed(
        &mut self,
        place: SealedColumn,
        row: &str,
        before: &str,
        after: &str,
    ) -> Result<bool, StoreError> {
        let SealedColumn { table, key, column } = place;
        let sql = format!("UPDATE {table} SET {column} = $3 WHERE {key} = $1 AND {column} = $2");
        Ok(self.execute(&sql, params![row, before, after])? > 0)
    }

    /// Removes all sealed values: their key is lost. How many.
    pub fn forget_sealed(&mut self) -> Result<u64, StoreError> {
        let mut forgotten = self.execute("DELETE FROM secrets", &[])?;
        for SealedColumn { table, column, .. } in SEALED_COLUMNS.iter().filter(|place| **place != SECRETS) {
            forgotten +=
                self.execute(&format!("UPDATE {table} SET {column} = NULL WHERE {column} IS NOT NULL"), &[])?;
        }
        Ok(forgotten)
    }
}
