//! What a server may do in the database, and nothing more: it reads and writes rows, it neither owns nor changes tables, and
//! what is there to be believed later it can only add to.

use sqlx::{AssertSqlSafe, PgConnection, query};

/// The tables, and what a server does with them. What refers to them with `on delete cascade`, and the checks of foreign
/// keys, run with the rights of the owner.
const TABLES: [(&str, &str); 23] = [
    ("vrf", "select, insert, update, delete"),
    ("pool", "select, insert, update, delete"),
    // Ranges are added and removed, never changed.
    ("pool_range", "select, insert, delete"),
    ("free_block", "select, insert, delete"),
    ("free_count", "select, insert, update"),
    ("profile", "select, insert, update, delete"),
    ("profile_member", "select, insert, update, delete"),
    ("vpc", "select, insert, update, delete"),
    ("allocation", "select, insert, update, delete"),
    // Blocks are made and released, never changed.
    ("block", "select, insert, delete"),
    ("reservation", "select, insert, update, delete"),
    ("cooldown", "select, insert, delete"),
    ("idempotency_key", "select, insert, delete"),
    ("token", "select, insert, update, delete"),
    ("session", "select, insert, update, delete"),
    ("webhook", "select, insert, update, delete"),
    ("webhook_secret", "select, insert, update, delete"),
    // It goes with its webhook.
    ("webhook_delivery", "select, insert, update"),
    ("address_plan", "select, update"),
    // Written by whoever migrates, and again by who reconciles.
    ("origin", "select, update"),
    // What happened is added to, and that is all.
    ("past_block", "select, insert"),
    ("event", "select, insert"),
    ("event_seal", "select, insert"),
];

/// The sequences that are used by name.
const SEQUENCES: [(&str, &str); 4] = [
    // Imports bring numbers along, and skip these.
    ("allocation_number_seq", "usage, select, update"),
    ("pool_range_range_id_seq", "usage"),
    ("profile_member_member_id_seq", "usage"),
    // How far the audit log is, for its seals.
    ("event_event_id_seq", "select"),
];

/// Where the views of limited callers are.
const SCOPED: &str = "ipam_scoped";

/// Where the migrator notes what it has done.
const MIGRATIONS: &str = "_sqlx_migrations";

/// Tables of which nothing is ever removed or changed.
const HISTORY: [&str; 3] = ["event", "event_seal", "past_block"];

/// A role that is to be given what a server needs.
#[derive(Clone, Debug)]
pub struct Role {
    /// As statements name it.
    quoted: String,
    /// Why it could do more than a server needs, whatever it is given.
    pub excess: Vec<String>,
}

/// Waits until nobody else grants in this database, since PostgreSQL refuses two who do so at once; until the connection is
/// closed.
pub async fn take_turn(db: &mut PgConnection) -> sqlx::Result<()> {
    query!(r#"select 1 as "one!" from pg_advisory_lock(hashtext('ipam privileges'))"#)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// A role; none if there is none of that name.
pub async fn find_role(db: &mut PgConnection, name: &str) -> sqlx::Result<Option<Role>> {
    let row = query!(
        r#"select quote_ident(rolname) as "quoted!", array_remove(array[
            case when rolsuper then 'it is a superuser' end,
            case when rolcreaterole then 'it may create roles' end,
            case when rolreplication then 'it may replicate the whole cluster' end,
            case when rolname = current_user then 'it is the role that migrates, and so owns the tables' end,
            case when rolname <> current_user and not rolsuper and pg_has_role(rolname, current_user, 'member')
                then 'it is a member of the role that owns the tables' end,
            case when not rolsuper and exists (
                select from pg_class where relowner = pg_roles.oid and relnamespace = current_schema()::regnamespace
            ) and rolname <> current_user then 'it owns tables' end,
            case when not rolsuper and rolname <> current_user
                and not pg_has_role(rolname, current_user, 'member')
                and has_schema_privilege(rolname, current_schema(), 'create')
                then 'it may create objects in the schema; take that away with: revoke create on schema '
                    || quote_ident(current_schema()) || ' from public, ' || quote_ident(rolname) end
        ], null) as "excess!"
        from pg_roles where rolname = $1"#,
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Role {
        quoted: row.quoted,
        excess: row.excess,
    }))
}

