//! The resource `ipam_allocation`: when it changes in place, when it is replaced, and who owns it.
//!
//! Creation is exactly-once because of the name: a repeated request with the same name gets the same allocation. So that
//! two configurations can't both own it forever, the server generates a claim for each creation. It is kept in private
//! state and shown at each read; the first read confirms it, and from then on nobody can adopt the allocation by its name.
//! What the server reports as deleted is removed from the state; what it merely doesn't know stays.

use ipam_shared::name::fold;
use ipam_shared::{
    api::{
        allocation::{Allocation as Found, AllocationPatch, NewAllocation},
        ownership::Noun,
    },
    cidr::Cidr,
    error::Code,
    name::Name,
};
use tfplugin::{
    Context, Create, Diagnostic, Field, IdentitySchema, Import, Instance, Path, Plan, Private,
    Resource, Result, Schema, Text, Update, Value, async_trait,
};

use super::{
    agreement, foresight, import, lookup,
    model::{self, WORD, id_of, name_of, ranges},
    naming::{self, key, title},
    request, schema, size,
};
use crate::{
    connection::Connection,
    framework::{
        attribute_spec,
        call::{finish, until_stopped},
        failure::{failure, gone, not_changed, unknown_id},
        labels, orphans, ownership,
    },
    run::names::{Taking, deleting, taking},
};

/// The resource type `ipam_allocation`.
pub(crate) struct Allocation;

