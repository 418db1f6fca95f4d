//! Many claims at once.

use ipam_shared::api::ownership::{
    Confirmation, ConfirmationResult, ConfirmationResults, Confirmations, MAX_CONFIRMATIONS,
};
use reqwest::{Method, RequestBuilder};

use crate::{Client, Error};

impl Client {
    /// Confirms that the caller owns these things, as reading each with its claim does; in as few requests as possible.
    /// The answers come in the order of the claims. Repeating it is safe.
    pub async fn confirm(&self, claims: &[Confirmation]) -> Result<Vec<ConfirmationResult>, Error> {
        self.settle(claims, || self.api(Method::POST, &["confirmations"]))
            .await
    }

    /// Transfers these things to the caller, whoever had them, as an import does: each gets the claim that the caller has
    /// generated for it and [`crate::Settings::owner`], and is confirmed. Repeating it with the same claims is safe.
    pub async fn take_over(
        &self,
        claims: &[Confirmation],
    ) -> Result<Vec<ConfirmationResult>, Error> {
        self.settle(claims, || self.creation(&["claims"])).await
    }

    async fn settle(
        &self,
        claims: &[Confirmation],
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Vec<ConfirmationResult>, Error> {
        let mut results = Vec::with_capacity(claims.len());
        for claims in claims.chunks(MAX_CONFIRMATIONS) {
            let asked = Confirmations {
                claims: claims.to_vec(),
            };
            let reply = self.send(request().json(&asked)).await?;
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
