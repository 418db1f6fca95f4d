//! Races whose outcome depends on who comes first, with the order forced: a session of the test holds a lock, the two
//! parties queue up behind it one after the other, and then it lets go.

use std::time::{Duration, Instant};

use ipam_server::{
    domain::{Caller, Ipam, allocation::BatchOutcome},
    error::Error,
};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationPatch, NewAllocation, NewBatch, Size},
        vpc::Vpc,
        vrf::NewVrf,
    },
    ids::VpcId,
    labels::Labels,
};
use ipam_testing::TestDatabase;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

struct Stage {
    ipam: Ipam,
    /// Holds what the others wait for.
    holder: PgConnection,
    observer: PgConnection,
    database: TestDatabase,
}

impl Stage {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        Self {
            ipam: Ipam::new(database.pool(8)),
            holder: database.connect().await,
            observer: database.connect().await,
            database,
        }
    }

    async fn allocate(&self, vpc: &str, name: Option<&str>) -> Result<Allocation, Error> {
        self.ipam
            .allocate(caller(), ask(vpc, name), None)
            .await
            .map(|outcome| outcome.allocation)
    }

    /// Takes a lock, and more, in a transaction that stays open.
    async fn hold(&mut self, sql: &str) {
        for sql in ["begin", sql] {
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut self.holder)
                .await
                .expect(sql);
        }
    }

    async fn let_go(&mut self) {
        sqlx::query("commit")
            .execute(&mut self.holder)
            .await
            .expect("commit");
    }

    /// Begins something, and returns when it waits for a lock behind `others` that did before.
    async fn begin<T: Send + 'static>(
        &mut self,
        others: i64,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let task = tokio::spawn(work);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            )
            .fetch_one(&mut self.observer)
            .await
            .expect("pg_stat_activity can be read");
            if waiting > others || task.is_finished() {
                return task;
            }
            assert!(Instant::now() < deadline, "it waits for nobody");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn vpc(&self, name: &str) -> VpcId {
        self.ipam
            .find::<Vpc>(name)
            .await
            .expect("there is such a VPC")
    }

    /// Nothing is wrong, and no two waited for each other.
    async fn check(&mut self) {
        let report = self.ipam.verify().await.expect("it can be verified");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let deadlocks: i64 = sqlx::query_scalar(
            "select deadlocks from pg_stat_database where datname = current_database()",
        )
        .fetch_one(&mut self.observer)
        .await
        .expect("pg_stat_database can be read");
        assert_eq!(deadlocks, 0);
    }
}

pub(crate) fn caller() -> Caller {
    Caller::trusted("test", Uuid::new_v4())
}

pub(crate) fn ask(vpc: &str, name: Option<&str>) -> NewAllocation {
    NewAllocation {
        name: name.map(|name| name.parse().expect("a name")),
        ..NewAllocation::new(vpc.parse().expect("a name"), Size::Hosts(100))
    }
}

fn move_to(vpc: &str) -> AllocationPatch {
    AllocationPatch {
        vpc: Some(vpc.parse().expect("a name")),
        ..AllocationPatch::default()
    }
}

#[tokio::test]
async fn what_is_moved_away_is_not_deleted_with_its_old_vpc() {
    let mut stage = Stage::new().await;
    let moved = stage.allocate("old", Some("a")).await.unwrap();
    let stays = stage.allocate("old", Some("b")).await.unwrap();
    let old = stage.vpc("old").await;
    stage
        .hold(&format!(
            "select from allocation where allocation_id = '{}' for update",
            moved.id
        ))
        .await;
    let ipam = stage.ipam.clone();
    let mover = stage
        .begin(0, async move {
            ipam.update(caller(), moved.id, move_to("new"), None).await
        })
        .await;
    let ipam = stage.ipam.clone();
    let deleter = stage
        .begin(1, async move {
            ipam.delete_vpc(caller(), old, true, None).await
        })
        .await;
    stage.let_go().await;
    assert_eq!(mover.await.unwrap().unwrap().vpc.as_str(), "new");
    assert_eq!(deleter.await.unwrap().unwrap().released_allocations, 1);
    let now = stage
        .ipam
        .show::<Allocation>(caller(), moved.id, None)
        .await
        .expect("it was moved and nobody released it");
    assert_eq!((now.vpc.as_str(), now.blocks), ("new", moved.blocks));
    assert!(matches!(
        stage
            .ipam
            .show::<Allocation>(caller(), stays.id, None)
            .await,
        Err(Error::Gone { .. })
    ));
    stage.check().await;
}

