//! Everything that is stored, as one text.

use sqlx::{AssertSqlSafe, PgConnection};

/// Each row of each table that there is, but for those that are named.
pub(crate) async fn state(db: &mut PgConnection, without: &[&str]) -> String {
    let sql: String = sqlx::query_scalar(
        r#"select 'select concat_ws(E''\n'', ' || string_agg(
                format(
                    '(select %L || coalesce(string_agg(t::text, E''\n'' order by t::text collate "C"), '''') from %I t)',
                    relname || E':\n', relname
                ), ', ' order by relname
            ) || ')'
            from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relname = any ($1)"#,
    )
    .bind(without)
    .fetch_one(&mut *db)
    .await
    .expect("the catalogue has tables");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(db)
        .await
        .expect("the state can be read")
}
