//! Data sources: validate and read.

use crate::planning::settle;
use crate::proto::tf;
use crate::provider::Provider;

use super::{Server, decode, encode, find, guard, messages, schema_of, warn_of_deprecated};

impl<P: Provider> Server<P> {
    pub(super) async fn validate_data_source(
        &self,
        request: tf::validate_data_resource_config::Request,
    ) -> tf::validate_data_resource_config::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("validating data source {}", request.type_name),
            &ctx,
            async {
                let data_source = find(&self.data_sources, &request.type_name)?;
                let schema = schema_of(&self.description.data_sources, &request.type_name)?;
                let config = decode(request.config.as_ref(), schema)?;
                warn_of_deprecated(&ctx, schema, &config);
                data_source.validate(&ctx, &config).await
            },
        )
        .await;
        tf::validate_data_resource_config::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    pub(super) async fn read_data_source(
        &self,
        request: tf::read_data_source::Request,
    ) -> tf::read_data_source::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("reading data source {}", request.type_name),
            &ctx,
            async {
                let data_source = find(&self.data_sources, &request.type_name)?;
                let schema = schema_of(&self.description.data_sources, &request.type_name)?;
                let config = decode(request.config.as_ref(), schema)?;
                let mut answer = data_source.read(&ctx, config.clone()).await?;
                settle(&schema.body, &config, &mut answer);
                Ok(encode(&answer, &schema.ty())?)
            },
        )
        .await;
        tf::read_data_source::Response {
            state: outcome.value,
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..Default::default()
        }
    }
}
