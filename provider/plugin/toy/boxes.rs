//! The resource `toy_box`: every kind of attribute, and ways to misbehave.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::{
    Attribute, Block, Context, Create, Diagnostic, Field, IdentitySchema, Import, Instance,
    MoveSource, Plan, Resource, Result, Schema, ToValue, Type, Update, Value, object,
};
use tokio::time::timeout;

use crate::store::Store;

pub(crate) struct Boxes;

object! {
    /// One box.
    #[derive(Debug, Clone)]
    pub(crate) struct Thing {
        id: Field<String>,
        name: String,
        kind: Option<String>,
        size: Option<u32>,
        address: Field<String>,
        revision: Field<i64>,
        protected: Field<bool>,
        labels: Option<BTreeMap<String, String>>,
        parts: Option<BTreeMap<String, Part>>,
        any: Value,
        behave: Option<String>,
        timeouts: Value,
    }

    /// A part of a box.
    #[derive(Debug, Clone)]
    pub(crate) struct Part {
        color: String,
        weight: Field<f64>,
    }
}

impl Thing {
    /// Fills in what the store decides, and stores it.
    fn settle(mut self, store: &Store, revision: i64, secret: &Value) -> Result<Self> {
        let id = self
            .id
            .known()
            .unwrap_or_else(|| format!("box-{}", self.name));
        self.address = Field::Known(format!("{}@{}", self.name, self.size.unwrap_or(0)));
        self.revision = Field::Known(revision);
        self.protected = Field::Known(self.protected.known().unwrap_or(false));
        for part in self.parts.iter_mut().flat_map(|parts| parts.values_mut()) {
            part.weight = Field::Known(part.weight.as_known().copied().unwrap_or(1.1));
        }
        self.id = Field::Known(id.clone());
        store.put(
            &id,
            &json!({"name": self.name, "kind": self.kind, "size": self.size, "revision": revision,
                    "secret": secret.as_str(), "labels": self.labels.clone().unwrap_or_default()}),
        )?;
        Ok(self)
    }
}

#[tfplugin::async_trait]
impl Resource<Store> for Boxes {
    fn name(&self) -> &str {
        "toy_box"
    }

    fn schema(&self) -> Schema {
        let part = [
            ("color", Attribute::string().required()),
            (
                "weight",
                Attribute::number().computed().use_state_for_unknown(),
            ),
        ];
        Schema::new("A **box**.")
            .version(2)
            .attribute(
                "id",
                Attribute::string()
                    .computed()
                    .use_state_for_unknown()
                    .describe("What it is called."),
            )
            .attribute("name", Attribute::string().required())
            .attribute(
                "kind",
                Attribute::string()
                    .optional()
                    .requires_replace_because("A box keeps its kind."),
            )
            .attribute("size", Attribute::number().optional())
            .attribute(
                "address",
                Attribute::string()
                    .computed()
                    .unknown_when_changed(&["name", "size"]),
            )
            .attribute("revision", Attribute::number().computed())
            .attribute("protected", Attribute::bool().default(false))
            .attribute("labels", Attribute::map(Type::String).optional())
            .attribute("parts", Attribute::nested_map(part).optional())
            .attribute(
                "secret",
                Attribute::string().optional().write_only().sensitive(),
            )
            .attribute("any", Attribute::dynamic().optional())
            .attribute(
                "behave",
                Attribute::string()
                    .optional()
                    .deprecated("Behave yourself."),
            )
            .block(
                "timeouts",
                Block::single("How long.").attribute("create", Attribute::string().optional()),
            )
    }

    fn identity(&self) -> Option<IdentitySchema> {
        let identity = IdentitySchema {
            version: 1,
            ..IdentitySchema::default()
        };
        Some(
            identity
                .required("id", Type::String, "What it is called.")
                .optional("name", Type::String, "What its name is at the moment."),
        )
    }

    async fn validate(&self, ctx: &Context<Store>, config: &Value) -> Result<()> {
        let labels: Field<BTreeMap<String, Field<String>>> = config.attribute("labels")?;
        for (key, value) in labels.known().into_iter().flatten() {
            if value.as_known().is_some_and(String::is_empty) {
                let path = tfplugin::Path::attribute("labels").key(&key);
                ctx.report(Diagnostic::error("Empty label", "A label needs a value.").at(path));
            }
        }
        if config.get("behave").as_str() == Some("panic in validate") {
            panic!("validate went wrong");
        }
        // Checks that a whole number is asked for, with the attribute path.
        config.attribute::<Field<u32>>("size")?;
        Ok(())
    }

