//! The table of calls: each goes to the method that does the work.

use futures::future::BoxFuture;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::proto::tf;
use crate::provider::Provider;
use crate::schema::Schema;

use super::{Server, messages};

const CAPABILITIES: tf::ServerCapabilities = tf::ServerCapabilities {
    plan_destroy: true,
    get_provider_schema_optional: true,
    move_resource_state: true,
    generate_resource_config: true,
};

/// The calls that only hand on to a method of [`Server`]. Expanded by hand as `async_trait` would, since it can't see into
/// macros.
macro_rules! calls {
    ($($rpc:ident => $work:ident;)*) => {$(
        fn $rpc<'a, 'b>(
            &'a self,
            request: Request<tf::$rpc::Request>,
        ) -> BoxFuture<'b, Result<Response<tf::$rpc::Response>, Status>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async move { Ok(Response::new(self.$work(request.into_inner()).await)) })
        }
    )*};
}

#[tonic::async_trait]
impl<P: Provider> tf::provider_server::Provider for Server<P> {
    async fn get_metadata(
        &self,
        _: Request<tf::get_metadata::Request>,
    ) -> Result<Response<tf::get_metadata::Response>, Status> {
        use tf::get_metadata::{
            DataSourceMetadata, EphemeralMetadata, FunctionMetadata, ListResourceMetadata,
            ResourceMetadata,
        };
        Ok(Response::new(tf::get_metadata::Response {
            server_capabilities: Some(CAPABILITIES),
            diagnostics: Vec::new(),
            resources: self
                .resources
                .keys()
                .map(|name| ResourceMetadata {
                    type_name: name.clone(),
                })
                .collect(),
            data_sources: self
                .data_sources
                .keys()
                .map(|name| DataSourceMetadata {
                    type_name: name.clone(),
                })
                .collect(),
            functions: self
                .functions
                .keys()
                .map(|name| FunctionMetadata { name: name.clone() })
                .collect(),
            ephemeral_resources: self
                .ephemeral_resources
                .keys()
                .map(|name| EphemeralMetadata {
                    type_name: name.clone(),
                })
                .collect(),
            list_resources: self
                .list_resources
                .keys()
                .map(|name| ListResourceMetadata {
                    type_name: name.clone(),
                })
                .collect(),
        }))
    }

    async fn get_provider_schema(
        &self,
        _: Request<tf::get_provider_schema::Request>,
    ) -> Result<Response<tf::get_provider_schema::Response>, Status> {
        let all = |schemas: &std::collections::BTreeMap<String, Schema>| {
            schemas
                .iter()
                .map(|(name, s)| (name.clone(), messages::schema(s)))
                .collect()
        };
        let description = &self.description;
        Ok(Response::new(tf::get_provider_schema::Response {
            provider: Some(messages::schema(&description.provider)),
            resource_schemas: all(&description.resources),
            data_source_schemas: all(&description.data_sources),
            ephemeral_resource_schemas: all(&description.ephemeral_resources),
            list_resource_schemas: all(&description.list_resources),
            functions: self.signatures(),
            server_capabilities: Some(CAPABILITIES),
            diagnostics: messages::diagnostics(self.schema_errors()),
            provider_meta: None,
        }))
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<tf::get_resource_identity_schemas::Request>,
    ) -> Result<Response<tf::get_resource_identity_schemas::Response>, Status> {
        let identities = self.description.identities.iter();
        Ok(Response::new(tf::get_resource_identity_schemas::Response {
            identity_schemas: identities
                .map(|(name, s)| (name.clone(), messages::identity_schema(s)))
                .collect(),
            diagnostics: Vec::new(),
        }))
    }

    async fn get_functions(
        &self,
        _: Request<tf::get_functions::Request>,
    ) -> Result<Response<tf::get_functions::Response>, Status> {
        Ok(Response::new(tf::get_functions::Response {
            functions: self.signatures(),
            diagnostics: Vec::new(),
        }))
    }

    calls! {
        validate_provider_config => validate_provider;
        configure_provider => configure;
        validate_resource_config => validate_resource;
        plan_resource_change => plan;
        apply_resource_change => apply;
        read_resource => read;
        import_resource_state => import;
        generate_resource_config => generate;
        validate_list_resource_config => validate_list;
        upgrade_resource_state => upgrade;
        upgrade_resource_identity => upgrade_identity;
        move_resource_state => move_state;
        validate_data_resource_config => validate_data_source;
        read_data_source => read_data_source;
        validate_ephemeral_resource_config => validate_ephemeral;
        open_ephemeral_resource => open;
        renew_ephemeral_resource => renew;
        close_ephemeral_resource => close;
    }

    async fn list_resource(
        &self,
        request: Request<tf::list_resource::Request>,
    ) -> Result<Response<BoxStream<tf::list_resource::Event>>, Status> {
        Ok(Response::new(self.list(request.into_inner())))
    }

    async fn call_function(
        &self,
        request: Request<tf::call_function::Request>,
    ) -> Result<Response<tf::call_function::Response>, Status> {
        Ok(Response::new(Self::call_function(self, request.get_ref())))
    }

    /// Ctrl-C: tells the handlers, and keeps the server up so that running calls can answer.
    async fn stop_provider(
        &self,
        _: Request<tf::stop_provider::Request>,
    ) -> Result<Response<tf::stop_provider::Response>, Status> {
        tracing::info!("asked to stop: running calls are told to finish soon");
        self.stop.cancel();
        Ok(Response::new(tf::stop_provider::Response::default()))
    }
}

impl<P: Provider> Server<P> {
    /// A schema with mistakes is not sent to Terraform.
    fn schema_errors(&self) -> Diagnostics {
        let problems = self.description.problems().into_iter();
        problems
            .map(|problem| Diagnostic::error("Mistake in the provider's schema", problem))
            .collect()
    }

    fn signatures(&self) -> std::collections::HashMap<String, tf::Function> {
        let functions = self.description.functions.iter();
        functions
            .map(|(name, s)| (name.clone(), messages::signature(s)))
            .collect()
    }
}
