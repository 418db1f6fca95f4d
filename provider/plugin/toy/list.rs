//! Lists of boxes, and ways for a list to misbehave.

use std::time::Duration;

use serde_json::Value as Json;
use tfplugin::{
    Attribute, Context, Diagnostic, Found, List, ListResource, Listed, Result, Schema, Value,
};
use tokio::time::timeout;

use crate::store::Store;

pub(crate) struct Boxes;

#[tfplugin::async_trait]
impl ListResource<Store> for Boxes {
    fn name(&self) -> &str {
        "toy_box"
    }

    fn schema(&self) -> Schema {
        Schema::new("Finds boxes.")
            .attribute("prefix", Attribute::string().optional())
            .attribute("behave", Attribute::string().optional())
    }

    async fn validate(&self, ctx: &Context<Store>, config: &Value) -> Result<()> {
        if config.get("prefix").as_str() == Some("") {
            let error = Diagnostic::error("Empty prefix", "Leave it out to find all boxes.");
            ctx.report(error.at("prefix"));
        }
        Ok(())
    }

    async fn list(&self, ctx: &Context<Store>, request: List, found: &mut Found) -> Result<()> {
        let store = ctx.client()?;
        let prefix: Option<String> = request.config.attribute("prefix")?;
        let behave: Option<String> = request.config.attribute("behave")?;
        if behave.as_deref() == Some("wait for stop") {
            store.put("started", &Json::Null)?;
            timeout(Duration::from_secs(60), ctx.stop().cancelled())
                .await
                .map_err(|_| Diagnostic::error("Nobody stopped me", "Waited for a minute."))?;
        }
        for id in store.ids()? {
            if !id.starts_with(prefix.as_deref().unwrap_or("box-")) {
                continue;
            }
            let Some(thing) = store.get(&id)? else {
                continue;
            };
            // Leaves a trace, so that a test sees what was looked at.
            store.put(&format!("looked-at-{id}"), &Json::Null)?;
            let mut state = Value::object([("id", id.as_str().into())]);
            for name in ["name", "kind", "size", "labels"] {
                state.set(name, thing[name].clone());
            }
            match behave.as_deref() {
                Some("no identity") => state.set("id", Value::Null),
                Some("warn") => {
                    let warning = Diagnostic::warning("Dusty", format!("{id} needs a cloth."));
                    found.report(warning).await;
                }
                _ => {}
            }
            if !found.put(Listed::new(format!("Box {id}"), state)).await {
                break;
            }
            match behave.as_deref() {
                Some("panic") => panic!("the shelf broke"),
                Some("fail") => return Err(Diagnostic::error("Too dark", "Saw one only.").into()),
                _ => {}
            }
        }
        Ok(())
    }
}
