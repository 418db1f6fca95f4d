//! Tokens. A secret is in no state and in no plan: it comes from a write-only attribute, and goes to the server alone.
//!
//! What a plan and a state know of a secret is its public id, which is none. So a plan can tell whether the token has the
//! secret that the configuration gives it now, wherever that comes from.

mod values;

use ipam_client::{Client, Created, Error};
use ipam_shared::{
    api::token::{NewToken, Token as Found, TokenFilter, TokenPatch},
    ids::{Claim, TokenId},
    name::fold,
    secret::Secret,
};
use tfplugin::{Attribute, Context, Diagnostic, Plan, Type, Update, Value, async_trait};

use crate::{
    connection::Connection,
    framework::{
        attribute_spec::{AttributeSpec, count, created_at, description, name_for_life},
        fields::Fields,
        listed::{Listing, by},
        looked_up,
        noun::Noun,
    },
};

use self::values::{Bounds, Moment, Roles, SecretText, is_full, moment, quotas, secret, usage};

const SECRET: &str = "secret_wo";
const VERSION: &str = "secret_wo_version";
const PUBLIC_ID: &str = "public_id";
const QUOTAS: &str = "quotas";
const USAGE: &str = "usage";
const LIMITS: [&str; 6] = ["vrfs", "pools", "profiles", "vpcs", "labels", QUOTAS];

/// Who may do what, and where.
pub(crate) struct Token;

fn limits() -> AttributeSpec {
    let set =
        |name, what| AttributeSpec::new(name, Attribute::set(Type::String).optional(), what, "");
    let specs = vec![
        set(
            "vrfs",
            "Only these VRFs, with what is in them: by id or name.",
        ),
        set(
            "pools",
            "Only these pools: by id, by name if only one VRF has a pool of that name, or as `vrf/name`.",
        ),
        set(
            "profiles",
            "Only requests from these profiles, by id or name, and none that name pools themselves.",
        ),
        set(
            "vpcs",
            "Only VPCs whose name matches one of these patterns, in which `*` stands for any text.",
        ),
        AttributeSpec::new(
            "labels",
            Attribute::map(Type::String).optional(),
            "Only allocations that have all of these labels.",
            "",
        ),
        AttributeSpec::new(
            QUOTAS,
            Attribute::map(Type::Number).optional(),
            "How many addresses of a pool the allocations that the other limits cover may hold, whoever made them, by the pool \
             as in `pools`. More is refused to this token with `quota_exceeded`. Write numbers of 2^64 and more in digits: \
             Terraform rounds what `pow` computes.",
            "",
        ),
    ];
    AttributeSpec::object(
        "limits",
        specs,
        Attribute::optional,
        "Where it may do what its roles allow; several limits hold together. Null for everywhere.",
        "Names are looked up when the limits are set, and what is renamed later stays covered; what is deleted and made anew \
         is covered again only once the limits change, so give ids, such as `ipam_pool.team.id`. Changed in place.",
    )
    .is::<Bounds>()
}

#[async_trait]
impl Noun for Token {
    const TYPE: &'static str = "ipam_token";
    const WORD: &'static str = "token";
    const FOLDS: bool = true;
    const ABOUT: &'static str = "A key for one pipeline, script or person: what it may do (its roles), and where (its \
        limits). A change takes effect on every server within a second, and so does the destruction, which revokes \
        it.\n\nIts secret is in no state and in no plan. `secret_wo` is write-only: it takes a secret that is kept where it \
        is used, such as a secret store, from an ephemeral value, and the server keeps a hash of it. The guide *Tokens and \
        their rotation* says how a secret is made, stored and rotated. This needs the role `admin`, and Terraform 1.11 or \
        later for new secrets.";
    const IMPORT: &'static str = "by id, or by name such as ci";
    const HAS_LABELS: bool = false;

    type Id = TokenId;
    type New = NewToken;
    type Patch = TokenPatch;
    type Found = Found;

