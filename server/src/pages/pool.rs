//! `/ui/pools/{id}`: a pool's address map, where something fits, and what is in it.

use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use ipam_shared::{
    api::pool::{PictureQuery, Pool},
    cidr::Cidr,
};

use super::{
    Noted, Section, Shell,
    error::Failure,
    filters,
    map::{Canvas, Look, LookQuery},
    page,
    session::SignedIn,
    spark::{Spark, sparks},
};
use crate::{
    app::App,
    db::{self, Connection, map::Ranges},
    domain::space::front,
    error::Result,
    picture::{self, Asked},
    rights::Right,
};

#[derive(askama::Template)]
#[template(path = "pool.html")]
struct PoolPage {
    shell: Shell,
    pool: Pool,
    /// How its use went.
    spark: Option<Spark>,
    canvas: Canvas,
    /// Where the map is as a picture.
    picture: String,
    sizes: Vec<Size>,
    /// The longest prefix of which nothing is left.
    nothing_up_to: Option<u8>,
}

/// What is left of one block size.
#[derive(Debug, PartialEq, Eq)]
struct Size {
    prefix_length: u8,
    addresses: u128,
    /// Blocks of this size that could be cut from the free space.
    fits: u128,
    /// The one that would be handed out next.
    next: Option<Cidr>,
}

/// `GET /ui/pools/{id}`
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<LookQuery>,
    Query(noted): Query<Noted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let pool = find(&mut db, &id).await?;
    let look = Look::new(format!("/ui/pools/{}", pool.id), query)?;
    let shell = Shell::of(&mut db, &signed_in, Section::Pools)
        .await?
        .about(pool.id)
        .noting(&noted);
    let mut sizes = sizes(&mut db, &pool).await?;
    let full = sizes.iter().take_while(|size| size.fits == 0).count();
    let nothing_up_to = sizes
        .drain(..full)
        .next_back()
        .map(|size| size.prefix_length);
    let mut sparks = sparks(&mut db, &signed_in, std::slice::from_ref(&pool)).await?;
    let canvas = Canvas::of(&mut db, Ranges::OfPool(pool.id), look).await?;
    drop(db);
    let canvas = canvas.inspected(&app, &signed_in, &pool.vrf).await?;
    Ok(page(&PoolPage {
        shell,
        spark: sparks.remove(&pool.id),
        picture: canvas.picture(&pool.ranges),
        pool,
        canvas,
        sizes,
        nothing_up_to,
    }))
}

/// `GET /ui/pools/{id}/map.svg`: the picture of the API, for those who are signed in.
pub(super) async fn picture(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<PictureQuery>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let asked = Asked::new(&query)?;
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let pool = find(&mut db, &id).await?;
    let picture = picture::of_pool(&mut db, &pool, &asked).await?;
    let kind = HeaderValue::from_static("image/svg+xml");
    Ok(([(header::CONTENT_TYPE, kind)], picture.svg).into_response())
}

async fn find(db: &mut Connection, id: &str) -> Result<Pool, Failure> {
    let found = match id.parse() {
        Ok(id) => db::pool::get(db, id).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| Failure::not_found("there is no pool with that id"))
}

/// What is left, by size: of those that the pool gives and that its ranges can hold.
async fn sizes(db: &mut Connection, pool: &Pool) -> Result<Vec<Size>> {
    let ranges: Vec<_> = db::range::of_pool(db, pool.id)
        .await?
        .into_iter()
        .map(|stored| stored.range)
        .collect();
    let widest = ranges.iter().map(|range| range.cidr.prefix_length()).min();
    let shortest = pool.min_prefix_length.max(widest.unwrap_or(0));
    let space = front(db, pool, &ranges, pool.max_prefix_length).await?;
    let bits = |length: u8| pool.family.bits().saturating_sub(length);
    Ok((shortest..=pool.max_prefix_length)
        .map(|length| Size {
            prefix_length: length,
            addresses: 1_u128.checked_shl(bits(length).into()).unwrap_or(u128::MAX),
            fits: pool.fits(length),
            next: space.next(pool.id, length, pool.strategy),
        })
        .collect())
}
