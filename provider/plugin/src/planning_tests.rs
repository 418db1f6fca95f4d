//! What the standard plan does with each kind of attribute.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::driver::check_plan;
use crate::schema::Block;

fn schema() -> Schema {
    let member = || {
        [
            ("role", Attribute::string().required()),
            ("cidr", Attribute::string().computed()),
            ("zone", Attribute::string().optional().requires_replace()),
        ]
    };
    Schema::new("")
        .attribute("name", Attribute::string().required())
        .attribute("size", Attribute::number().optional())
        .attribute(
            "kind",
            Attribute::string()
                .optional()
                .requires_replace_because("Kinds are for life."),
        )
        .attribute("id", Attribute::string().computed().use_state_for_unknown())
        .attribute(
            "cidr",
            Attribute::string()
                .computed()
                .unknown_when_changed(&["size", "labels"]),
        )
        .attribute("etag", Attribute::string().computed())
        .attribute("mode", Attribute::string().default("auto"))
        .attribute("labels", Attribute::set(Type::String).optional())
        .attribute("secret", Attribute::string().optional().write_only())
        .attribute("members", Attribute::nested_map(member()).optional())
        .attribute("parts", Attribute::nested_set(member()).optional())
        .block(
            "rule",
            Block::list("").attribute("port", Attribute::number().optional().computed()),
        )
}

/// Plans as Terraform would ask, with `proposed` computed like the host does it.
fn plan(config: serde_json::Value, prior: Option<serde_json::Value>) -> Plan {
    let complete = |json: serde_json::Value| {
        let bytes = crate::codec::msgpack::encode(&json.into(), &schema().ty()).unwrap();
        crate::codec::msgpack::decode(&bytes, &schema().ty()).unwrap()
    };
    let config = complete(config);
    let prior = prior.map(complete);
    let proposed = crate::proposed::proposed_state(&schema().body, prior.as_ref(), &config);
    standard_plan(&schema(), config, prior, proposed, Private::default())
}

fn existing() -> serde_json::Value {
    json!({"name": "a", "size": 1, "id": "7", "cidr": "c", "etag": "e", "mode": "auto", "labels": ["x", "y"], "rule": []})
}

fn config() -> serde_json::Value {
    json!({"name": "a", "size": 1, "labels": ["x", "y"], "rule": []})
}

fn with(mut json: serde_json::Value, name: &str, value: serde_json::Value) -> serde_json::Value {
    json[name] = value;
    json
}

#[test]
fn a_creation_knows_what_is_configured_and_nothing_computed() {
    let plan = plan(with(config(), "secret", json!("s")), None);
    assert_eq!(plan.planned.get("name").as_str(), Some("a"));
    assert_eq!(plan.planned.get("mode").as_str(), Some("auto"));
    for computed in ["id", "cidr", "etag"] {
        assert!(plan.planned.get(computed).is_unknown(), "{computed}");
    }
    assert!(plan.planned.get("kind").is_null());
    assert!(
        plan.planned.get("secret").is_null(),
        "write-only values are not planned"
    );
    assert_eq!(plan.config.get("secret").as_str(), Some("s"));
    assert!(plan.replace.is_empty());
}

#[test]
fn no_change_means_no_change() {
    let plan = plan(
        with(config(), "labels", json!(["y", "x"])),
        Some(existing()),
    );
    assert!(same(
        &schema().ty(),
        plan.prior.as_ref().unwrap(),
        &plan.planned
    ));
    assert!(plan.reasons.is_empty());
}

#[test]
fn an_update_opens_only_what_may_change() {
    let plan = plan(with(config(), "name", json!("b")), Some(existing()));
    assert_eq!(plan.planned.get("id").as_str(), Some("7"));
    assert_eq!(plan.planned.get("cidr").as_str(), Some("c"));
    assert!(plan.planned.get("etag").is_unknown());
}

#[test]
fn what_hangs_on_a_changed_attribute_is_open() {
    let plan = plan(with(config(), "size", json!(2)), Some(existing()));
    assert_eq!(plan.planned.get("id").as_str(), Some("7"));
    assert!(plan.planned.get("cidr").is_unknown());
}

#[test]
fn an_attribute_that_the_state_lacks_is_unknown_even_if_kept() {
    let plan = plan(
        with(config(), "name", json!("b")),
        Some(with(existing(), "id", json!(null))),
    );
    assert!(plan.planned.get("id").is_unknown());
}

#[test]
fn replacement_names_the_attribute_and_the_reason() {
    let plan = plan(with(config(), "kind", json!("k")), Some(existing()));
    assert_eq!(
        plan.replace.iter().map(Path::to_string).collect::<Vec<_>>(),
        ["kind"]
    );
    assert_eq!(plan.reasons.len(), 1);
    assert_eq!(plan.reasons[0].detail, "Kinds are for life.");
    assert_eq!(plan.reasons[0].path, Path::attribute("kind"));
}

#[test]
fn defaults_win_over_old_values() {
    let plan = plan(config(), Some(with(existing(), "mode", json!("manual"))));
    assert_eq!(plan.planned.get("mode").as_str(), Some("auto"));
}