    async fn plan(&self, ctx: &Context<Store>, plan: &mut Plan) -> Result<()> {
        let size = |field: Field<u32>| field.known().unwrap_or(0);
        let (before, after) = (size(plan.prior("size")?), size(plan.planned("size")?));
        if !plan.is_create() && after < before {
            plan.replace(
                "size",
                format!("A box can't shrink from {before} to {after}."),
            );
        }
        if plan.planned.get("behave").as_str() == Some("odd") {
            ctx.report(Diagnostic::warning("Odd", "That is odd.").at("behave"));
        }
        if plan.is_create() {
            plan.private.set("planned_by", "toy");
            // Drawn for the first plan and kept for the second.
            let earlier = plan.earlier.as_ref();
            let round: i64 = earlier.and_then(|notes| notes.get("round")).unwrap_or(0);
            plan.private.set("round", round + 1);
        }
        Ok(())
    }

    async fn plan_destroy(&self, _: &Context<Store>, current: &Instance) -> Result<()> {
        if current.state.attribute::<Option<bool>>("protected")? == Some(true) {
            let detail = "Set protected = false and apply before you destroy it.";
            return Err(Diagnostic::error("The box is protected", detail)
                .at("protected")
                .into());
        }
        Ok(())
    }

    async fn create(&self, ctx: &Context<Store>, request: Create) -> Result<Instance> {
        let store = ctx.client()?;
        let thing: Thing = request.planned.parse()?;
        let behave = thing.behave.clone();
        match behave.as_deref() {
            Some("panic") => panic!("the lid fell off"),
            Some("fail") => {
                return Err(Diagnostic::error("No room", "All shelves are full.")
                    .at("size")
                    .into());
            }
            Some("wait for stop") => {
                store.put("started", &Json::Null)?;
                timeout(Duration::from_secs(60), ctx.stop().cancelled())
                    .await
                    .map_err(|_| Diagnostic::error("Nobody stopped me", "Waited for a minute."))?;
            }
            _ => {}
        }
        let thing = thing.settle(store, 1, request.config.get("secret"))?;
        let mut instance = Instance::new(&thing).with_private(request.private);
        match behave.as_deref() {
            Some("fail later") => ctx.report(Diagnostic::error("Half done", "The lid is missing.")),
            Some("forget") => instance.state.set("address", Value::Unknown),
            Some("confuse") => instance.state.set("revision", "one"),
            _ => {}
        }
        Ok(instance)
    }

    async fn read(&self, ctx: &Context<Store>, mut current: Instance) -> Result<Option<Instance>> {
        let id: String = current.state.attribute("id")?;
        let Some(found) = ctx.client()?.get(&id)? else {
            return Ok(None);
        };
        for name in ["name", "kind", "size", "revision", "labels"] {
            current.state.set(name, found[name].clone());
        }
        let size = found["size"].as_u64().unwrap_or(0);
        current.state.set(
            "address",
            format!("{}@{size}", found["name"].as_str().unwrap_or_default()),
        );
        if current.state.get("protected").is_null() {
            current.state.set("protected", false);
        }
        Ok(Some(current))
    }

    async fn update(&self, ctx: &Context<Store>, request: Update) -> Result<Instance> {
        let thing: Thing = request.planned.parse()?;
        if thing.behave.as_deref() == Some("fail") {
            return Err(Diagnostic::error("Stuck", "The box does not move.").into());
        }
        let revision: i64 = request.prior.attribute("revision")?;
        let thing = thing.settle(ctx.client()?, revision + 1, request.config.get("secret"))?;
        Ok(Instance::new(&thing).with_private(request.private))
    }

    async fn delete(&self, ctx: &Context<Store>, current: Instance) -> Result<()> {
        ctx.client()?
            .delete(&current.state.attribute::<String>("id")?)
    }

    async fn import(&self, _: &Context<Store>, request: Import) -> Result<Instance> {
        let id = match request {
            Import::Id(id) => id.to_value(),
            Import::Identity(identity) => identity.get("id").clone(),
        };
        Ok(Instance::new(&Value::object([("id", id)])))
    }

    /// Version 0 called the size "volume"; version 1 wrote labels as "key=value" words.
    fn upgrade(&self, from: i64, mut state: Json) -> Result<Json> {
        if from == 0 {
            state["size"] = state["volume"].take();
        } else {
            let words = state["labels"].as_array().cloned().unwrap_or_default();
            let pairs = words
                .iter()
                .filter_map(|word| word.as_str()?.split_once('='));
            state["labels"] = pairs
                .map(|(key, value)| (key.to_owned(), Json::from(value)))
                .collect();
        }
        Ok(state)
    }

    /// Version 0 had nothing but the id, which it called a key.
    fn upgrade_identity(&self, _: i64, mut identity: Json) -> Result<Json> {
        Ok(json!({"id": identity["key"].take()}))
    }

    /// Nobody wants to be told to misbehave.
    fn generate(&self, config: &mut Value) {
        config.set("behave", Value::Null);
    }

    async fn move_from(&self, _: &Context<Store>, source: &MoveSource) -> Result<Option<Instance>> {
        if source.type_name != "terraform_data" {
            return Ok(None);
        }
        let id = source.state["output"]["value"]
            .as_str()
            .or(source.state["output"].as_str())
            .unwrap_or_default();
        Ok(Some(Instance::new(&Value::object([("id", id.into())]))))
    }
}
