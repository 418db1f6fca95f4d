//! Ephemeral resources: values that live for one run of Terraform and are in no state and no plan. Ask no server.

use ipam_shared::secret::Secret;
use tfplugin::{
    Attribute, Context, Diagnostic, EphemeralResource, Opened, Result, Schema, Value, async_trait,
};

use crate::connection::Connection;

/// All ephemeral resources.
pub(crate) fn all() -> Vec<Box<dyn EphemeralResource<Connection>>> {
    vec![Box::new(TokenSecret)]
}

/// A secret that a token may get.
struct TokenSecret;

#[async_trait]
impl EphemeralResource<Connection> for TokenSecret {
    fn name(&self) -> &str {
        "ipam_token_secret"
    }

    fn schema(&self) -> Schema {
        let secret = Attribute::string().computed().sensitive().describe(
            "The secret: `ipam_`, a public id of 12 characters, `_`, 160 random bits in 32 characters, and a checksum of 6.",
        );
        let public_id = Attribute::string().computed().describe(
            "The part of the secret that is none, by which a token shows which secret it has.",
        );
        Schema::new(
            "Makes a secret for an `ipam_token`, on the machine that runs Terraform; no server is asked. It is another one in \
             every plan and every apply, and is in no state and no plan, so it has to be stored in the run that uses it: in \
             a secret store, by a write-only attribute. Terraform 1.10 or later.",
        )
        .attribute("secret", secret)
        .attribute("public_id", public_id)
    }

    async fn open(&self, _ctx: &Context<Connection>, _config: Value) -> Result<Opened> {
        let secret = Secret::generate().map_err(|error| {
            Diagnostic::error(
                "No secret could be made",
                format!("This machine has no random numbers: {error}."),
            )
        })?;
        let result = Value::object([
            ("secret", secret.reveal().into()),
            ("public_id", secret.public_id().into()),
        ]);
        Ok(Opened {
            result,
            ..Opened::default()
        })
    }
}