#[test]
fn nested_elements_are_paired_by_key() {
    let prior = with(
        existing(),
        "members",
        json!({"a": {"role": "r", "cidr": "c1", "zone": "z"}}),
    );
    let config = with(
        config(),
        "members",
        json!({"a": {"role": "r", "zone": "y"}, "b": {"role": "s", "zone": "q"}}),
    );
    let plan = plan(config, Some(prior));
    let member = |key: &str, name: &str| plan.planned.get("members").get(key).get(name).clone();
    assert_eq!(member("b", "cidr"), Value::Unknown);
    assert_eq!(member("b", "role"), Value::from("s"));
    assert_eq!(
        member("a", "cidr"),
        Value::Unknown,
        "computed, and something changed"
    );
    let paths: Vec<_> = plan.replace.iter().map(Path::to_string).collect();
    assert_eq!(
        paths,
        [r#"members["a"].zone"#],
        "a new element replaces nothing"
    );
}

#[test]
fn new_elements_of_sets_and_blocks_are_open() {
    let config = with(
        with(config(), "parts", json!([{"role": "r"}])),
        "rule",
        json!([{"port": 1}, {}]),
    );
    let plan = plan(config, None);
    assert!(
        plan.planned
            .get("parts")
            .at(&Path::root().index(0))
            .get("cidr")
            .is_unknown()
    );
    let ports: Vec<_> = plan
        .planned
        .get("rule")
        .as_list()
        .unwrap()
        .iter()
        .map(|r| r.get("port").clone())
        .collect();
    assert_eq!(ports, [Value::from(1i64), Value::Unknown]);
}

#[test]
fn unknown_configuration_stays_unknown() {
    let mut wish = Value::from(config());
    wish.set("size", Value::Unknown);
    let proposed = wish.clone();
    let prior = Value::from(existing());
    let plan = standard_plan(&schema(), wish, Some(prior), proposed, Private::default());
    assert!(plan.planned.get("size").is_unknown() && plan.changes("size"));
    assert!(
        plan.planned.get("cidr").is_unknown(),
        "what hangs on it is open too"
    );
}

#[test]
fn none_and_empty_follow_the_reference() {
    let mut state = Value::from(json!({"labels": [], "members": {}, "secret": "s", "rule": []}));
    settle(
        &schema().body,
        &Value::from(json!({"labels": null, "members": {}})),
        &mut state,
    );
    assert!(state.get("labels").is_null() && state.get("secret").is_null());
    assert_eq!(state.get("members"), &Value::Map(Default::default()));
    let mut state = Value::from(json!({"labels": null, "members": {"a": {"role": "r"}}}));
    settle(
        &schema().body,
        &Value::from(json!({"labels": [], "members": null})),
        &mut state,
    );
    assert_eq!(state.get("labels"), &Value::List(vec![]));
    assert!(
        !state.get("members").is_null(),
        "what is there is never hidden"
    );
}

/// Random configurations of the schema above, as Terraform lets them through: what is required is set.
fn any_config() -> impl Strategy<Value = serde_json::Value> {
    let word = || prop_oneof![Just(json!(null)), Just(json!("a")), Just(json!("b"))];
    let member = (word(), "[rs]").prop_map(|(zone, role)| json!({"role": role, "zone": zone}));
    let members = proptest::option::of(proptest::collection::btree_map(
        "[ab]",
        member.clone(),
        0..3,
    ));
    let parts = proptest::option::of(proptest::collection::vec(member, 0..3).prop_map(
        |mut parts| {
            parts.dedup();
            parts
        },
    ));
    let labels = proptest::option::of(proptest::collection::btree_set("[xyz]", 0..3));
    let rules = proptest::collection::vec(proptest::option::of(0..3), 0..3);
    let fields = (
        proptest::option::of(0..3),
        word(),
        word(),
        word(),
        labels,
        members,
        parts,
        rules,
    );
    fields.prop_map(|(size, kind, mode, secret, labels, members, parts, rules)| {
        let rules: Vec<_> = rules.into_iter().map(|port| json!({"port": port})).collect();
        json!({"name": "n", "size": size, "kind": kind, "mode": mode, "secret": secret, "labels": labels,
               "members": members, "parts": parts, "rule": rules})
    })
}

/// What a perfect provider makes of a plan: every unknown becomes some value.
fn applied(planned: &Value) -> Value {
    match planned {
        Value::Unknown => Value::from("made"),
        Value::List(elements) => Value::List(elements.iter().map(applied).collect()),
        Value::Map(elements) => Value::Map(
            elements
                .iter()
                .map(|(k, v)| (k.clone(), applied(v)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The same with numbers where the schema has computed numbers.
fn created(plan: &Plan) -> serde_json::Value {
    let mut state = applied(&plan.planned).to_json();
    for rule in state["rule"].as_array_mut().unwrap() {
        if rule["port"] == "made" {
            rule["port"] = json!(80);
        }
    }
    state
}

proptest! {
    #[test]
    fn any_plan_is_consistent_and_settles(before in any_config(), after in any_config()) {
        let creation = plan(before.clone(), None);
        check_plan(&schema().body, &creation.config, &Value::Null, &creation.planned).unwrap();
        let state = created(&creation);

        let again = plan(before, Some(state.clone()));
        prop_assert!(same(&schema().ty(), again.prior.as_ref().unwrap(), &again.planned), "{again:?}");
        prop_assert!(again.replace.is_empty());

        let update = plan(after.clone(), Some(state));
        check_plan(&schema().body, &update.config, update.prior.as_ref().unwrap(), &update.planned).unwrap();
        let state = created(&update);
        let settled = plan(after, Some(state));
        prop_assert!(same(&schema().ty(), settled.prior.as_ref().unwrap(), &settled.planned), "{settled:?}");
    }
}
