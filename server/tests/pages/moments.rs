//! Two moments compared, how full parts are, how the use of pools went, and the picture of a map.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Row as _};

use super::{
    maps::{api, limited, made, varied},
    visitor::{KEY, Reply, Visitor},
};

async fn run(visitor: &Visitor, sql: &str) {
    let run = sqlx::query(AssertSqlSafe(sql)).execute(&visitor.pool).await;
    run.unwrap();
}

/// As whoever owns the tables: what a server never does.
async fn force(visitor: &Visitor, sql: &str) {
    let mut db = visitor.database.as_ref().unwrap().connect().await;
    let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await;
    run.unwrap();
}

/// The time of the database, with some room around it.
async fn now(visitor: &Visitor) -> String {
    tokio::time::sleep(Duration::from_millis(30)).await;
    let row = sqlx::query(
        "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    );
    let text: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    tokio::time::sleep(Duration::from_millis(30)).await;
    text
}

async fn allocate(visitor: &Visitor, name: &str, cidr: &str) -> String {
    let body = format!(r#"{{"vpc": "v", "name": "{name}", "pools": ["p"], "cidr": "{cidr}"}}"#);
    made(visitor, "/allocations", &body).await
}

async fn small() -> (Visitor, String) {
    let visitor = Visitor::signed_in().await;
    let body = r#"{"name": "p", "ranges": ["10.7.0.0/16"], "min_prefix_length": 17, "max_prefix_length": 26}"#;
    let pool = made(&visitor, "/pools", body).await;
    (visitor, format!("/ui/pools/{pool}"))
}

/// The marks of a map: class and title of each.
fn marks(page: &Reply) -> Vec<(String, String)> {
    let rects = page.text.split("<rect class=\"mark ").skip(1);
    let mut marks: Vec<_> = rects
        .filter_map(|rect| {
            let class = rect.split('"').next()?;
            let (_, title) = rect
                .split_once('>')?
                .1
                .split_once("<title>")
                .filter(|(before, _)| before.is_empty())?;
            Some((class.to_owned(), title.split('<').next()?.to_owned()))
        })
        .collect();
    marks.sort();
    marks
}

fn pair(class: &str, title: &str) -> (String, String) {
    (class.to_owned(), title.to_owned())
}

#[tokio::test]
async fn what_came_and_went_between_two_moments_is_marked_and_listed() {
    let (visitor, pool) = small().await;
    let empty = now(&visitor).await;
    allocate(&visitor, "stays", "10.7.0.0/24").await;
    let ends = allocate(&visitor, "ends", "10.7.1.0/24").await;
    let grows = allocate(&visitor, "grows", "10.7.2.0/24").await;
    let first = now(&visitor).await;
    api(&visitor, "DELETE", &format!("/allocations/{ends}"), "").await;
    api(
        &visitor,
        "PATCH",
        &format!("/allocations/{grows}"),
        r#"{"prefix_length": 23}"#,
    )
    .await;
    allocate(&visitor, "comes", "10.7.4.0/24").await;
    let second = now(&visitor).await;

    let page = visitor.get(&format!("{pool}?since={first}")).await;
    assert_eq!(
        marks(&page),
        [
            pair("came", "10.7.4.0/24 added"),
            pair("resized", "10.7.2.0/23 resized, was 10.7.2.0/24"),
            pair("went", "10.7.1.0/24 ended"),
        ]
    );
    page.shows(&[
        "1 added, 1 ended, 1 resized.",
        "added since then",
        "ended since then",
        "resized since then",
        "class=\"ink-came\"",
        "class=\"ink-went\"",
        "class=\"ink-resized\"",
        "<span class=\"cidr\">10.7.2.0/24 → 10.7.2.0/23</span></th><td><bdi>VPC v, grows</bdi>",
        "<span class=\"cidr\">10.7.1.0/24</span></th><td><bdi>VPC v, ends</bdi>",
        "<span class=\"cidr\">10.7.4.0/24</span></th><td><bdi>VPC v, comes</bdi>",
    ]);
    page.does_not_show("<bdi>VPC v, stays</bdi>");
    // Nobody can point at a mark: what is below says what changed there.
    page.shows(&[
        "<title>10.7.0.0/24 v / stays</title>",
        "<title>10.7.1.0/24 free; 10.7.1.0/24 ended</title>",
        "<title>10.7.2.0/23 v / grows; 10.7.2.0/23 resized, was 10.7.2.0/24</title>",
        "<title>10.7.4.0/24 v / comes; 10.7.4.0/24 added</title>",
    ]);
    // The form keeps both moments, and the table and every link keep the comparison.
    page.shows(&[
        "name=\"since\" type=\"datetime-local\" value=\"20",
        "?since=20",
    ]);

    // From nothing, to the first moment and to now; and from a moment to itself.
    let page = visitor
        .get(&format!("{pool}?since={empty}&time={first}"))
        .await;
    assert_eq!(
        marks(&page),
        [
            pair("came", "10.7.0.0/24 added"),
            pair("came", "10.7.1.0/24 added"),
            pair("came", "10.7.2.0/24 added"),
        ]
    );
    let page = visitor.get(&format!("{pool}?since={second}")).await;
    page.shows(&["nothing is different.", "<title>10.7.1.0/24 free</title>"]);
    page.does_not_show("class=\"rim\"");
    assert_eq!(marks(&page), []);
    // Only what is shown is compared.
    let page = visitor
        .get(&format!("{pool}?since={first}&at=10.7.4.0/22"))
        .await;
    page.shows(&["1 added, 0 ended, 0 resized."]);
    let map = visitor
        .get(&format!(
            "/ui/map?since={first}&at=10.7.0.0/16&view=hilbert"
        ))
        .await;
    assert_eq!(marks(&map).len(), 3);
    // Whichever of the two was chosen first.
    let swapped = visitor
        .get(&format!("{pool}?since={second}&time={first}"))
        .await;
    swapped.shows(&["1 added, 1 ended, 1 resized."]);
    assert_eq!(marks(&swapped).len(), 3);
    assert_eq!(visitor.get(&format!("{pool}?since=x")).await.status, 400);
    // Nothing that is not compared looks like it is.
    let page = visitor.get(&pool).await;
    page.does_not_show("since then");
    page.does_not_show("Compared with");
}

#[tokio::test]
async fn where_there_is_too_much_cells_are_compared() {
    let visitor = Visitor::signed_in().await;
    for sql in [
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length) select vrf_id, 'large', 4, 10, 28 from vrf",
        "insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, 4, '11.0.0.0/8' from pool where name = 'large'",
        // Of one part in the middle half came yesterday, all else is older.
        "insert into block (range_id, cidr, range_cidr, reason, since)
            select range_id, net, range_cidr, 'test',
                now() - case when net <<= '11.0.64.0/18' and step % 2 = 0 then interval '1 day' else interval '9 days' end
            from (
                select range_id, cidr as range_cidr, step, set_masklen(cidr + (step * 1024)::bigint, 28)::cidr as net
                from pool_range, generate_series(0, 9999) as step where cidr = '11.0.0.0/8'
            ) as new",
        "insert into past_block (vrf_id, pool_id, pool, cidr, reservation_id, since, until)
            select vrf_id, pool_id, name, '11.0.128.16/28', gen_random_uuid(), now() - interval '9 days', now() - interval '1 day'
            from pool where name = 'large'",
        // Of two parts far away more blocks are there than are read of each, and all are old. In both something has ended
        // since: in one behind what is read, in the other within.
        "insert into block (range_id, cidr, range_cidr, reason, since)
            select range_id, set_masklen(start + (step * 32)::bigint, 28)::cidr, cidr, 'test', now() - interval '9 days'
            from pool_range, generate_series(0, 99) as step, unnest(array['11.200.0.0', '11.200.64.0']::inet[]) as start
            where cidr = '11.0.0.0/8'",
        "insert into past_block (vrf_id, pool_id, pool, cidr, reservation_id, since, until)
            select vrf_id, pool_id, name, net, gen_random_uuid(), now() - interval '9 days', now() - interval '1 day'
            from pool, unnest(array['11.200.63.240/28', '11.200.64.16/28']::cidr[]) as net where name = 'large'",
        "analyze",
    ] {
        force(&visitor, sql).await;
    }
    let pool = visitor.pool_path("large").await;
    let row = sqlx::query(
        "select to_char((now() - interval '5 days') at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    );
    let since: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    let start = Instant::now();
    let page = visitor.get(&format!("{pool}?since={since}")).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    page.shows(&[
        "too many blocks here to compare them one by one",
        "fuller than then, as far as was read",
    ]);
    assert_eq!(
        marks(&page),
        [
            pair("came", "11.0.64.0/18: about 1.6% used, was about 0.8%"),
            pair("went", "11.0.128.0/18: about 1.6% used, was about 1.7%"),
            pair("went", "11.200.64.0/18: about 50.8% used, was about 52.4%"),
        ]
    );
    page.shows(&["; 11.0.64.0/18: about 1.6% used, was about 0.8%</title>"]);
    // What there was then is not looked for in all there is now, and nobody is told that it was nothing.
    let page = visitor.get(&format!("{pool}?time={since}")).await;
    page.shows(&["There is too much here to list what there was then."]);
    page.does_not_show("all of it is free");
    let page = visitor
        .get(&format!("{pool}?time={since}&at=11.0.128.0/18"))
        .await;
    page.does_not_show("too much");
    page.shows(&["pick=11.0.128.16/28"]);
    // Closer, they are compared one by one.
    let page = visitor
        .get(&format!("{pool}?since={since}&at=11.0.64.0/18"))
        .await;
    page.shows(&["8 added, 0 ended, 0 resized."]);
}

#[tokio::test]
async fn how_full_each_part_is_has_a_pattern_for_each_step() {
    let (visitor, pool) = small().await;
    for (name, cidr) in [
        ("all", "10.7.0.0/24"),
        ("some", "10.7.1.0/26"),
        ("half", "10.7.2.0/25"),
        ("a", "10.7.3.0/25"),
        ("b", "10.7.3.128/26"),
    ] {
        allocate(&visitor, name, cidr).await;
    }
    let page = visitor.get(&format!("{pool}?by=utilisation")).await;
    for (title, class) in [
        ("10.7.0.0/24 100% used", "u5"),
        ("10.7.1.0/24 25.0% used", "u1"),
        ("10.7.2.0/24 50.0% used", "u2"),
        ("10.7.3.0/24 75.0% used", "u3"),
    ] {
        let (before, _) = page
            .text
            .split_once(&format!("<title>{title}</title>"))
            .expect(title);
        let rect = &before[before.rfind("<rect").unwrap()..];
        assert!(
            rect.contains(&format!("fill=\"url(#p-{class})\"")),
            "{title}: {rect}"
        );
        page.shows(&[&format!("id=\"p-{class}\"")]);
    }
    page.shows(&[
        "aria-current=\"true\">Use</a>",
        "<bdi>up to a quarter used</bdi>",
        "<bdi>full</bdi>",
        "?at=10.7.1.0/24&#38;by=utilisation",
    ]);
    page.does_not_show("<title>10.7.4.0/24");
    // On a curve a part is a square of the same share.
    let page = visitor
        .get(&format!("{pool}?by=utilisation&view=hilbert"))
        .await;
    page.shows(&["<title>10.7.2.0/24 50.0% used</title>"]);
}

/// A pool of 65,536 addresses that was made long ago, and blocks of it that began so many days ago.
async fn grown(blocks: &[(u32, &str)]) -> (Visitor, String) {
    let (visitor, pool) = small().await;
    run(
        &visitor,
        "update pool set created_at = now() - interval '90 days'",
    )
    .await;
    for (index, (days, cidr)) in blocks.iter().enumerate() {
        let id = allocate(&visitor, &format!("n{index}"), cidr).await;
        force(
            &visitor,
            &format!(
                "alter table block disable trigger block_immutable;
                 update block set since = now() - interval '{days} days' where allocation_id = '{id}';
                 alter table block enable trigger block_immutable"
            ),
        )
        .await;
    }
    (visitor, pool)
}

#[tokio::test]
async fn how_the_use_of_a_pool_went_is_a_line_and_says_where_it_leads() {
    // Of 256 /24, 16 before the month, 32 in its middle, 8 in the last week.
    let (visitor, pool) = grown(&[
        (60, "10.7.0.0/20"),
        (15, "10.7.32.0/19"),
        (3, "10.7.64.0/21"),
    ])
    .await;
    let page = visitor.get(&pool).await;
    page.shows(&[
        "aria-label=\"30 days: 21.9% used, was 6.2%\"",
        "the last 30 days",
        // 8 /24 in 7 days, and 200 are left.
        "<strong>about 6 months</strong><span>until full, at the pace of the last 7 days</span>",
    ]);
    let overview = visitor.get("/").await;
    overview.shows(&[
        "aria-label=\"30 days: 21.9% used, was 6.2%\"",
        "title=\"at the pace of the last 7 days\">full in about 6 months</span>",
    ]);
    // What grows on the way of a block that is resized, or released, is counted once.
    let id: String = sqlx::query("select allocation_id::text from allocation where name = 'n2'")
        .fetch_one(&visitor.pool)
        .await
        .unwrap()
        .get(0);
    api(
        &visitor,
        "PATCH",
        &format!("/allocations/{id}"),
        r#"{"prefix_length": 22}"#,
    )
    .await;
    let page = visitor.get(&pool).await;
    page.shows(&["aria-label=\"30 days: 20.3% used, was 6.2%\""]);
    api(&visitor, "DELETE", &format!("/allocations/{id}"), "").await;
    let page = visitor.get(&pool).await;
    page.shows(&["aria-label=\"30 days: 18.8% used, was 6.2%\""]);
    // The last week is back to where it began, so it is the month that counts.
    page.shows(&["until full, at the pace of the last 30 days"]);
}

#[tokio::test]
async fn what_is_given_back_and_cools_down_is_still_in_use() {
    let (visitor, pool) = grown(&[(15, "10.7.0.0/19")]).await;
    run(&visitor, "update pool set release_cooldown_seconds = 86400").await;
    let row = sqlx::query("select allocation_id::text from allocation where name = 'n0'");
    let id: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    let path = format!("/allocations/{id}");
    api(&visitor, "PATCH", &path, r#"{"prefix_length": 20}"#).await;
    let page = visitor.get(&pool).await;
    page.shows(&["aria-label=\"30 days: 12.5% used, was 0%\""]);
}

/// What is not read is not told: of more than 2,000 reservations only the latest.
#[tokio::test]
async fn the_line_is_shorter_where_much_was_reserved() {
    let (visitor, pool) = grown(&[(60, "10.7.0.0/20")]).await;
    // 210 a day, as ids have it too.
    let many = "insert into reservation (reservation_id, vrf_id, cidr, reason, created_by, created_at)
        select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
            vrf_id, set_masklen('99.0.0.0/24'::cidr + 256 * n::bigint, 24)::cidr, 'r', 'seed', at
        from vrf, generate_series(1, 2100) as n, lateral (select now() - n * interval '10 days' / 2100 as at) as moment
        where vrf.name = 'default'";
    force(&visitor, many).await;
    let page = visitor.get(&pool).await;
    page.shows(&[
        "aria-label=\"10 days: 6.2% used, was 6.2%\"",
        "the last 10 days",
    ]);
}

#[tokio::test]
async fn nothing_is_foretold_of_what_shrinks_or_is_new() {
    let (visitor, pool) = grown(&[(60, "10.7.0.0/20")]).await;
    let page = visitor.get(&pool).await;
    page.shows(&["aria-label=\"30 days: 6.2% used, was 6.2%\""]);
    page.does_not_show("until full");
    run(
        &visitor,
        "update pool set created_at = now() - interval '2 hours'",
    )
    .await;
    let page = visitor.get(&pool).await;
    page.does_not_show("class=\"spark\"");
    page.does_not_show("until full");
    // Who sees a part of it is told nothing.
    run(
        &visitor,
        "update pool set created_at = now() - interval '90 days'",
    )
    .await;
    let limited = limited(visitor, r#"{"vpcs": ["v"]}"#).await;
    let page = limited.get(&pool).await;
    assert_eq!(page.status, 200);
    page.does_not_show("class=\"spark\"");
}

#[tokio::test]
async fn a_map_leads_to_its_picture_which_is_that_of_the_api() {
    let (mut visitor, pool) = varied().await;
    let page = visitor
        .get(&format!(
            "{pool}?at=10.7.0.0/18&pick=10.7.4.0/22&view=hilbert"
        ))
        .await;
    let href = format!("{pool}/map.svg?at=10.7.0.0/18&highlight=10.7.4.0/22&view=hilbert");
    page.shows(&[&format!("href=\"{}\"", href.replace('&', "&#38;"))]);
    // What no picture of this pool could show is left out.
    for query in [
        "",
        "?at=10.0.0.0/8&pick=192.0.2.1",
        "?time=2026-01-01T00:00:00Z",
    ] {
        visitor
            .get(&format!("{pool}{query}"))
            .await
            .shows(&[&format!("href=\"{pool}/map.svg\"")]);
    }
    let picture = visitor.get(&href).await;
    assert_eq!(
        (picture.status, picture.header("content-type")),
        (200, "image/svg+xml")
    );
    picture.shows(&["part of 10.7.0.0/20, allocated to VPC v, web"]);
    // Its looks are in it, and the policy lets it have them, and nothing else.
    let policy = picture.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("style-src 'unsafe-inline'"),
        "{policy}"
    );
    assert_eq!(picture.header("cache-control"), "no-store");
    let path = href.replace("/ui/", "/api/v1/");
    let request = visitor.request("GET", &path).header("x-api-key", KEY);
    let of_api = visitor
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await;
    let timeless = |reply: &Reply| {
        let (before, rest) = reply.text.split_once(" UTC</text>").expect("a time");
        format!("{}{rest}", &before[..before.len() - 16])
    };
    assert_eq!(timeless(&of_api), timeless(&picture));

    assert_eq!(
        visitor
            .get(&format!("{pool}/map.svg?highlight=192.0.2.0/24"))
            .await
            .status,
        400
    );
    assert_eq!(
        visitor
            .get("/ui/pools/00000000-0000-0000-0000-000000000000/map.svg")
            .await
            .status,
        404
    );
    visitor.cookie = None;
    assert_eq!(visitor.get(&href).await.status, 303);
}
