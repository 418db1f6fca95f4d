//! Taking over what exists: by id, by VPC and name, by CIDR; and the first plan afterwards is empty.

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, Workspace, allocation};

async fn import(terraform: &Workspace, address: &str, id: &str) {
    terraform
        .terraform(&["import", "-no-color", "-input=false", address, id])
        .await
        .succeeded();
}

#[tokio::test]
async fn however_it_was_asked_for_and_however_it_is_written_down() {
    let stack = Stack::start().await;
    let terraform = stack
        .workspace()
        .settings("default_labels = { team = \"net\" }");
    let asked = [
        ("hosts", json!({"hosts": 500})),
        ("length", json!({"prefix_length": 23})),
        ("cidr", json!({"cidr": "10.0.64.0/23"})),
    ];
    let rest = "description = \"old\"\nlabels = { env = \"dev\" }\ndeletion_protection = true";
    for (name, size) in asked {
        let mut ask = json!({
            "vpc": "prod", "name": name, "description": "old", "deletion_protection": true,
            "labels": {"env": "dev", "team": "net"}
        });
        ask.as_object_mut()
            .unwrap()
            .extend(size.as_object().cloned().unwrap());
        let made = stack.api(Method::POST, "allocations", ask).await;
        let (id, cidr) = (
            made["id"].as_str().unwrap().to_owned(),
            made["cidr"].as_str().unwrap().to_owned(),
        );
        let pods = made["blocks"][1]["cidr"].as_str().unwrap().to_owned();
        let address = format!("ipam_allocation.{name}");
        for by in [&id, &format!("PROD/{name}"), &cidr, &pods] {
            for size in [
                "prefix_length = 23".to_owned(),
                format!("cidr = \"{cidr}\""),
            ] {
                terraform.write(
                    &allocation(name, &format!("{size}\n{rest}"))
                        .replace("\"prod\"", &format!("{:?}", "prod")),
                );
                import(&terraform, &address, by).await;
                terraform.plan_is_empty().await;
                terraform
                    .terraform(&["state", "rm", &address])
                    .await
                    .succeeded();
            }
        }
        terraform.write(&allocation(name, &format!("hosts = 500\n{rest}")));
        import(&terraform, &address, &id).await;
        match name {
            "hosts" => terraform.plan_is_empty().await,
            // Asked for in another way before: from now on it is noted as asked for by hosts, and nothing else changes.
            _ => {
                terraform
                    .plan_changes()
                    .await
                    .says("0 to add, 1 to change, 0 to destroy");
                terraform.apply().await.succeeded();
                terraform.plan_is_empty().await;
            }
        }
        terraform
            .terraform(&["state", "rm", &address])
            .await
            .succeeded();
    }
    assert_eq!(stack.allocations().await, 3);
}

#[tokio::test]
async fn by_a_block_in_the_configuration() {
    let stack = Stack::start().await;
    let made = stack
        .api(
            Method::POST,
            "allocations",
            json!({"vpc": "prod", "name": "a", "hosts": 500}),
        )
        .await;
    let terraform = stack.workspace();
    let block = "import {\n  to = ipam_allocation.a\n  id = \"prod/a\"\n}\n";
    terraform.write(&format!("{block}{}", allocation("a", "hosts = 500")));
    terraform
        .plan()
        .await
        .says("1 to import, 0 to add, 0 to change, 0 to destroy");
    terraform
        .apply()
        .await
        .succeeded()
        .says("1 imported, 0 added, 0 changed");
    terraform.plan_is_empty().await;
    assert_eq!(
        terraform.ids().await,
        [made["id"].as_str().unwrap().to_owned()]
    );
    terraform.write(&allocation("a", "hosts = 500\nlabels = { a = \"b\" }"));
    terraform.apply().await.succeeded().says("1 changed");
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}

#[tokio::test]
async fn what_does_not_exist_is_not_imported() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "hosts = 500"));
    for id in [
        "prod/a",
        "10.0.0.0/23",
        "0190d6a5-8f0e-7cc0-a7a0-000000000001",
        "nonsense",
    ] {
        let run = terraform
            .terraform(&["import", "-no-color", "ipam_allocation.a", id])
            .await;
        run.failed()
            .says(&format!("There is no allocation {id}"))
            .says("Import by id, by vpc/name");
    }
}

#[tokio::test]
async fn what_several_vrfs_have_is_asked_for_in_a_form_that_works() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    stack
        .api(Method::POST, "vrfs", json!({"name": "dev"}))
        .await;
    for vrf in ["default", "dev"] {
        let pool = json!({"name": "wide", "vrf": vrf, "ranges": ["10.64.0.0/16"]});
        stack.api(Method::POST, "pools", pool).await;
        let network = json!({"cidr": "172.16.0.0/24", "vrf": vrf, "reason": "Test"});
        stack.api(Method::POST, "reservations", network).await;
        let ask =
            json!({"vpc": vrf, "vrf": vrf, "name": "a", "pools": ["wide"], "prefix_length": 24});
        stack.api(Method::POST, "allocations", ask).await;
    }
    for (address, config, ambiguous, forms) in [
        (
            "ipam_pool.one",
            "name = \"wide\"\nvrf = \"dev\"\nranges = [\"10.64.0.0/16\"]",
            "wide",
            ["default/wide", "dev/wide"],
        ),
        (
            "ipam_reservation.one",
            "cidr = \"172.16.0.0/24\"\nvrf = \"dev\"\nreason = \"Test\"",
            "172.16.0.0/24",
            ["default/172.16.0.0/24", "dev/172.16.0.0/24"],
        ),
        (
            "ipam_allocation.one",
            "vpc = \"dev\"\nname = \"a\"\npools = [\"wide\"]\nprefix_length = 24",
            "10.64.0.0/24",
            ["default/a", "dev/a"],
        ),
    ] {
        let ty = address.trim_end_matches(".one");
        terraform.write(&format!("resource \"{ty}\" \"one\" {{\n{config}\n}}\n"));
        let command = ["import", "-no-color", "-input=false", address, ambiguous];
        let run = terraform.terraform(&command).await.failed();
        let run = run.says("It exists in several VRFs. Import one of these:");
        run.says(forms[0]).says(forms[1]);
        import(&terraform, address, forms[1]).await;
        terraform.plan_is_empty().await;
        terraform
            .terraform(&["state", "rm", address])
            .await
            .succeeded();
    }
}