    fn specs() -> Vec<AttributeSpec> {
        vec![
            name_for_life(
                "Unique without regard to case: what the audit log calls it by, as `token/NAME`.",
                "1 to 128 characters, no `/`. A change forces replacement, since the log names tokens.",
            ),
            description(),
            AttributeSpec::new(
                "roles",
                Attribute::set(Type::String).required(),
                "What it may do: `admin`, `operator`, `allocator`, `planner`, `reader`, `auditor`, `metrics`.",
                "Changed in place.",
            )
            .is::<Roles>(),
            limits(),
            AttributeSpec::new(
                "expires_at",
                Attribute::string().optional(),
                "Until when, as in RFC 3339; null for no end.",
                "Changed in place.",
            )
            .is::<Moment>(),
            AttributeSpec::shown(
                PUBLIC_ID,
                Attribute::string().use_state_for_unknown(),
                "The part of its secret that is none, behind `ipam_`, to recognise the secret by.",
            ),
            AttributeSpec::new(
                SECRET,
                Attribute::string().optional().write_only().sensitive(),
                "Its secret, from an ephemeral value: 56 characters, `ipam_…`, as the ephemeral resource \
                 `ipam_token_secret` makes one. A new token needs it.",
                "Without `secret_wo_version` the token always has the secret that is given: the plan compares its public id. \
                 Leave it out to manage a token without its secret, such as one that was imported.",
            )
            .is::<SecretText>()
            .written(),
            AttributeSpec::new(
                VERSION,
                Attribute::number().optional(),
                "Any number.",
                "With it `secret_wo` is used when the token is created and whenever this number changes, and is ignored \
                 otherwise: for a secret that is another one in every run. The first number that an existing token gets is \
                 only noted, so that an import changes no secret.",
            )
            .written(),
        ]
    }

    fn only_looked_up() -> Vec<AttributeSpec> {
        vec![
            AttributeSpec::shown(
                "last_used_at",
                Attribute::string(),
                "When it was last used, to the minute; null if never.",
            ),
            AttributeSpec::shown(
                "last_used_from",
                Attribute::string(),
                "The address that used it then.",
            ),
            AttributeSpec::shown("created_by", Attribute::string(), "Who created it."),
            created_at(),
            AttributeSpec::list(
                USAGE,
                vec![
                    AttributeSpec::shown(
                        "quota",
                        Attribute::string(),
                        "The pool, as the quota names it.",
                    ),
                    AttributeSpec::shown(
                        "pool_id",
                        Attribute::string(),
                        "The pool's id; null if there is no such pool any more.",
                    ),
                    count("addresses", "How many of its addresses may be held."),
                    count("used_addresses", "How many are held."),
                ],
                Attribute::computed,
                "How much of each quota is used. Null without quotas, in `ipam_tokens`, and of a token that is looked up by its name; give its id.",
                "",
            ),
        ]
    }

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    async fn create(client: &Client, new: &NewToken) -> Result<Created<Found>, Error> {
        client.create_token(new).await
    }

    async fn get(client: &Client, id: TokenId, claim: Option<Claim>) -> Result<Found, Error> {
        client.get_token(&id.to_string(), claim).await
    }

    async fn find(client: &Client, key: &str, _vrf: Option<&str>) -> Result<Vec<Found>, Error> {
        let filter = TokenFilter {
            name: Some(key.to_owned()),
            ..TokenFilter::default()
        };
        client.all_tokens(&filter).await
    }

    async fn update(client: &Client, id: TokenId, patch: &TokenPatch) -> Result<Found, Error> {
        client.update_token(id, patch, None).await
    }

    async fn delete(client: &Client, id: TokenId) -> Result<(), Error> {
        client.delete_token(id, None).await
    }

    fn validate(config: &Value) -> tfplugin::Result<()> {
        let roles = config.get("roles").as_list().unwrap_or_default();
        let is_admin = roles.iter().any(|role| role.as_str() == Some("admin"));
        let is_limited = config.get("limits").as_map().is_some_and(|limits| {
            let mut limits = limits.values();
            limits.any(|limit| is_full(limit) && limit.is_wholly_known())
        });
        if is_admin && is_limited {
            return Err(Diagnostic::error(
                "The role admin can't be limited",
                "It may do everything, tokens included. Leave limits out, or give other roles.",
            )
            .at("limits")
            .into());
        }
        Ok(())
    }