/// Creates a role that may log in, and nothing else, or gives it another password. `verifier` is what PostgreSQL keeps of
/// the password; none for a role that needs none.
pub async fn create_role(
    db: &mut PgConnection,
    name: &str,
    verifier: Option<&str>,
) -> sqlx::Result<()> {
    let row = query!(
        r#"select (case when exists (select from pg_roles where rolname = $1) then 'alter' else 'create' end)
            || format(' role %I login', $1::text)
            || coalesce(format(' password %L', $2::text), '') as "statement!""#,
        name,
        verifier
    )
    .fetch_one(&mut *db)
    .await?;
    sqlx::raw_sql(AssertSqlSafe(row.statement))
        .execute(db)
        .await?;
    Ok(())
}

/// Gives a role what a server needs, and takes what else it has of our tables and sequences. May be repeated.
pub async fn grant(db: &mut PgConnection, role: &Role) -> sqlx::Result<()> {
    let to = &role.quoted;
    let row = query!(
        r#"select quote_ident(current_schema()) as "schema!", quote_ident(current_database()) as "database!""#
    )
    .fetch_one(&mut *db)
    .await?;
    let schema = &row.schema;
    // Several statements in one message are one transaction.
    let mut statements = format!(
        "grant connect on database {database} to {to}; grant usage on schema {schema} to {to};
        grant select on {MIGRATIONS} to {to};",
        database = row.database
    );
    for (table, privileges) in TABLES {
        statements +=
            &format!("revoke all on {table} from {to}; grant {privileges} on {table} to {to};");
    }
    // What limited callers see: views, which read the tables with the rights of the owner.
    statements += &format!(
        "grant usage on schema {SCOPED} to {to}; grant select on all tables in schema {SCOPED} to {to};"
    );
    for (sequence, privileges) in SEQUENCES {
        statements += &format!(
            "revoke all on sequence {sequence} from {to}; grant {privileges} on sequence {sequence} to {to};"
        );
    }
    // Everybody may by default; some take that away.
    statements += &format!(
        "do $$ declare named regprocedure; begin
            for named in select oid from pg_proc where proname like 'ipam\\_%'
                and pronamespace = current_schema()::regnamespace loop
                execute format('grant execute on function %s to %s', named, {to_text});
            end loop;
        end $$",
        to_text = format_args!("'{}'", to.replace('\'', "''"))
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(db).await?;
    Ok(())
}

/// What the role of a connection lacks of what a server needs.
pub async fn missing(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let tables = TABLES.into_iter().map(|of| (false, of));
    let all = tables.chain(SEQUENCES.into_iter().map(|of| (true, of)));
    let (mut are_sequences, mut names, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for (is_sequence, (name, privileges)) in all {
        for privilege in privileges.split(", ") {
            are_sequences.push(is_sequence);
            names.push(name.to_owned());
            wanted.push(privilege.to_owned());
        }
    }
    let rows = query!(
        r#"select privilege || ' on ' || name as "missing!"
        from unnest($1::bool[], $2::text[], $3::text[]) as wanted (is_sequence, name, privilege)
        where not coalesce(case when is_sequence
            then has_sequence_privilege(to_regclass(name)::oid, privilege)
            else has_table_privilege(to_regclass(name)::oid, privilege) end, false)
        union all
        select 'select on ' || oid::regclass::text from pg_class
        where relnamespace = to_regnamespace('ipam_scoped') and not has_table_privilege(oid, 'select')"#,
        &are_sequences,
        &names,
        &wanted
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.missing).collect())
}

/// Which tables of history the role of a connection could rewrite.
pub async fn rewritable(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let names = HISTORY.map(str::to_owned);
    let rows = query!(
        r#"select name as "name!" from unnest($1::text[]) as name
        where has_table_privilege(to_regclass(name)::oid, 'update, delete, truncate')"#,
        &names[..]
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// A migration that was carried out: its number, the checksum of its text, and whether it was completed.
#[derive(Clone, Debug)]
pub struct Migrated {
    /// Its number.
    pub version: i64,
    /// The checksum of its text.
    pub checksum: Vec<u8>,
    /// Whether it was completed.
    pub is_complete: bool,
}

/// The migrations that were carried out, by whatever release; none if the database has no schema of ipam.
pub async fn migrations(db: &mut PgConnection) -> sqlx::Result<Option<Vec<Migrated>>> {
    // Unchecked: the table is created by the migrator.
    let statement = "select version, checksum, success from _sqlx_migrations order by version";
    let rows: Result<Vec<(i64, Vec<u8>, bool)>, _> = sqlx::query_as(statement).fetch_all(db).await;
    match rows {
        Ok(rows) => Ok(Some(
            rows.into_iter()
                .map(|(version, checksum, is_complete)| Migrated {
                    version,
                    checksum,
                    is_complete,
                })
                .collect(),
        )),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(None),
        Err(error) => Err(error),
    }
}
