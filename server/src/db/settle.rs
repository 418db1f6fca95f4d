//! Makes sure that an answer may rely on what others have committed.

use super::{Connection, commit};

/// Writes something that nobody reads: once it is committed, everything committed before it is safe too, even if a standby
/// had not yet confirmed it.
pub async fn settle(db: &mut Connection) -> Result<(), sqlx::Error> {
    // Unchecked: it has neither parameters nor an answer.
    let message = sqlx::query("select pg_logical_emit_message(true, 'ipam', '')");
    message.execute(db).await.map(drop)
}

/// Whether warnings arrive at all: a setting of the database or its role, or a proxy, may suppress them.
pub async fn is_warned(db: &mut Connection) -> Result<bool, sqlx::Error> {
    // Unchecked: it is no query.
    let warn =
        sqlx::raw_sql("do $$ begin raise warning 'ipam looks whether warnings arrive'; end $$");
    let (done, warning) = commit::listening(warn.execute(db)).await;
    done?;
    Ok(warning.is_some())
}

#[cfg(test)]
mod tests {
    use ipam_testing::TestDatabase;

    use super::*;

    #[tokio::test]
    async fn warnings_of_a_database_arrive_unless_they_are_switched_off() {
        let database = TestDatabase::new().await;
        let mut db = database.connect().await.into();
        assert!(is_warned(&mut db).await.unwrap());
        sqlx::query("set client_min_messages = error")
            .execute(&mut db)
            .await
            .unwrap();
        assert!(!is_warned(&mut db).await.unwrap());
    }
}