#[async_trait]
impl Resource<Connection> for Allocation {
    fn name(&self) -> &str {
        "ipam_allocation"
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    fn identity(&self) -> Option<IdentitySchema> {
        Some(import::identity())
    }

    async fn validate(&self, ctx: &Context<Connection>, config: &Value) -> Result<()> {
        size::check_given(ctx, config);
        for name in ["vpc", "name"] {
            config.attribute::<Field<Text<Name>>>(name)?;
        }
        request::check(config)?;
        size::check_value(config)?;
        agreement::check(config)?;
        attribute_spec::description()
            .check(config.get("description"), &Path::attribute("description"))?;
        labels::check(config, "labels")
    }

    async fn plan(&self, ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
        labels::plan(ctx, plan)?;
        request::fill_in(plan);
        naming::note(ctx, plan).await?;
        if plan.config.get("hosts").is_null() {
            // Not requested, or requested before in a way that means the same size.
            let before: Value = plan.prior("hosts")?;
            plan.set("hosts", &before);
        }
        if plan.is_create() {
            if plan.config.get("prefix_length").is_null()
                && request::is_of_first_block(&plan.config)?
                && let Field::Known(Text(cidr)) =
                    plan.config.attribute::<Field<Text<Cidr>>>("cidr")?
            {
                plan.set("prefix_length", &cidr.prefix_length());
            }
            return foresight::plan(ctx, plan).await;
        }
        request::plan_moved(ctx, plan).await?;
        let elsewhere = request::plan(ctx, plan).await? || naming::plan(ctx, plan)?;
        let replaced = size::plan(ctx, plan, elsewhere).await?;
        if let Some(connection) = ctx.try_client()
            && (replaced || plan.changes("blocks"))
        {
            connection.run.frees();
        }
        match &plan.prior {
            Some(prior) if replaced => check_protection(prior),
            _ => Ok(()),
        }
    }

    async fn plan_destroy(&self, ctx: &Context<Connection>, current: &Instance) -> Result<()> {
        check_protection(&current.state)?;
        if let Some(connection) = ctx.try_client() {
            connection.run.frees();
        }
        ownership::plan_present(
            ctx,
            Noun::Allocation,
            key(&current.state),
            &current.state,
            &current.private,
        )
        .await
    }

    async fn create(&self, ctx: &Context<Connection>, request: Create) -> Result<Instance> {
        let connection = ctx.client()?;
        let planned = &request.planned;
        let wanted = foresight::request(connection, &request.config, planned)?;
        let what = format!("create the allocation {}", title(planned));
        if agreement::is_redundant(&request.config)? {
            let trial = NewAllocation {
                dry_run: true,
                ..wanted.clone()
            };
            let call = connection.client.create_allocation(&trial);
            let found = until_stopped(ctx, &what, call)
                .await?
                .map_err(|error| naming::refused(&what, &error))?;
            agreement::check_found(&request.config, &found.made)?;
        }
        let name = key(planned);
        let call = taking(ctx, &connection.run, &Taking::New, name.as_ref(), |_| {
            Box::pin(connection.client.create_allocation(&wanted))
        });
        let call = connection.changing(call);
        let created = until_stopped(ctx, &what, call)
            .await?
            .map_err(|error| naming::refused(&what, &error))?;
        if let Some(name) = &name {
            connection.run.made(name, &created.made.id.to_string());
        }
        let private = ownership::keep(ctx, &title(planned), &created);
        Ok(Instance {
            state: state(&created.made, &request.planned, connection)?,
            private,
        })
    }

    async fn read(&self, ctx: &Context<Connection>, current: Instance) -> Result<Option<Instance>> {
        let connection = ctx.client()?;
        let id = id_of(&current.state)?;
        let claim = ownership::claim(&current.private);
        let what = format!("read the allocation {}", title(&current.state));
        let alone = connection.client.get_allocation(id, claim);
        let call = connection.read(id.0, claim, alone);
        match until_stopped(ctx, &what, call).await? {
            Ok((found, is_shown)) => {
                if is_shown {
                    connection.run.claims().show(id.0);
                }
                connection.run.refreshes(key(&current.state));
                Ok(Some(Instance {
                    state: state(&found, &current.state, connection)?,
                    private: current.private,
                }))
            }
            Err(error) if error.code() == Some(Code::Gone) => {
                ctx.report(gone(WORD, &title(&current.state), &error));
                Ok(None)
            }
            Err(error) if error.code() == Some(Code::NotFound) => {
                Err(unknown_id(WORD, &id.to_string(), connection.client.endpoint()).into())
            }
            Err(error) => Err(failure(&what, &error).into()),
        }
    }

    async fn update(&self, ctx: &Context<Connection>, request: Update) -> Result<Instance> {
        let connection = ctx.client()?;
        let id = id_of(&request.prior)?;
        let what = format!("change the allocation {}", title(&request.prior));
        if request::may_be_renamed(&request) {
            let call = connection.client.get_allocation(id, None);
            let found = finish(ctx, &what, call).await?;
            request::check_renamed(&request, &model::attributes(&found))?;
        }
        let changed = |name: &str| request.changes(name);
        let hosts: Option<u64> = if changed("hosts") {
            request.config.attribute("hosts")?
        } else {
            None
        };
        let patch = AllocationPatch {
            vpc: changed("vpc")
                .then(|| name_of(&request.planned, "vpc"))
                .transpose()?,
            name: changed("name")
                .then(|| name_of(&request.planned, "name"))
                .transpose()?,
            hosts,
            prefix_length: (hosts.is_none() && changed("prefix_length"))
                .then(|| request.planned.attribute("prefix_length"))
                .transpose()?,
            labels: (changed("labels") || changed("effective_labels"))
                .then(|| labels::effective(connection, &request.planned))
                .transpose()?,
            description: changed("description")
                .then(|| request.planned.attribute("description"))
                .transpose()?,
            deletion_protection: changed("deletion_protection")
                .then(|| request.planned.attribute("deletion_protection"))
                .transpose()?,
            dry_run: false,
        };
        let call = connection.changing(naming::updating(ctx, connection, &request, id, &patch));
        let changed = until_stopped(ctx, &what, call)
            .await?
            .map_err(|error| not_changed(&what, &error))?;
        let mut state = state(&changed, &request.planned, connection)?;
        request::settle_names(&request, &mut state);
        Ok(Instance {
            state,
            private: request.private,
        })
    }

    fn generate(&self, config: &mut Value) {
        agreement::keep_one(config);
        request::keep_needful(config);
    }

    async fn delete(&self, ctx: &Context<Connection>, current: Instance) -> Result<()> {
        let connection = ctx.client()?;
        let id = id_of(&current.state)?;
        let what = format!("release the allocation {}", title(&current.state));
        let shown_id = id.to_string();
        orphans::before_deletion(ctx, connection).await;
        let call = deleting(ctx, &connection.run, key(&current.state), &shown_id, || {
            Box::pin(connection.client.delete_allocation(id, None))
        });
        let call = connection.changing(call);
        match until_stopped(ctx, &what, call).await? {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(Code::Gone) => Ok(()),
            Err(error) if error.code() == Some(Code::NotFound) => {
                Err(unknown_id(WORD, &shown_id, connection.client.endpoint()).into())
            }
            Err(error) => Err(failure(&what, &error).into()),
        }
    }

    async fn import(&self, ctx: &Context<Connection>, request: Import) -> Result<Instance> {
        let connection = ctx.client()?;
        let text = import::text(&request)?;
        let found = finish(
            ctx,
            &format!("import {text}"),
            import::find(&connection.client, &request),
        )
        .await?;
        let [found] = <[Found; 1]>::try_from(found).map_err(|found| match found.as_slice() {
            [] => Diagnostic::error(
                format!("There is no allocation {text}"),
                format!(
                    "The server at {} has none. Import by id, by vpc/name such as prod/nodes, or by the CIDR of one of \
                     its blocks such as 10.0.0.0/23.",
                    connection.client.endpoint()
                ),
            ),
            several => Diagnostic::error(
                format!("{text} is the block of more than one allocation"),
                format!("It exists in several VRFs. Import one of these: {}.", lookup::forms(several)),
            ),
        })?;
        let state = imported(&found, connection)?;
        import::check(&request, &state)?;
        Ok(Instance {
            state,
            private: Private::default(),
        })
    }
}

/// The attributes for something that was just found.
pub(crate) fn imported(found: &Found, connection: &Connection) -> Result<Value> {
    state(found, &Value::Null, connection)
}

/// Refuses to destroy or replace what is protected.
fn check_protection(state: &Value) -> Result<()> {
    if state.attribute::<Option<bool>>("deletion_protection")? != Some(true) {
        return Ok(());
    }
    Err(Diagnostic::error(
        format!("The allocation {} is protected from deletion", title(state)),
        format!(
            "It holds {}, which somebody may be using. To destroy or replace it anyway, set \
             deletion_protection = false, apply that, and then repeat this.",
            ranges(state)
        ),
    )
    .at("deletion_protection")
    .into())
}

/// The attributes of what was found. `known` is the plan or the prior state: what the server spells differently stays as
/// configured.
fn state(found: &Found, known: &Value, connection: &Connection) -> Result<Value> {
    let mut state = model::attributes(found);
    labels::settle(&found.labels, known, connection, &mut state)?;
    request::settle(known, &mut state);
    agreement::settle(found, known, &mut state)?;
    if let Some(vpc) = known.get("vpc").as_str()
        && fold(vpc) == found.vpc.folded()
    {
        state.set("vpc", vpc);
    }
    Ok(state)
}
