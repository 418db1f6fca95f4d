//! The configuration of what is imported, or was found by a query, and has none yet.

use crate::planning::keep_configurable;
use crate::proto::tf;
use crate::provider::Provider;

use super::{Server, decode, encode, guard, messages};

impl<P: Provider> Server<P> {
    pub(super) async fn generate(
        &self,
        request: tf::generate_resource_config::Request,
    ) -> tf::generate_resource_config::Response {
        let ctx = self.context();
        let operation = format!("generating the configuration of {}", request.type_name);
        let outcome = guard(&operation, &ctx, async {
            let (resource, states) = self.resource(&request.type_name)?;
            let mut config = decode(request.state.as_ref(), states.schema)?;
            if !config.is_null() {
                keep_configurable(&states.schema.body, &mut config);
                resource.generate(&mut config);
            }
            Ok(encode(&config, &states.schema.ty())?)
        })
        .await;
        tf::generate_resource_config::Response {
            config: outcome.value,
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }
}
