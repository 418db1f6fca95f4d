//! Ephemeral resources: validate, open, renew, close.

use std::time::SystemTime;

use crate::planning::settle;
use crate::private::Private;
use crate::proto::tf;
use crate::provider::Provider;

use super::{Server, decode, encode, find, guard, messages, schema_of, warn_of_deprecated};

impl<P: Provider> Server<P> {
    pub(super) async fn validate_ephemeral(
        &self,
        request: tf::validate_ephemeral_resource_config::Request,
    ) -> tf::validate_ephemeral_resource_config::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("validating ephemeral {}", request.type_name),
            &ctx,
            async {
                let resource = find(&self.ephemeral_resources, &request.type_name)?;
                let schema = schema_of(&self.description.ephemeral_resources, &request.type_name)?;
                let config = decode(request.config.as_ref(), schema)?;
                warn_of_deprecated(&ctx, schema, &config);
                resource.validate(&ctx, &config).await
            },
        )
        .await;
        tf::validate_ephemeral_resource_config::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    pub(super) async fn open(
        &self,
        request: tf::open_ephemeral_resource::Request,
    ) -> tf::open_ephemeral_resource::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("opening ephemeral {}", request.type_name),
            &ctx,
            async {
                let resource = find(&self.ephemeral_resources, &request.type_name)?;
                let schema = schema_of(&self.description.ephemeral_resources, &request.type_name)?;
                let config = decode(request.config.as_ref(), schema)?;
                let mut opened = resource.open(&ctx, config.clone()).await?;
                settle(&schema.body, &config, &mut opened.result);
                Ok(tf::open_ephemeral_resource::Response {
                    result: Some(encode(&opened.result, &schema.ty())?),
                    private: Some(opened.private.encode()),
                    renew_at: opened.renew_at.map(timestamp),
                    ..Default::default()
                })
            },
        )
        .await;
        tf::open_ephemeral_resource::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..outcome.value.unwrap_or_default()
        }
    }

    pub(super) async fn renew(
        &self,
        request: tf::renew_ephemeral_resource::Request,
    ) -> tf::renew_ephemeral_resource::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("renewing ephemeral {}", request.type_name),
            &ctx,
            async {
                let resource = find(&self.ephemeral_resources, &request.type_name)?;
                let notes = Private::decode(request.private.as_deref().unwrap_or_default());
                let renewed = resource.renew(&ctx, notes).await?;
                Ok(tf::renew_ephemeral_resource::Response {
                    private: Some(renewed.private.encode()),
                    renew_at: renewed.renew_at.map(timestamp),
                    ..Default::default()
                })
            },
        )
        .await;
        tf::renew_ephemeral_resource::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..outcome.value.unwrap_or_default()
        }
    }

    pub(super) async fn close(
        &self,
        request: tf::close_ephemeral_resource::Request,
    ) -> tf::close_ephemeral_resource::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("closing ephemeral {}", request.type_name),
            &ctx,
            async {
                let resource = find(&self.ephemeral_resources, &request.type_name)?;
                let notes = Private::decode(request.private.as_deref().unwrap_or_default());
                resource.close(&ctx, notes).await
            },
        )
        .await;
        tf::close_ephemeral_resource::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }
}

fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(time)
}
