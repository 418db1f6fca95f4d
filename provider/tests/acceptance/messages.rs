//! What people read when something is wrong: one clear message, and nothing proposed that would harm what exists.

use ipam_testing::{TestDatabase, TestServer};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::stack::{Stack, Workspace, allocation};

/// A state with twenty allocations.
async fn twenty(stack: &Stack) -> Workspace {
    let terraform = stack.workspace().settings("retry_timeout = 1");
    terraform.write(
        &allocation("a", "count = 20\nhosts = 50").replace("\"a\"\n", "\"a${count.index}\"\n"),
    );
    terraform.apply().await.succeeded();
    terraform
}

#[tokio::test]
async fn a_server_that_is_down_costs_one_message_and_nothing_else() {
    let mut stack = Stack::start().await;
    let terraform = twenty(&stack).await;
    let state = std::fs::read(terraform.path("terraform.tfstate")).unwrap();
    stack.server.stop().await;
    for run in [
        terraform.plan().await,
        terraform.apply().await,
        terraform.destroy().await,
    ] {
        let run = run
            .failed()
            .says(&format!(
                "Can't work with the ipam server at {}",
                stack.server.url()
            ))
            .says("refused")
            .says("Check that the server is running")
            .does_not_say("will be created")
            .does_not_say("replaced");
        assert_eq!(run.times("Error:"), 1, "{}", run.text);
    }
    assert_eq!(
        std::fs::read(terraform.path("terraform.tfstate")).unwrap(),
        state
    );
    stack.server.restart().await;
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn a_wrong_key_costs_one_message_and_nothing_else() {
    let stack = Stack::start().await;
    let mut terraform = twenty(&stack).await;
    terraform.use_key("canary-wrong-key");
    let run = terraform.plan().await.failed();
    let run = run
        .says("IPAM_API_KEY")
        .does_not_say("will be created")
        .does_not_say("canary-wrong-key");
    assert_eq!(run.times("Error:"), 1, "{}", run.text);
}

#[tokio::test]
async fn an_empty_database_is_not_taken_for_a_deletion() {
    let stack = Stack::start().await;
    let mut terraform = twenty(&stack).await;
    let empty_database = TestDatabase::new().await;
    let empty = TestServer::start(&empty_database).await;
    terraform.use_endpoint(&empty.url());
    for run in [terraform.plan().await, terraform.apply().await] {
        run.failed()
            .says("The server doesn't know this allocation")
            .says("its database may be empty")
            .does_not_say("will be created")
            .does_not_say("Plan:");
    }
    terraform.use_endpoint(&stack.server.url());
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_believed() {
    let stack = Stack::start().await;
    let mut terraform = twenty(&stack).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    terraform.use_endpoint(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A request that is not read would turn the closing of the connection into a reset.
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let page = "<h1>Welcome</h1>";
            let reply = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{page}",
                page.len()
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    terraform
        .plan()
        .await
        .failed()
        .says("is not from an ipam server")
        .says("Welcome")
        .does_not_say("Plan:");
}

#[tokio::test]
async fn settings_that_are_missing_or_wrong_are_named() {
    let stack = Stack::start().await;
    let mut terraform = stack.workspace();
    terraform.write(&allocation("a", "hosts = 500"));
    terraform.use_endpoint("");
    terraform.use_key("");
    let run = terraform.plan().await.failed();
    let run = run
        .says("The provider needs endpoint")
        .says("IPAM_ENDPOINT")
        .says("The provider needs api_key");
    assert_eq!(run.times("Error:"), 2, "{}", run.text);
    terraform.use_endpoint("localhost:8000");
    terraform.use_key("a\nb");
    terraform
        .plan()
        .await
        .failed()
        .says("is not the address of a server")
        .says("http://127.0.0.1:8000");
    terraform.use_endpoint(&stack.server.url());
    terraform.plan().await.failed().says("such as a line break");
    for (settings, says) in [
        (
            "request_timeout = 0",
            "request_timeout must be from 1 to 600",
        ),
        (
            "request_timeout = -1",
            "request_timeout must be from 1 to 600, in whole seconds, but it is -1.",
        ),
        (
            "retry_timeout = 4000",
            "retry_timeout must be from 0 to 3600",
        ),
        (
            "ca_file = \"/does/not/exist\"",
            "can't be used as a CA file",
        ),
        ("default_labels = { \"\" = \"a\" }", "In default_labels"),
    ] {
        let mut terraform = stack.workspace().settings(settings);
        terraform.use_key(TestServer::API_KEY);
        terraform.write(&allocation("a", "hosts = 500"));
        terraform.plan().await.failed().says(says);
    }
}

#[tokio::test]
async fn what_can_not_be_is_refused_while_planning_at_the_attribute() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let long = format!("hosts = 5\ndescription = \"{}\"", "x".repeat(1001));
    for (attributes, says) in [
        (
            "",
            "One of hosts, prefix_length and cidr must be set; none is.",
        ),
        (
            "hosts = 5\nprefix_length = 24",
            "hosts = 5 is a /26, and prefix_length = 24 is a /24",
        ),
        (
            "prefix_length = 24\ncidr = \"10.0.0.0/23\"",
            "cidr = 10.0.0.0/23 is a /23, and prefix_length = 24 is a /24",
        ),
        ("hosts = 0", "at least 1 host"),
        ("hosts = 4092", "4092 hosts are too many"),
        (
            "hosts = 2.5",
            "a whole number from 1 to 4091, but it is 2.5.",
        ),
        ("hosts = -1", "a whole number from 1 to 4091, but it is -1."),
        (
            "hosts = -1\nprofile = \"p\"",
            "a whole number from 1 to 9223372036854775807, but it is -1.",
        ),
        (
            "hosts = 9223372036854775808\nprofile = \"p\"",
            "a whole number from 1 to 9223372036854775807, but it is 9223372036854775808.",
        ),
        ("prefix_length = -1", "/-1 is not a prefix length"),
        ("prefix_length = 300", "/300 is not a prefix length"),
        (
            "prefix_length = 19",
            "outside the bounds of the profile node-pod",
        ),
        (
            "prefix_length = 27",
            "outside the bounds of the profile node-pod",
        ),
        ("cidr = \"10.0.0.5/24\"", "the network is 10.0.0.0/24"),
        (
            "cidr = \"10.0.0.0/16\"",
            "outside the bounds of the profile node-pod",
        ),
        (
            "cidr = \"2001:0DB8::/120\"\nprofile = \"six\"",
            "as 2001:db8::/120",
        ),
        ("hosts = 5\nlabels = { \"\" = \"x\" }", "In labels"),
        ("hosts = 5\nlabels = { a = null }", "labels"),
        ("hosts = 5\nprofile = \"a/b\"", "can't contain '/'"),
        (&long, "It has 1001 characters"),
    ] {
        terraform.write(&allocation("a", attributes));
        terraform
            .plan()
            .await
            .failed()
            .says(says)
            .says("on main.tf line")
            .does_not_say("Plan:");
    }
    terraform.write(
        &allocation("a/b", "hosts = 5")
            .replace("\"ipam_allocation\" \"a/b\"", "\"ipam_allocation\" \"a\""),
    );
    terraform.plan().await.failed().says("can't contain '/'");
    assert_eq!(stack.allocations().await, 0);
}

#[tokio::test]
async fn what_the_server_refuses_is_explained() {
    let stack = Stack::start().await;
    stack
        .api(
            Method::POST,
            "allocations",
            json!({"vpc": "prod", "name": "taken", "cidr": "10.0.0.0/20"}),
        )
        .await;
    let terraform = stack.workspace();
    terraform.write(&allocation("taken", "hosts = 5"));
    terraform
        .apply()
        .await
        .failed()
        .says("Can't create the allocation prod/taken")
        .says("(name_taken");
    terraform.write(&allocation("b", "cidr = \"10.0.8.0/24\""));
    terraform
        .apply()
        .await
        .failed()
        .says("(overlap")
        .says("taken");
    // At the attribute, as far as the server knows which one is wrong.
    terraform.write(&allocation("d", "hosts = 5\npools = [\"nowhere\"]"));
    terraform
        .apply()
        .await
        .failed()
        .says("There is no pool \"nowhere\"")
        .says("pools = [\"nowhere\"]");
    terraform.write(
        "resource \"ipam_pool\" \"odd\" {\n  name = \"odd\"\n  ranges = [\"172.16.0.0/16\"]\n  min_prefix_length = 20\n  \
         max_prefix_length = 33\n}\n",
    );
    terraform
        .apply()
        .await
        .failed()
        .says("an IPv4 prefix has at most 32")
        .says("max_prefix_length = 33");
    // The rest of 10.0.0.0/16 is fifteen blocks of that size.
    terraform.write(
        &allocation("c", "count = 16\nprefix_length = 20")
            .replace("\"c\"\n", "\"c${count.index}\"\n"),
    );
    let run = terraform.apply().await.failed().says("(pool_exhausted");
    assert_eq!(run.times("Error:"), 1, "{}", run.text);
    assert_eq!(stack.allocations().await, 16);
}

#[tokio::test]
async fn two_states_can_not_both_own_it() {
    let stack = Stack::start().await;
    let first = stack.workspace();
    first.write(&allocation("a", "hosts = 500"));
    first.apply().await.succeeded();
    // Nobody has confirmed yet: to the server a copied configuration looks like the retry after a crash.
    let second = stack.workspace();
    second.write(&allocation("a", "hosts = 500"));
    second.apply().await.succeeded().says("was there already");
    second.plan_is_empty().await;
    first
        .plan()
        .await
        .failed()
        .says("terraform import ADDRESS 'prod/a'")
        .does_not_say("Plan:");
    // The second has confirmed with its plan: nobody adopts it any more.
    let third = stack.workspace();
    third.write(&allocation("a", "hosts = 500"));
    third
        .apply()
        .await
        .failed()
        .says("Can't create the allocation prod/a")
        .says("terraform import ADDRESS 'prod/a'");
    // A copy of the owner's state is the owner's state.
    second.copy().plan_is_empty().await;
    assert_eq!(stack.allocations().await, 1);
}