#[tokio::test]
async fn what_is_moved_at_the_same_moment_is_still_found() {
    let mut stage = Stage::new().await;
    let moved = stage.allocate("a", Some("n")).await.unwrap();
    stage
        .hold(&format!(
            "select from allocation where allocation_id = '{}' for update",
            moved.id
        ))
        .await;
    let mut movers = Vec::new();
    for (number, vpc) in (0..).zip(["b", "c", "d"]) {
        let ipam = stage.ipam.clone();
        let work = async move { ipam.update(caller(), moved.id, move_to(vpc), None).await };
        movers.push(stage.begin(number, work).await);
    }
    let ipam = stage.ipam.clone();
    let releaser = stage
        .begin(
            3,
            async move { ipam.release(caller(), moved.id, None).await },
        )
        .await;
    stage.let_go().await;
    // Who comes first behind a lock that changed hands is up to PostgreSQL; that it exists, or was released, is not.
    for mover in movers {
        let moved = mover.await.unwrap().map(|allocation| allocation.vpc);
        assert!(
            matches!(moved, Ok(_) | Err(Error::Gone { .. })),
            "{moved:?}"
        );
    }
    releaser.await.unwrap().unwrap();
    stage.check().await;
}

#[tokio::test]
async fn what_comes_into_a_vpc_that_is_being_deleted_makes_it_anew() {
    let mut stage = Stage::new().await;
    let gone = stage.allocate("a", Some("n")).await.unwrap();
    let other = stage.allocate("b", Some("m")).await.unwrap();
    let id = stage.vpc("a").await;
    stage
        .hold(&format!(
            "select from allocation where allocation_id = '{}' for update",
            gone.id
        ))
        .await;
    let ipam = stage.ipam.clone();
    let deleter = stage
        .begin(
            0,
            async move { ipam.delete_vpc(caller(), id, true, None).await },
        )
        .await;
    let ipam = stage.ipam.clone();
    let mover = stage
        .begin(1, async move {
            ipam.update(caller(), other.id, move_to("a"), None).await
        })
        .await;
    let ipam = stage.ipam.clone();
    let maker = stage
        .begin(2, async move {
            ipam.allocate(caller(), ask("a", Some("n")), None).await
        })
        .await;
    stage.let_go().await;
    assert_eq!(deleter.await.unwrap().unwrap().released_allocations, 1);
    let moved = mover.await.unwrap().unwrap();
    let made = maker.await.unwrap().unwrap();
    assert!(made.created);
    assert_eq!(moved.vpc_id, made.allocation.vpc_id);
    assert_ne!(moved.vpc_id, id);
    stage.check().await;
}

#[tokio::test]
async fn nobody_adopts_what_is_confirmed_at_the_same_moment() {
    let mut stage = Stage::new().await;
    let owned = stage.allocate("a", Some("n")).await.unwrap();
    // Confirmed, but not committed yet when the other one looks.
    stage
        .hold(&format!(
            "update allocation set confirmed_at = now() where allocation_id = '{}'",
            owned.id
        ))
        .await;
    let ipam = stage.ipam.clone();
    let adopter = stage
        .begin(0, async move {
            ipam.allocate(caller(), ask("a", Some("n")), None).await
        })
        .await;
    stage.let_go().await;
    let refused = adopter.await.unwrap().map(|outcome| outcome.allocation.id);
    assert!(matches!(refused, Err(Error::Claimed { .. })), "{refused:?}");
    let shown = stage
        .ipam
        .show::<Allocation>(caller(), owned.id, owned.claim)
        .await;
    assert!(shown.is_ok(), "the owner keeps its claim: {shown:?}");
    stage.check().await;
}