    async fn plan(_ctx: &Context<Connection>, plan: &mut Plan) -> tfplugin::Result<()> {
        let secret = plan.config.get(SECRET);
        let Some(prior) = &plan.prior else {
            if secret.is_null() {
                return Err(Diagnostic::error(
                    "A new token needs a secret",
                    "Nobody would know the one that the server makes, since a state holds no secrets. Give secret_wo, for \
                     example from the ephemeral resource ipam_token_secret or an ephemeral variable. For a token that \
                     exists already, import it.",
                )
                .at(SECRET)
                .into());
            }
            return Ok(());
        };
        let (before, after) = (prior.get(VERSION), plan.config.get(VERSION));
        let wants_another = if after.is_null() {
            let given = secret.as_str().and_then(Secret::parse);
            let has = prior.get(PUBLIC_ID).as_str();
            secret.is_unknown() || given.is_some_and(|given| has != Some(given.public_id()))
        } else {
            !before.is_null() && before != after
        };
        if wants_another && !after.is_null() && secret.is_null() {
            return Err(Diagnostic::error(
                "There is no secret to change to",
                "secret_wo_version asks for another secret, and secret_wo is not set.",
            )
            .at(SECRET)
            .into());
        }
        if wants_another {
            plan.set_unknown(PUBLIC_ID);
        }
        Ok(())
    }

    fn creation(config: &Value, fields: &mut Fields) -> tfplugin::Result<()> {
        fields.remove(VERSION);
        fields.insert("secret".to_owned(), secret(config)?);
        Ok(())
    }

    fn patch(request: &Update, patch: &mut Fields) -> tfplugin::Result<()> {
        patch.remove(VERSION);
        if request.changes("limits") && request.planned.get("limits").is_null() {
            patch.insert("limits".to_owned(), Fields::new().into());
        }
        if request.planned.get(PUBLIC_ID).is_unknown() {
            patch.insert("secret".to_owned(), secret(&request.config)?);
        }
        Ok(())
    }

    fn settle(found: &Found, known: &Value, state: &mut Value) -> tfplugin::Result<()> {
        if !known.is_null() {
            state.set(VERSION, known.get(VERSION).clone());
        }
        if let Some(name) = known.get("name").as_str()
            && fold(name) == found.name.folded()
        {
            state.set("name", name);
        }
        // The same moment may be written in another time zone.
        if let (Some(end), Some(is)) = (
            known.get("expires_at").as_str(),
            state.get("expires_at").as_str(),
        ) && moment(end).is_some()
            && moment(end) == moment(is)
        {
            state.set("expires_at", end);
        }
        if state.as_map().is_some_and(|all| all.contains_key(USAGE)) {
            state.set(USAGE, usage(found.usage.as_deref()));
        }
        let known = known.get("limits");
        if found.limits.is_empty() && known.is_null() {
            state.set("limits", Value::Null);
            return Ok(());
        }
        // No limit of a kind may be written as none and as an empty one.
        let mut is = state.get("limits").clone();
        is.set(QUOTAS, quotas(&found.limits.quotas, known.get(QUOTAS)));
        let limits = LIMITS.map(|name| {
            let value = if is_full(is.get(name)) { &is } else { known };
            let value = value.get(name);
            let keeps = is_full(is.get(name)) || !is_full(value);
            (name, if keeps { value.clone() } else { Value::Null })
        });
        state.set("limits", Value::object(limits));
        Ok(())
    }
}

/// All tokens.
pub(crate) struct Tokens;

#[async_trait]
impl Listing for Tokens {
    const TYPE: &'static str = "ipam_tokens";
    const PLURAL: &'static str = "tokens";
    const WITH: &'static str = ", with when they were last used, and without their secrets";
    const HAS_LABELS: bool = false;

    type Filter = TokenFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![by("name", "Only the one of this name.")]
    }

    async fn all(client: &Client, filter: &TokenFilter) -> Result<Vec<Found>, Error> {
        client.all_tokens(filter).await
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Token>()
    }

    fn values(found: &Found) -> tfplugin::Result<Value> {
        looked_up::values::<Token>(found)
    }
}
