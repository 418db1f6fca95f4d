//! A provider that does nothing: what a provider in a process of its own costs.

use tfplugin::{
    Attribute, Configure, Context, Create, Import, Instance, Private, Provider, Resource, Result,
    Schema, Update, async_trait,
};

pub(crate) struct Floor;

struct Thing;

#[async_trait]
impl Provider for Floor {
    type Client = ();

    fn name(&self) -> &str {
        "ipam"
    }

    fn schema(&self) -> Schema {
        Schema::new("Does nothing.")
    }

    async fn configure(&self, _: &Context<()>, _: Configure) -> Result<Option<()>> {
        Ok(Some(()))
    }

    fn resources(&self) -> Vec<Box<dyn Resource<()>>> {
        vec![Box::new(Thing)]
    }
}

#[async_trait]
impl Resource<()> for Thing {
    fn name(&self) -> &str {
        "ipam_floor"
    }

    fn schema(&self) -> Schema {
        Schema::new("Three values and an id.")
            .attribute("id", Attribute::string().computed().use_state_for_unknown())
            .attribute("vpc", Attribute::string().required())
            .attribute("name", Attribute::string().required())
            .attribute("prefix_length", Attribute::number().required())
    }

    async fn create(&self, _: &Context<()>, request: Create) -> Result<Instance> {
        let mut state = request.planned;
        state.set("id", "0190d6a5-8f0e-7cc0-a7a0-000000000001");
        Ok(Instance {
            state,
            private: Private::default(),
        })
    }

    async fn read(&self, _: &Context<()>, current: Instance) -> Result<Option<Instance>> {
        Ok(Some(current))
    }

    async fn update(&self, _: &Context<()>, request: Update) -> Result<Instance> {
        Ok(Instance {
            state: request.planned,
            private: request.private,
        })
    }

    async fn delete(&self, _: &Context<()>, _: Instance) -> Result<()> {
        Ok(())
    }

    async fn import(&self, _: &Context<()>, _: Import) -> Result<Instance> {
        Err(tfplugin::Diagnostic::error("There is nothing to import", "It does nothing.").into())
    }
}