#[tokio::test]
async fn nobody_adopts_what_is_renamed_at_the_same_moment() {
    let mut stage = Stage::new().await;
    let first = stage.allocate("a", Some("n")).await.unwrap();
    stage
        .hold(&format!(
            "select from allocation where allocation_id = '{}' for update",
            first.id
        ))
        .await;
    let patch = AllocationPatch {
        name: Some("m".parse().unwrap()),
        ..AllocationPatch::default()
    };
    let ipam = stage.ipam.clone();
    let renamer = stage
        .begin(0, async move {
            ipam.update(caller(), first.id, patch, None).await
        })
        .await;
    let ipam = stage.ipam.clone();
    let maker = stage
        .begin(1, async move {
            ipam.allocate(caller(), ask("a", Some("n")), None).await
        })
        .await;
    stage.let_go().await;
    assert_eq!(renamer.await.unwrap().unwrap().name.unwrap().as_str(), "m");
    let made = maker.await.unwrap().unwrap();
    assert_eq!(
        (made.created, made.allocation.name.unwrap().as_str()),
        (true, "n")
    );
    stage.check().await;
}

#[tokio::test]
async fn an_atomic_batch_that_adopts_what_is_renamed_at_the_same_moment_is_decided_anew() {
    let mut stage = Stage::new().await;
    let first = stage.allocate("a", Some("n")).await.unwrap();
    stage
        .hold(&format!(
            "select from allocation where allocation_id = '{}' for update",
            first.id
        ))
        .await;
    let patch = AllocationPatch {
        name: Some("m".parse().unwrap()),
        ..AllocationPatch::default()
    };
    let ipam = stage.ipam.clone();
    let renamer = stage
        .begin(0, async move {
            ipam.update(caller(), first.id, patch, None).await
        })
        .await;
    let ipam = stage.ipam.clone();
    let batch = NewBatch {
        requests: vec![ask("a", Some("n")), ask("b", Some("other"))],
        atomic: true,
        dry_run: false,
    };
    let maker = stage
        .begin(1, async move {
            ipam.allocate_batch(caller(), batch, None).await
        })
        .await;
    stage.let_go().await;
    renamer.await.unwrap().unwrap();
    let BatchOutcome::Done(answers) = maker.await.unwrap().unwrap() else {
        panic!("the batch was refused");
    };
    for answer in answers {
        assert!(answer.unwrap().created);
    }
    stage.check().await;
}

#[tokio::test]
async fn a_batch_and_a_move_into_the_same_new_vpc_do_not_wait_for_each_other() {
    let mut stage = Stage::new().await;
    let known = stage.allocate("a", Some("n")).await.unwrap();
    let mut second = stage.database.connect().await;
    for sql in ["begin", "select from allocation for update"] {
        sqlx::query(sql).execute(&mut second).await.unwrap();
    }
    // Both are queued before anybody comes for them, since there is one thread, and so share a batch.
    stage.hold("select from pool for update").await;
    let [adopter, maker] = ["a", "new"].map(|vpc| {
        let ipam = stage.ipam.clone();
        tokio::spawn(async move { ipam.allocate(caller(), ask(vpc, Some("n")), None).await })
    });
    stage.begin(0, std::future::pending::<()>()).await.abort();
    stage.let_go().await;
    // The batch wants the allocation, and so does the move; both want the VPC that does not exist yet.
    stage.begin(0, std::future::pending::<()>()).await.abort();
    let ipam = stage.ipam.clone();
    let mover = stage
        .begin(1, async move {
            ipam.update(caller(), known.id, move_to("new"), None).await
        })
        .await;
    sqlx::query("commit").execute(&mut second).await.unwrap();
    let (adopted, made) = (
        adopter.await.unwrap().unwrap(),
        maker.await.unwrap().unwrap(),
    );
    assert_eq!(
        (adopted.created, adopted.allocation.id, made.created),
        (false, known.id, true)
    );
    // There is an allocation of that name in the new VPC now.
    let moved = mover.await.unwrap().map(|allocation| allocation.vpc);
    assert!(matches!(moved, Err(Error::NameTaken { .. })), "{moved:?}");
    stage.check().await;
}

