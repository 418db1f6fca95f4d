//! Fills the pools as requests would have, with blocks at random places, so that free space is in as many pieces as can be.
//! The rows are written by the statement that writes those of requests, many at a time, with every constraint and index in
//! place: what is there in the end is what allocating one by one would have left.

use anyhow::Context as _;
use ipam_server::{
    db::{self, allocate::NewRows, event::Event, event::Snapshot},
    domain::{Caller, space::free_space::FreeSpace},
    network::{Changes, Place, Range},
};
use ipam_shared::cidr::Cidr;
use sqlx::Row as _;
use uuid::Uuid;

use crate::world::{Kind, Known};

/// Allocations in one statement.
const AT_ONCE: usize = 10_000;
/// Allocations of one VPC.
const PER_VPC: usize = 100;

/// `blocks` blocks, two for each allocation; what was allocated.
pub(crate) async fn fill(
    db: &mut db::Connection,
    kind: &Kind,
    blocks: usize,
    ranges: [Range; 2],
) -> anyhow::Result<Vec<Known>> {
    let mut space = FreeSpace::new(ranges);
    for range in ranges {
        space.read(Place {
            range: range.id,
            cidr: range.cidr,
        });
    }
    let profile = sqlx::query(
        "select profile_id, (select array_agg(member_id order by position) from profile_member as member
            where member.profile_id = profile.profile_id and retired_at is null), vrf_id
        from profile, vrf where profile.name = $1 and vrf.name = 'default'",
    )
    .bind(kind.profile)
    .fetch_one(&mut *db)
    .await?;
    let (profile, members, vrf): (Uuid, Vec<i32>, Uuid) =
        (profile.get(0), profile.get(1), profile.get(2));
    let caller = Caller::trusted("bench", Uuid::new_v4());
    let asked = i16::from(kind.members[0].length);
    let count = blocks / 2;
    // Nearly half of the places are taken.
    let bits = (count * 2).next_power_of_two().trailing_zeros().max(2);
    let mut known = Vec::with_capacity(count);
    let (mut rows, mut details) = (NewRows::default(), Vec::new());
    let mut vpc = Uuid::nil();
    for number in 0..count {
        if number % PER_VPC == 0 {
            vpc = Uuid::now_v7();
            rows.vpc_id.push(vpc);
            rows.vpc_vrf.push(vrf);
            rows.vpc_name.push(format!("filler-{}", number / PER_VPC));
        }
        let (id, name) = (Uuid::now_v7(), format!("cluster-{number}"));
        rows.id.push(id);
        rows.vpc.push(vpc);
        rows.profile.push(Some(profile));
        rows.request.push(None);
        rows.prefix_length.push(asked);
        rows.members.push(2);
        rows.requested_hosts.push(None);
        rows.requested_prefix_length.push(Some(asked));
        rows.requested_cidr.push(None);
        rows.labels.push(serde_json::json!({}));
        rows.description.push(String::new());
        rows.deletion_protection.push(false);
        rows.created_by.push(caller.actor.clone());
        rows.request_id.push(caller.request_id);
        rows.claim.push(Uuid::new_v4());
        let place = u128::from(scatter(number as u64, bits));
        let mut cidrs = Vec::new();
        for ((range, member), member_id) in ranges.into_iter().zip(kind.members).zip(&members) {
            let family = range.cidr.family();
            let first = range.cidr.number() + (place << (family.bits() - member.length));
            let cidr = Cidr::from_number(family, first, member.length);
            space
                .take_exact(range.pool, cidr)
                .context("a place was met twice, or the range is too small for so many blocks")?;
            cidrs.push(cidr);
            rows.block_range.push(range.id);
            rows.block_cidr.push(cidr.into());
            rows.block_range_cidr.push(range.cidr.into());
            rows.block_allocation.push(id);
            rows.block_member.push(Some(*member_id));
            rows.block_prefix_length.push(asked);
            rows.block_size_offset.push(member.offset);
            rows.block_min.push(member.bounds.0);
            rows.block_max.push(member.bounds.1);
        }
        known.push(Known {
            id,
            address: cidrs[0].first(),
        });
        details.push(serde_json::to_value(Snapshot {
            vpc: &format!("filler-{}", number / PER_VPC),
            name: Some(&name),
            vrfs: vec!["default"; cidrs.len()],
            cidrs,
            labels: None,
            description: "",
        })?);
        rows.name.push(Some(name));
        if rows.id.len() == AT_ONCE || number + 1 == count {
            let events: Vec<_> = std::mem::take(&mut details)
                .into_iter()
                .zip(&rows.id)
                .map(|(detail, id)| Event {
                    action: "allocation.create",
                    subject: *id,
                    caller: &caller,
                    detail,
                })
                .collect();
            db::allocate::insert(db, &rows, &Changes::default(), &events).await?;
            rows = NewRows::default();
        }
    }
    db::free::update(db, &space.changes()).await?;
    Ok(known)
}

/// Numbers of so many bits in an order that looks random, each once: every step can be undone.
fn scatter(number: u64, bits: u32) -> u64 {
    let mask = (1 << bits) - 1;
    (0..3).fold(number, |mixed, _| {
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
        mixed ^ (mixed >> (bits / 2))
    })
}
