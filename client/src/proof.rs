//! Whether a server has a key, before the key is sent to it.

use ipam_shared::api::proof::{Proof, ProofQuery};
use reqwest::Method;

use crate::{Client, Error, Settings, SettingsError};

/// What keeps a server from answering with a proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It can't be asked with these settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It refused, or can't be reached.
    #[error(transparent)]
    Client(#[from] Error),
}

/// Asks the server of the settings to prove that it has a key. The key of the settings is not sent, whatever it is.
pub async fn ask_for_proof(settings: &Settings, nonce: String) -> Result<Proof, ProofError> {
    let client = Client::without_key(settings)?;
    let request = client.api(Method::GET, &["proof"]);
    let reply = client.send(request.query(&ProofQuery { nonce })).await?;
    Ok(reply.json()?)
}
