//! A noun as a resource: plan, create, read, update, delete, import.

use std::marker::PhantomData;

use ipam_shared::{api::ownership::Owned as _, error::Code};
use tfplugin::{
    Attribute, Context, Create, Diagnostic, IdentitySchema, Import, Instance, Path, Plan, Private,
    Resource, Result, Schema, Text, Update, Value, async_trait,
};

use super::{
    call::until_stopped,
    failure::{failure, gone, name_taken, not_changed, not_made, unknown_id, wanted_twice},
    fields::{Fields, body},
    import, labels,
    noun::Noun,
    orphans, ownership, place,
    state::{imported, instance, vrfs},
    taken,
};
use crate::{
    command::report_obstacle,
    connection::Connection,
    run::names::{Attempt, Taking, aside, deleting, taking},
};

/// The resource type of a noun.
pub(crate) struct NounResource<N>(PhantomData<fn() -> N>);

impl<N> NounResource<N> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

#[async_trait]
impl<N: Noun> Resource<Connection> for NounResource<N> {
    fn name(&self) -> &str {
        N::TYPE
    }

    fn schema(&self) -> Schema {
        let id = Attribute::string()
            .computed()
            .use_state_for_unknown()
            .describe(format!("Id of the {}. It never changes.", N::WORD));
        let specs = N::specs();
        let schema = specs
            .iter()
            .fold(Schema::new(N::ABOUT).attribute("id", id), |schema, spec| {
                schema.attribute(spec.name, spec.of_resource())
            });
        let labels = N::HAS_LABELS.then(labels::attributes);
        labels
            .into_iter()
            .flatten()
            .fold(schema, |schema, (name, attribute)| {
                schema.attribute(name, attribute)
            })
    }

    fn identity(&self) -> Option<IdentitySchema> {
        Some(import::schema::<N>())
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        for spec in N::specs() {
            spec.check(config.get(spec.name), &Path::attribute(spec.name))?;
        }
        if N::HAS_LABELS {
            labels::check(config, "labels")?;
        }
        N::validate(config)
    }

    async fn plan(&self, ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
        if N::HAS_LABELS {
            labels::plan(ctx, plan)?;
        }
        N::plan(ctx, plan).await?;
        if let Some(connection) = ctx.try_client()
            && plan.changes_anything()
        {
            let names = [Some(&plan.planned), plan.prior.as_ref()];
            names
                .into_iter()
                .flatten()
                .filter_map(N::key)
                .for_each(|key| connection.run.moves(key));
        }
        note::<N>(ctx, plan).await
    }

    async fn plan_destroy(&self, ctx: &Context<Connection>, current: &Instance) -> Result<()> {
        let (state, private) = (&current.state, &current.private);
        if let Some(connection) = ctx.try_client() {
            connection.run.frees();
        }
        ownership::plan_present(ctx, N::Found::NOUN, N::key(state), state, private).await
    }

    async fn create(&self, ctx: &Context<Connection>, request: Create) -> Result<Instance> {
        let connection = ctx.client()?;
        let planned = &request.planned;
        let mut fields = Fields::new();
        for spec in N::specs().iter().filter(|spec| spec.is_asked()) {
            let value = planned.get(spec.name);
            if !value.is_null() && value.is_wholly_known() {
                fields.insert(spec.name.to_owned(), value.to_json());
            }
        }
        if N::HAS_LABELS {
            insert_labels(&mut fields, connection, planned)?;
        }
        N::creation(&request.config, &mut fields)?;
        let new: N::New = body(fields)?;
        let title = N::title(planned);
        let what = format!("create the {} {title}", N::WORD);
        let (run, key) = (&connection.run, N::key(planned));
        let call = taking(ctx, run, &Taking::New, key.as_ref(), |_| {
            N::create(&connection.client, &new)
        });
        match until_stopped(ctx, &what, connection.changing(call)).await? {
            Ok(created) => {
                if let Some(key) = &key {
                    run.made(key, &N::id(&created.made));
                }
                let private = ownership::keep(ctx, &title, &created);
                instance::<N>(&created.made, planned, connection, private)
            }
            Err(error) if error.code() == Some(Code::NameTaken) => {
                Err(name_taken(&what, &error, &title).into())
            }
            Err(error) => Err(not_made(&what, &error).into()),
        }
    }

    async fn read(&self, ctx: &Context<Connection>, current: Instance) -> Result<Option<Instance>> {
        let connection = ctx.client()?;
        let Text(id) = current.state.attribute::<Text<N::Id>>("id")?;
        let title = N::title(&current.state);
        let what = format!("read the {} {title}", N::WORD);
        let shown_id = id.to_string();
        let claim = ownership::claim(&current.private);
        let alone = N::get(&connection.client, id.clone(), claim);
        let call = connection.read(id.into(), claim, alone);
        match until_stopped(ctx, &what, call).await? {
            Ok((found, is_shown)) => {
                if is_shown {
                    connection.run.claims().show(found.uuid());
                }
                connection.run.refreshes(N::key(&current.state));
                instance::<N>(&found, &current.state, connection, current.private).map(Some)
            }
            Err(error) if error.code() == Some(Code::Gone) => {
                ctx.report(gone(N::WORD, &title, &error));
                Ok(None)
            }
            Err(error) if error.code() == Some(Code::NotFound) => {
                Err(unknown_id(N::WORD, &shown_id, connection.client.endpoint()).into())
            }
            Err(error) => Err(failure(&what, &error).into()),
        }
    }

