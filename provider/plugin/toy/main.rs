//! A small provider with a bit of everything, for the tests of `tfplugin`. It keeps its things as files in a directory.

mod boxes;
mod functions;
mod list;
mod lookup;
mod store;

use tfplugin::{
    Attribute, Configure, Context, DataSource, Diagnostic, EphemeralResource, Field, Function,
    ListResource, Provider, Resource, Result, Schema, Value,
};

use store::Store;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    tfplugin::serve(Toy).await
}

struct Toy;

#[tfplugin::async_trait]
impl Provider for Toy {
    type Client = Store;

    fn name(&self) -> &str {
        "toy"
    }

    fn schema(&self) -> Schema {
        Schema::new("Keeps things as files.")
            .attribute(
                "directory",
                Attribute::string().required().describe("Where."),
            )
            .attribute("key", Attribute::string().optional().sensitive())
    }

    async fn validate(&self, ctx: &Context<Store>, config: &Value) -> Result<()> {
        if config.get("directory").as_str() == Some("") {
            ctx.report(
                Diagnostic::error("No directory", "The directory must have a name.")
                    .at("directory"),
            );
        }
        Ok(())
    }

    async fn configure(&self, _: &Context<Store>, request: Configure) -> Result<Option<Store>> {
        tracing::info!(terraform = request.terraform_version, "configured");
        tracing::trace!("a detail");
        let directory: Field<String> = request.config.attribute("directory")?;
        Ok(directory.known().map(Store::new))
    }

    fn resources(&self) -> Vec<Box<dyn Resource<Store>>> {
        vec![Box::new(boxes::Boxes)]
    }

    fn data_sources(&self) -> Vec<Box<dyn DataSource<Store>>> {
        vec![Box::new(lookup::Lookup)]
    }

    fn ephemeral_resources(&self) -> Vec<Box<dyn EphemeralResource<Store>>> {
        vec![Box::new(lookup::Secret)]
    }

    fn list_resources(&self) -> Vec<Box<dyn ListResource<Store>>> {
        vec![Box::new(list::Boxes)]
    }

    fn functions(&self) -> Vec<Box<dyn Function>> {
        vec![Box::new(functions::Double), Box::new(functions::Join)]
    }
}
