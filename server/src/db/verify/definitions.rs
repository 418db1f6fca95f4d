//! What the schema is made of: a hash for each function, trigger, constraint, index and view. Those that the migrations make
//! are in `definitions.txt`, which is generated (docs/CONTRIBUTING.md). So what the owner of the tables replaced by hand is
//! found, also if it has the same name.
//!
//! The hashes are the same for PostgreSQL 15 to 18: of functions the text is hashed, and from views what qualifies a column
//! is left out, which later versions no longer print. The schema of the views that limit callers stays.

use std::collections::BTreeMap;

use sqlx::query;

use crate::{db::Connection, error::Result};

/// A hash and what it is of, one a line.
const EXPECTED: &str = include_str!("definitions.txt");

/// The definitions in the database, by what they define.
pub async fn definitions(db: &mut Connection) -> Result<BTreeMap<String, String>> {
    let rows = query!(
        r#"with ours as (
            select relnamespace as schema from pg_class where oid = 'block'::regclass
            union select oid from pg_namespace where nspname = 'ipam_scoped'
        )
        select format('function %s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)) as "name!",
            md5(concat_ws('|', prosrc, proconfig::text, prosecdef, provolatile, proparallel, proisstrict, lanname,
                prorettype::regtype, proretset)) as "hash!"
        from pg_proc join pg_language on pg_language.oid = prolang
        where pronamespace in (select schema from ours) and proname like 'ipam\_%'
        union all
        select format('trigger %s on %s', tgname, relname), md5(pg_get_triggerdef(pg_trigger.oid, true))
        from pg_trigger join pg_class on pg_class.oid = tgrelid
        where not tgisinternal and relnamespace in (select schema from ours)
        union all
        select format('constraint %s on %s', conname, relname), md5(pg_get_constraintdef(pg_constraint.oid, true))
        from pg_constraint join pg_class on pg_class.oid = conrelid
        where connamespace in (select schema from ours) and contype <> 'n'
        union all
        select format('index %s', relname), md5(pg_get_indexdef(oid))
        from pg_class where relkind = 'i' and relnamespace in (select schema from ours)
        union all
        select format('view %s', relname),
            md5(regexp_replace(pg_get_viewdef(oid, true), '\y(?!ipam_scoped\.)[a-z_]+\.', '', 'g'))
        from pg_class where relkind = 'v' and relnamespace in (select schema from ours)
            and relnamespace = 'ipam_scoped'::regnamespace
        union all
        -- What a table has that none of ours needs, and that changes what statements do.
        select format('rule %s on %s', rulename, relname), ''
        from pg_rewrite join pg_class on pg_class.oid = ev_class
        where relkind <> 'v' and relnamespace in (select schema from ours)
        union all
        select format('row security of %s', relname), ''
        from pg_class where relrowsecurity and relnamespace in (select schema from ours)
        order by 1"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.hash)).collect())
}

/// The triggers that the migrations make, each with its table.
pub fn triggers() -> impl Iterator<Item = (String, String)> {
    let triggers = EXPECTED.lines().filter_map(|line| {
        let (_, what) = line.split_once(" trigger ")?;
        what.split_once(" on ")
    });
    triggers.map(|(name, table)| (name.to_owned(), table.to_owned()))
}

/// What is not as the migrations make it, or was added where it changes what statements do.
pub async fn changed_definitions(db: &mut Connection) -> Result<Vec<String>> {
    let found = definitions(db).await?;
    let expected: BTreeMap<_, _> = EXPECTED
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(hash, name)| (name, hash)))
        .collect();
    let mut findings = Vec::new();
    for (name, hash) in &expected {
        match found.get(*name) {
            // Other checks name what is missing of the rest.
            None if name.starts_with("function ") || name.starts_with("view ") => {
                findings.push(format!("{name} is missing"));
            }
            Some(other) if other != hash => {
                findings.push(format!(
                    "{name} is not what the migrations make; somebody replaced it"
                ));
            }
            _ => {}
        }
    }
    // What only adds a rule is none of our business.
    let steers = ["trigger ", "rule ", "row security "];
    for name in found.keys() {
        if !expected.contains_key(name.as_str()) && steers.iter().any(|kind| name.starts_with(kind))
        {
            findings.push(format!(
                "{name} is not of the migrations; somebody added it"
            ));
        }
    }
    findings.truncate(100);
    Ok(findings)
}