    async fn update(&self, ctx: &Context<Connection>, request: Update) -> Result<Instance> {
        let connection = ctx.client()?;
        let Text(id) = request.prior.attribute::<Text<N::Id>>("id")?;
        let shown_id = id.to_string();
        let what = format!("change the {} {}", N::WORD, N::title(&request.prior));
        let specs = N::specs();
        let places: Vec<&str> = specs
            .iter()
            .filter(|spec| spec.is_place && request.changes(spec.name))
            .map(|spec| spec.name)
            .collect();
        if !places.is_empty() {
            let found = until_stopped(ctx, &what, N::get(&connection.client, id.clone(), None))
                .await?
                .map_err(|error| failure(&what, &error))?;
            let state = instance::<N>(&found, &request.planned, connection, Private::default())?;
            for name in places {
                place::check(N::WORD, name, &state.state, &request.planned)?;
            }
        }
        let mut fields = Fields::new();
        for spec in &specs {
            let value = request.planned.get(spec.name);
            if spec.is_asked()
                && !spec.is_place
                && request.changes(spec.name)
                && value.is_wholly_known()
            {
                fields.insert(spec.name.to_owned(), value.to_json());
            }
        }
        if N::HAS_LABELS && (request.changes("labels") || request.changes("effective_labels")) {
            insert_labels(&mut fields, connection, &request.planned)?;
        }
        N::patch(&request, &mut fields)?;
        let patch: N::Patch = body(fields)?;
        let from = N::key(&request.prior);
        let to = N::key(&request.planned).filter(|_| request.changes(N::KEY));
        let why = from
            .as_ref()
            .map_or(Taking::New, |from| Taking::Rename(from, &shown_id));
        let away = || Fields::from_iter([(N::KEY.to_owned(), aside(&shown_id).into())]);
        let away: Option<N::Patch> = to.is_some().then(|| body(away())).transpose()?;
        let call = taking(ctx, &connection.run, &why, to.as_ref(), |attempt| {
            let patch = match (attempt, &away) {
                (Attempt::Aside, Some(away)) => away,
                _ => &patch,
            };
            N::update(&connection.client, id.clone(), patch)
        });
        let changed = until_stopped(ctx, &what, connection.changing(call))
            .await?
            .map_err(|error| not_changed(&what, &error))?;
        instance::<N>(&changed, &request.planned, connection, request.private)
    }

    fn generate(&self, config: &mut Value) {
        N::generate(config);
    }

    async fn delete(&self, ctx: &Context<Connection>, current: Instance) -> Result<()> {
        let connection = ctx.client()?;
        let Text(id) = current.state.attribute::<Text<N::Id>>("id")?;
        let shown_id = id.to_string();
        let what = format!("delete the {} {}", N::WORD, N::title(&current.state));
        orphans::before_deletion(ctx, connection).await;
        let key = N::key(&current.state);
        let call = deleting(ctx, &connection.run, key, &shown_id, || {
            N::delete(&connection.client, id.clone())
        });
        match until_stopped(ctx, &what, connection.changing(call)).await? {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(Code::Gone) => Ok(()),
            Err(error) if error.code() == Some(Code::NotFound) => {
                Err(unknown_id(N::WORD, &shown_id, connection.client.endpoint()).into())
            }
            Err(error) => Err(failure(&what, &error).into()),
        }
    }

    async fn import(&self, ctx: &Context<Connection>, request: Import) -> Result<Instance> {
        let connection = ctx.client()?;
        let text = import::text::<N>(&request)?;
        let what = format!("import {text}");
        let call = import::find::<N>(&connection.client, &request);
        let found = until_stopped(ctx, &what, call)
            .await?
            .map_err(|error| failure(&what, &error))?;
        match found.as_slice() {
            [found] => {
                let found = imported::<N>(found, connection)?;
                import::check::<N>(&request, &found.state)?;
                Ok(found)
            }
            [] => Err(Diagnostic::error(
                format!("There is no {} {text}", N::WORD),
                format!(
                    "The server at {} has none. Import {}.",
                    connection.client.endpoint(),
                    N::IMPORT
                ),
            )
            .into()),
            several => Err(Diagnostic::error(
                format!("There is more than one {} {text}", N::WORD),
                format!(
                    "It exists in several VRFs. Import one of these: {}.",
                    vrfs::<N>(several)?
                        .iter()
                        .map(|vrf| format!("{vrf}/{text}"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            )
            .into()),
        }
    }
}

/// Notes the wanted name, and refuses a second resource with it.
async fn note<N: Noun>(ctx: &Context<Connection>, plan: &Plan) -> Result<()> {
    let (Some(connection), Some(key)) = (ctx.try_client(), N::key(&plan.planned)) else {
        return Ok(());
    };
    let twice = match &plan.prior {
        None => {
            let twice = connection.run.creates(&key);
            ownership::plan_new(ctx, &key).await?;
            if !twice {
                taken::check::<N>(ctx, connection, &plan.planned, &key).await?;
            }
            twice
        }
        Some(prior) => {
            let (id, before): (String, _) = (prior.attribute("id")?, N::key(prior));
            let twice = connection.run.keeps(&id, before.as_ref(), &key);
            ownership::plan_present(ctx, N::Found::NOUN, before, prior, &plan.private).await?;
            twice
        }
    };
    if twice {
        report_obstacle(ctx, wanted_twice(N::WORD, &N::title(&plan.planned), N::KEY));
    }
    Ok(())
}

fn insert_labels(fields: &mut Fields, connection: &Connection, planned: &Value) -> Result<()> {
    let labels = labels::effective(connection, planned)?;
    let pairs = labels
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()));
    fields.insert("labels".to_owned(), pairs.collect::<Fields>().into());
    Ok(())
}
