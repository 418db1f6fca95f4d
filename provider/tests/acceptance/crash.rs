//! What is left after a reply is lost or a process dies in the middle: the next apply converges without help, and there
//! is never a second allocation for the same VPC and name.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    proxy::{Fault, Proxy},
    stack::{Stack, Workspace, allocation, eventually, finish, is_running},
};

const APPLY: [&str; 4] = ["apply", "-no-color", "-input=false", "-auto-approve"];
const DUPLICATES: &str = "select count(*) from (select from allocation group by vpc_id, name having count(*) > 1) as duplicate";

/// `count` allocations behind a proxy.
async fn behind(
    stack: &Stack,
    method: &'static str,
    fault: Fault,
    count: u32,
    settings: &str,
) -> (Workspace, Proxy) {
    let proxy = Proxy::start(stack.server.address(), method, fault).await;
    let mut terraform = stack.workspace().settings(settings);
    terraform.use_endpoint(&proxy.url);
    write(&terraform, count, "hosts = 50");
    (terraform, proxy)
}

fn write(terraform: &Workspace, count: u32, attributes: &str) {
    let body = allocation("a", &format!("count = {count}\n{attributes}"));
    terraform.write(&body.replace("\"a\"\n", "\"a${count.index}\"\n"));
}

/// Applies again, directly, and checks that state and database agree.
async fn converges(stack: &Stack, terraform: &mut Workspace, count: u32) {
    terraform.use_endpoint(&stack.server.url());
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(stack.allocations().await, i64::from(count));
    assert_eq!(stack.count(DUPLICATES).await, 0);
    assert_eq!(
        stack.count("select count(*) from block").await,
        2 * i64::from(count)
    );
    let mut connection = stack.database.connect().await;
    let mut stored: Vec<String> = sqlx::query_scalar("select allocation_id::text from allocation")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut known = terraform.ids().await;
    stored.sort();
    known.sort();
    assert_eq!(known, stored);
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}

#[tokio::test]
async fn lost_replies_are_bridged_within_one_apply() {
    let stack = Stack::start().await;
    let (mut terraform, proxy) = behind(&stack, "POST", Fault::LoseReply(3), 5, "").await;
    terraform.apply().await.succeeded().says("5 added");
    assert!(proxy.hits() >= 3);
    for (method, attributes) in [
        ("PATCH", "hosts = 50\nlabels = { a = \"b\" }"),
        ("GET", "hosts = 50\nlabels = { a = \"b\" }"),
    ] {
        let proxy = Proxy::start(stack.server.address(), method, Fault::LoseReply(3)).await;
        terraform.use_endpoint(&proxy.url);
        write(&terraform, 5, attributes);
        terraform.apply().await.succeeded();
        assert!(proxy.hits() >= 3, "{method}");
    }
    let proxy = Proxy::start(stack.server.address(), "DELETE", Fault::LoseReply(3)).await;
    terraform.use_endpoint(&proxy.url);
    write(&terraform, 2, "hosts = 50\nlabels = { a = \"b\" }");
    terraform.apply().await.succeeded().says("3 destroyed");
    assert!(proxy.hits() >= 3);
    converges(&stack, &mut terraform, 2).await;
}

#[tokio::test]
async fn an_apply_that_gives_up_leaves_nothing_behind_that_the_next_does_not_find() {
    let stack = Stack::start().await;
    let (mut terraform, proxy) = behind(
        &stack,
        "POST",
        Fault::LoseReply(u32::MAX),
        5,
        "retry_timeout = 0",
    )
    .await;
    terraform
        .apply()
        .await
        .failed()
        .says("running the same again is safe");
    assert_eq!(proxy.hits(), 5);
    assert_eq!(
        stack.allocations().await,
        5,
        "all were made and none is known to terraform"
    );
    converges(&stack, &mut terraform, 5).await;
}

