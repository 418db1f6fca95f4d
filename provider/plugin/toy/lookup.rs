//! The data source `toy_lookup` and the ephemeral resource `toy_secret`.

use std::time::{Duration, SystemTime};

use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, EphemeralResource, Opened, Private, Renewed,
    Result, Schema, Value,
};

use crate::store::Store;

pub(crate) struct Lookup;

#[tfplugin::async_trait]
impl DataSource<Store> for Lookup {
    fn name(&self) -> &str {
        "toy_lookup"
    }

    fn schema(&self) -> Schema {
        Schema::new("Looks a box up.")
            .attribute("id", Attribute::string().required())
            .attribute("size", Attribute::number().computed())
    }

    async fn read(&self, ctx: &Context<Store>, mut config: Value) -> Result<Value> {
        let id: String = config.attribute("id")?;
        let found = ctx.client()?.get(&id)?;
        let found = found.ok_or_else(|| {
            Diagnostic::error("No such box", format!("There is no {id}.")).at("id")
        })?;
        config.set("size", found["size"].clone());
        Ok(config)
    }
}

pub(crate) struct Secret;

#[tfplugin::async_trait]
impl EphemeralResource<Store> for Secret {
    fn name(&self) -> &str {
        "toy_secret"
    }

    fn schema(&self) -> Schema {
        Schema::new("A secret for one run.")
            .attribute("name", Attribute::string().required())
            .attribute("value", Attribute::string().computed().sensitive())
    }

    async fn open(&self, ctx: &Context<Store>, config: Value) -> Result<Opened> {
        let name: String = config.attribute("name")?;
        ctx.client()?.put(&name, &serde_json::json!("open"))?;
        let mut private = Private::default();
        private.set("name", &name);
        let result = Value::object([
            ("name", name.as_str().into()),
            ("value", format!("secret of {name}").into()),
        ]);
        let renew_at = Some(SystemTime::now() + Duration::from_secs(60));
        Ok(Opened {
            result,
            private,
            renew_at,
        })
    }

    async fn renew(&self, ctx: &Context<Store>, private: Private) -> Result<Renewed> {
        let name: String = private.get("name").unwrap_or_default();
        ctx.client()?.put(&name, &serde_json::json!("renewed"))?;
        Ok(Renewed {
            private,
            renew_at: None,
        })
    }

    async fn close(&self, ctx: &Context<Store>, private: Private) -> Result<()> {
        ctx.client()?
            .delete(&private.get::<String>("name").unwrap_or_default())
    }
}
