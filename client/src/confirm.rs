//! Many claims at once.

use ipam_shared::api::ownership::{
    Confirmation, ConfirmationResult, ConfirmationResults, Confirmations, MAX_CONFIRMATIONS,
};
use reqwest::Method;

use crate::{Client, Error};

impl Client {
    /// Confirms that the caller owns these things, as reading each with its claim does; in as few requests as possible.
    /// The answers come in the order of the claims. Repeating it is safe.
    pub async fn confirm(&self, claims: &[Confirmation]) -> Result<Vec<ConfirmationResult>, Error> {
        let mut results = Vec::with_capacity(claims.len());
        for claims in claims.chunks(MAX_CONFIRMATIONS) {
            let asked = Confirmations {
                claims: claims.to_vec(),
            };
            let request = self.api(Method::POST, &["confirmations"]).json(&asked);
            let reply = self.send(request).await?;
            let answered: ConfirmationResults = reply.json()?;
            let ids = answered.results.iter().map(|result| result.id);
            if !ids.eq(claims.iter().map(|claim| claim.id)) {
                return Err(
                    reply.unbelievable("it is about other claims than those sent".to_owned())
                );
            }
            results.extend(answered.results);
        }
        Ok(results)
    }
}
