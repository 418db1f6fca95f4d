//! Calls about tokens.

use ipam_shared::{
    api::token::{NewToken, Token, TokenFilter, TokenPatch, Whoami},
    ids::{Claim, TokenId},
    page::Page,
};
use reqwest::Method;

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is},
};

impl Noun for Token {
    const PATH: &'static str = "tokens";
    const WORD: &'static str = "token";
    type Patch = TokenPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn shows(&self, patch: &TokenPatch) -> bool {
        is(patch.description.as_ref(), &self.description)
            && is(patch.roles.as_ref(), &self.roles)
            && is(patch.limits.as_ref(), &self.limits)
            && patch.expires_at.is_none_or(|at| self.expires_at == at)
            && (patch.secret.as_ref()).is_none_or(|secret| secret.public_id() == self.public_id)
    }
}

impl Named for Token {
    type New = NewToken;

    fn is_named_by(&self, new: &NewToken) -> bool {
        self.name.folded() == new.name.folded()
    }
}

impl Client {
    /// Creates a token, whose secret only the reply has, or the request. Repeating it is safe: until it is confirmed, the same request of the
    /// same owner returns the same token with a new secret, or that of the request.
    pub async fn create_token(&self, request: &NewToken) -> Result<Created<Token>, Error> {
        self.create(request).await
    }

    /// The token with that id or name. The claim, if there is one, confirms that the reader owns it.
    pub async fn get_token(&self, id_or_name: &str, claim: Option<Claim>) -> Result<Token, Error> {
        self.get(id_or_name, claim).await
    }

    /// One page of the tokens that match the filter.
    pub async fn list_tokens(&self, filter: &TokenFilter) -> Result<Page<Token>, Error> {
        self.list(Token::PATH, filter).await
    }

    /// All tokens that match the filter, from its cursor on.
    pub async fn all_tokens(&self, filter: &TokenFilter) -> Result<Vec<Token>, Error> {
        self.all(Token::PATH, filter).await
    }

    /// The first tokens that match the filter, from its cursor on, at most `most`, and whether there are more.
    pub async fn first_tokens(
        &self,
        filter: &TokenFilter,
        most: usize,
    ) -> Result<(Vec<Token>, bool), Error> {
        self.first(Token::PATH, filter, most).await
    }

    /// Changes a token. With `revision` only if nobody has changed it since; a repeated request that finds its own change
    /// succeeds.
    pub async fn update_token(
        &self,
        id: TokenId,
        patch: &TokenPatch,
        revision: Option<i64>,
    ) -> Result<Token, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Revokes a token. With `revision` only if nobody has changed it since. A repeated request that finds it revoked
    /// succeeds.
    pub async fn delete_token(&self, id: TokenId, revision: Option<i64>) -> Result<(), Error> {
        self.delete_by_id::<Token>(&id.to_string(), revision).await
    }

    /// Who the server takes the caller for, and what it may do.
    pub async fn whoami(&self) -> Result<Whoami, Error> {
        self.send(self.api(Method::GET, &["whoami"])).await?.json()
    }
}