#[tokio::test]
async fn the_provider_is_killed_before_and_after_the_server_did_its_work() {
    for (fault, made) in [(Fault::HoldRequest, 0), (Fault::HoldReply, 5)] {
        let stack = Stack::start().await;
        let (mut terraform, proxy) = behind(&stack, "POST", fault, 5, "").await;
        let run = terraform.start(&APPLY);
        eventually("all creations are on their way", async || proxy.hits() == 5).await;
        assert_eq!(stack.allocations().await, made, "{fault:?}");
        kill(Pid::from_raw(terraform.provider_pid()), Signal::SIGKILL).unwrap();
        finish(run).await.failed();
        // What was held before the server is on its way still, and arrives before the next apply, or during it.
        proxy.release();
        converges(&stack, &mut terraform, 5).await;
    }
}

#[tokio::test]
async fn terraform_is_killed_before_and_after_the_server_did_its_work() {
    for fault in [Fault::HoldRequest, Fault::HoldReply] {
        let stack = Stack::start().await;
        let (mut terraform, proxy) = behind(&stack, "POST", fault, 5, "").await;
        let mut run = terraform.start(&APPLY);
        eventually("all creations are on their way", async || proxy.hits() == 5).await;
        run.kill().await.unwrap();
        proxy.release();
        eventually("a provider whose terraform is gone ends", async || {
            terraform
                .provider_pids()
                .into_iter()
                .all(|pid| !is_running(pid))
        })
        .await;
        converges(&stack, &mut terraform, 5).await;
    }
}

#[tokio::test]
async fn a_killed_change_and_a_killed_destroy_are_finished_by_the_next() {
    let stack = Stack::start().await;
    let mut terraform = stack.workspace();
    write(&terraform, 5, "hosts = 50");
    terraform.apply().await.succeeded();

    let proxy = Proxy::start(stack.server.address(), "PATCH", Fault::HoldReply).await;
    terraform.use_endpoint(&proxy.url);
    write(&terraform, 5, "hosts = 50\nlabels = { a = \"b\" }");
    let mut run = terraform.start(&APPLY);
    eventually("all changes are made", async || proxy.hits() == 5).await;
    run.kill().await.unwrap();
    proxy.release();

    terraform.use_endpoint(&stack.server.url());
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;

    let proxy = Proxy::start(stack.server.address(), "DELETE", Fault::HoldReply).await;
    terraform.use_endpoint(&proxy.url);
    write(&terraform, 2, "hosts = 50\nlabels = { a = \"b\" }");
    let run = terraform.start(&APPLY);
    eventually("all releases are made", async || proxy.hits() == 3).await;
    kill(Pid::from_raw(terraform.provider_pid()), Signal::SIGKILL).unwrap();
    finish(run).await.failed();
    proxy.release();
    converges(&stack, &mut terraform, 2).await;
}

#[tokio::test]
async fn the_server_is_killed_and_comes_back_while_an_apply_runs() {
    let mut stack = Stack::start().await;
    let (mut terraform, proxy) = behind(&stack, "POST", Fault::HoldReply, 5, "").await;
    let run = terraform.start(&APPLY);
    eventually("all creations are made", async || proxy.hits() == 5).await;
    stack.server.kill_9();
    proxy.release();
    stack.server.restart().await;
    finish(run).await.succeeded();
    converges(&stack, &mut terraform, 5).await;
}

#[tokio::test]
async fn ctrl_c_lets_what_has_begun_end_well() {
    let stack = Stack::start().await;
    let (mut terraform, proxy) = behind(&stack, "POST", Fault::HoldReply, 5, "").await;
    let run = terraform.start(&APPLY);
    eventually("all creations are made", async || proxy.hits() == 5).await;
    // As a terminal does it: to both at once.
    let pid = i32::try_from(run.id().unwrap()).unwrap();
    for pid in [pid, terraform.provider_pid()] {
        kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    }
    proxy.release();
    let run = finish(run).await;
    run.does_not_say("Plugin did not respond")
        .does_not_say("Request cancelled");
    assert_eq!(
        terraform.ids().await.len(),
        5,
        "what was made is in the state"
    );
    converges(&stack, &mut terraform, 5).await;
}
