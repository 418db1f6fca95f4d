//! The role that a server connects as, which is not the one that owns the tables.

use anyhow::Context as _;
use sqlx::PgConnection;

use super::scram;
use crate::db::privileges;

/// How a role gets in.
pub enum Login {
    /// It exists, and whoever made it decides.
    AsItIs,
    /// Over a socket that only this server reaches; created if need be.
    WithoutPassword,
    /// With this password; created if need be.
    Password(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Gives a role exactly what a server needs. May be repeated, and has to be after each new version of the schema.
///
/// # Errors
/// When there is no such role, it could do more than that, or the connection may not give it anything.
pub(super) async fn grant_to(
    connection: &mut PgConnection,
    name: &str,
    login: &Login,
) -> anyhow::Result<()> {
    let turn = privileges::take_turn(connection).await;
    turn.context("somebody else has been granting privileges in this database for too long")?;
    let verifier = match login {
        Login::Password(password) => Some(scram::verifier(password)?),
        Login::AsItIs | Login::WithoutPassword => None,
    };
    if !matches!(login, Login::AsItIs) {
        // A role with rights of its own is left as it is.
        let found = privileges::find_role(connection, name).await?;
        if let Some(role) = &found {
            check(name, role)?;
        }
        if found.is_none() || verifier.is_some() {
            let made = privileges::create_role(connection, name, verifier.as_deref()).await;
            made.with_context(|| format!("the role {name} could not be created"))?;
        }
    }
    let role = privileges::find_role(connection, name).await?;
    let role = role.with_context(|| {
        format!(
            "there is no role {name} in PostgreSQL; create it, such as with: create role {name} login password '...', or \
             let this command do it, with --grant-password-file"
        )
    })?;
    check(name, &role)?;
    privileges::grant(connection, &role)
        .await
        .with_context(|| {
            format!(
                "the role {name} could not be given what a server needs; only the owner of the tables can do that"
            )
        })
}

fn check(name: &str, role: &privileges::Role) -> anyhow::Result<()> {
    anyhow::ensure!(
        role.excess.is_empty(),
        "the role {name} can do more than a server needs: {}. Nothing was granted; choose a role that can do nothing yet",
        role.excess.join(", and ")
    );
    Ok(())
}