/// Another server on the same database.
fn other_server(stage: &Stage) -> Ipam {
    Ipam::new(stage.database.pool(4))
}

const HOLD_POOLS: &str = "select from pool order by pool_id for no key update";

#[tokio::test]
async fn what_was_decided_without_a_lock_is_decided_anew_when_somebody_else_took_it() {
    let mut stage = Stage::new().await;
    stage.hold(HOLD_POOLS).await;
    let mut tasks = Vec::new();
    for (others, vpc) in (0..).zip(["one", "two"]) {
        let server = other_server(&stage);
        let work = async move { server.allocate(caller(), ask(vpc, None), None).await };
        tasks.push(stage.begin(others, work).await);
    }
    stage.let_go().await;
    let mut cidrs = Vec::new();
    for task in tasks {
        cidrs.push(task.await.unwrap().unwrap().allocation.cidr);
    }
    assert_ne!(cidrs[0], cidrs[1]);
    stage.check().await;
}

#[tokio::test]
async fn what_was_decided_without_a_lock_is_decided_anew_when_its_free_block_became_part_of_a_larger_one()
 {
    let mut stage = Stage::new().await;
    let first = stage.allocate("first", None).await.unwrap();
    let other_half = stage.allocate("other half", None).await.unwrap();
    // Leaves a free block of the same size elsewhere, so that the counts by size do not notice anything.
    stage.allocate("elsewhere", None).await.unwrap();
    stage
        .ipam
        .release(caller(), other_half.id, None)
        .await
        .unwrap();
    stage.hold(HOLD_POOLS).await;
    let ipam = stage.ipam.clone();
    let release = stage
        .begin(
            0,
            async move { ipam.release(caller(), first.id, None).await },
        )
        .await;
    // It has seen the other half of what is about to be whole again. No constraint knows of that.
    let server = other_server(&stage);
    let second = stage
        .begin(1, async move {
            server.allocate(caller(), ask("second", None), None).await
        })
        .await;
    stage.let_go().await;
    release.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap().allocation;
    assert_eq!(second.cidr.to_string(), "10.0.1.128/25");
    stage.check().await;
}

#[tokio::test]
async fn what_was_decided_without_a_lock_follows_the_rules_of_the_pool_at_that_moment() {
    let mut stage = Stage::new().await;
    let before = stage.allocate("first", None).await.unwrap();
    stage
        .hold("update pool set max_prefix_length = 24, revision = revision + 1 where name = 'primary'")
        .await;
    let server = stage.ipam.clone();
    let late = stage
        .begin(0, async move {
            server.allocate(caller(), ask("late", None), None).await
        })
        .await;
    stage.let_go().await;
    let late = late.await.unwrap().unwrap().allocation;
    assert_eq!((before.prefix_length, late.prefix_length), (25, 24));
    stage.check().await;
}

#[tokio::test]
async fn who_repeats_a_creation_holds_nothing_that_a_change_of_what_is_there_waits_for() {
    let mut stage = Stage::new().await;
    let new = || NewVrf {
        name: "dev".parse().expect("a name"),
        labels: Labels::default(),
        description: String::new(),
    };
    let (made, _) = stage.ipam.create_vrf(caller(), new()).await.unwrap();
    // Somebody changes what is in the VRF, for which it is locked first and the address plan last.
    stage
        .hold("select from vrf where name = 'dev' for no key update")
        .await;
    let ipam = stage.ipam.clone();
    let repeated = stage
        .begin(0, async move { ipam.create_vrf(caller(), new()).await })
        .await;
    let pool = "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
        select vrf_id, 'new', 4, 8, 30 from vrf where name = 'dev'";
    sqlx::query(pool).execute(&mut stage.holder).await.unwrap();
    stage.let_go().await;
    let (again, is_new) = repeated.await.unwrap().unwrap();
    assert_eq!((again.id, is_new), (made.id, false));
    stage.check().await;
}
