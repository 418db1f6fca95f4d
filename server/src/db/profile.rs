//! Profiles and their members.

use ipam_shared::{
    api::profile::{Member, NewProfile, Profile, ProfileFilter, ProfilePatch},
    ids::{Claim, ProfileId},
};
use sqlx::query;

use crate::{
    db::{
        Connection, convert,
        event::{Event, made, recorded},
        ownership::Made,
    },
    error::Result,
};

/// Members of a profile, a vector per column.
struct MemberColumns {
    positions: Vec<i16>,
    roles: Vec<String>,
    pools: Vec<String>,
    offsets: Vec<i16>,
    mins: Vec<i16>,
    maxs: Vec<i16>,
}

impl MemberColumns {
    fn of(members: &[Member]) -> Self {
        let column = |value: fn(&Member) -> i16| members.iter().map(value).collect();
        Self {
            positions: (1..).take(members.len()).collect(),
            roles: members.iter().map(|member| member.role.clone()).collect(),
            pools: (members.iter().map(|member| member.pool.to_string())).collect(),
            offsets: column(|member| member.size_offset.into()),
            mins: column(|member| member.min_prefix_length.into()),
            maxs: column(|member| member.max_prefix_length.into()),
        }
    }
}

/// Makes a profile, unless one of that name was made meanwhile.
pub async fn insert(
    db: &mut Connection,
    id: ProfileId,
    new: &NewProfile,
    made: &Made<'_>,
    events: &[Event<'_>],
) -> Result<bool> {
    let members = MemberColumns::of(&new.members);
    Ok(made!(
        db,
        events,
        "insert into profile (profile_id, name, description, created_by, owner, claim) values ($7, $8, $9, $10, $11, $12)
        on conflict (name) do nothing" + ", new_member as (
            insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
                max_prefix_length)
            select $7, * from unnest($13::smallint[], $14::text[], $15::text[], $16::smallint[], $17::smallint[],
                $18::smallint[])
            where exists (select from made)
        )",
        id.0,
        new.name.as_str(),
        new.description,
        made.by,
        made.owner(),
        made.claim.0,
        &members.positions,
        &members.roles,
        &members.pools,
        &members.offsets,
        &members.mins,
        &members.maxs
    ))
}

/// The id of a profile by id or name; an id wins over a name that looks like one.
pub async fn find_id(
    db: &mut Connection,
    id: Option<ProfileId>,
    name: &str,
) -> Result<Option<ProfileId>> {
    let row = query!(
        "select profile_id from profile where profile_id = $1 or name = $2 order by (profile_id = $1) desc limit 1",
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| ProfileId(row.profile_id)))
}

/// Locks the profile of that name against changes; its id. Allocations from it go on.
pub async fn lock_named(db: &mut Connection, name: &str) -> Result<Option<ProfileId>> {
    let row = query!(
        "select profile_id from profile where name = $1 for no key update",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| ProfileId(row.profile_id)))
}

/// Profiles that pass a condition, with a statement for each, so that each is planned for itself.
macro_rules! profiles {
    ($db:expr, $condition:literal, $($value:expr),+) => {
        profiles!(
            @with r"
                -- Counted once for all of the page.
                select profile_id, count(*) as allocations from allocation
                where profile_id in (select profile_id from page) group by profile_id",
            $db, $condition, $($value),+
        )
    };
    (@with $used:literal, $db:expr, $condition:literal, $($value:expr),+) => {
        query!(
            r#"with page as (select * from profile where "# + $condition + "), used as (" + $used + r#")
            select profile_id as "profile_id!", name as "name!", description as "description!", revision as "revision!",
                created_at as "created_at!", created_by, owner, confirmed_at is not null as "confirmed!", claim as "claim!", roles as "roles!", pools as "pools!", offsets as "offsets!",
                mins as "mins!", maxs as "maxs!", coalesce(allocations, 0) as "allocations!"
            from page left join used using (profile_id) cross join lateral (
                select array_agg(role order by position) as roles, array_agg(pool_name order by position) as pools,
                    array_agg(size_offset order by position) as offsets,
                    array_agg(min_prefix_length order by position) as mins,
                    array_agg(max_prefix_length order by position) as maxs
                from profile_member where profile_member.profile_id = page.profile_id and retired_at is null
            ) as members
            order by profile_id"#,
            $($value),+
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|row| {
            let bounds = row.mins.into_iter().zip(row.maxs);
            let members = row.roles.into_iter().zip(row.pools).zip(row.offsets).zip(bounds);
            Ok(Profile {
                id: ProfileId(row.profile_id),
                name: convert::name(row.name)?,
                description: row.description,
                members: members
                    .map(|(((role, pool), offset), (min, max))| {
                        Ok(Member {
                            role,
                            pool: convert::name(pool)?,
                            size_offset: convert::offset(offset)?,
                            min_prefix_length: convert::small(min)?,
                            max_prefix_length: convert::small(max)?,
                        })
                    })
                    .collect::<Result<_>>()?,
                allocations: row.allocations,
                created_by: row.created_by,
                owner: convert::owner(row.owner)?,
                confirmed: row.confirmed,
                claim_digest: Some(Claim(row.claim).digest()),
                revision: row.revision,
                created_at: row.created_at,
                claim: None,
            })
        })
        .collect::<Result<Vec<_>>>()
    };
}

/// One profile.
pub async fn get(db: &mut Connection, id: ProfileId) -> Result<Option<Profile>> {
    Ok(profiles!(db, "profile_id = $1", id.0)?.pop())
}

/// One profile as it is while its lock keeps allocations from it waiting: they are not counted, which would read all of them.
pub async fn get_uncounted(db: &mut Connection, id: ProfileId) -> Result<Option<Profile>> {
    Ok(profiles!(
        @with "select null::uuid as profile_id, null::bigint as allocations",
        db, "profile_id = $1", id.0
    )?
    .pop())
}

/// How many allocations were made from a profile.
pub async fn allocations(db: &mut Connection, id: ProfileId) -> Result<i64> {
    let row = query!(
        r#"select count(*) as "count!" from allocation where profile_id = $1"#,
        id.0
    )
    .fetch_one(db)
    .await?;
    Ok(row.count)
}

/// Profiles that a filter lets through, in the order of their ids, after `cursor`.
pub async fn list(
    db: &mut Connection,
    filter: &ProfileFilter,
    cursor: Option<ProfileId>,
    limit: u16,
) -> Result<Vec<Profile>> {
    let after = cursor.map(|id| id.0).unwrap_or_default();
    match &filter.name {
        Some(name) => profiles!(
            db,
            "name = $1 and profile_id > $2 and ($3::text is null or coalesce(owner, '') = $3)
                and ($4::boolean is null or (confirmed_at is not null) = $4)",
            name,
            after,
            filter.owner.as_deref(),
            filter.confirmed
        ),
        None => profiles!(
            db,
            "profile_id > $1 and ($2::text is null or coalesce(owner, '') = $2)
                and ($3::boolean is null or (confirmed_at is not null) = $3)
            order by profile_id limit $4",
            after,
            filter.owner.as_deref(),
            filter.confirmed,
            i64::from(limit)
        ),
    }
}

/// Changes a locked profile. Members that stay as they are keep their rows; the others are retired, and blocks that were cut
/// for them keep them.
pub async fn update(
    db: &mut Connection,
    id: ProfileId,
    patch: &ProfilePatch,
    events: &[Event<'_>],
) -> Result<()> {
    let members = MemberColumns::of(patch.members.as_deref().unwrap_or_default());
    recorded!(
        events,
        ", wanted as (
            select * from unnest($11::smallint[], $12::text[], $13::text[], $14::smallint[], $15::smallint[],
                $16::smallint[]) as wanted (position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
        ), kept as (
            select position, role, pool_name, size_offset, min_prefix_length, max_prefix_length from profile_member
            where profile_id = $7 and retired_at is null
            intersect select * from wanted
        ), retired as (
            update profile_member set retired_at = now()
            where $10 and profile_id = $7 and retired_at is null and position not in (select position from kept)
            returning 1
        ), added as (
            insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
                max_prefix_length)
            select $7, wanted.* from wanted
            -- Once those that had their positions are retired.
            where (select count(*) from retired) >= 0 and position not in (select position from kept)
        )
        update profile set name = coalesce($8, name), description = coalesce($9, description), revision = revision + 1
        where profile_id = $7",
        id.0,
        patch.name.as_ref().map(|name| name.as_str()),
        patch.description.as_deref(),
        patch.members.is_some(),
        &members.positions,
        &members.roles,
        &members.pools,
        &members.offsets,
        &members.mins,
        &members.maxs
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The first allocations from a profile, by their names for people, and how many there are.
pub async fn users(db: &mut Connection, id: ProfileId, limit: i64) -> Result<(Vec<String>, i64)> {
    let rows = query!(
        r#"select vpc.name as vpc, allocation.name, allocation_id,
            (select count(*) from allocation where profile_id = $1) as "users!"
        from (select * from allocation where profile_id = $1 order by allocation_id limit $2) as allocation
            join vpc using (vpc_id)
        order by allocation_id"#,
        id.0,
        limit
    )
    .fetch_all(db)
    .await?;
    let users = rows.first().map(|row| row.users).unwrap_or_default();
    let names = rows.into_iter().map(|row| match row.name {
        Some(name) => format!("{}/{name}", row.vpc),
        None => format!("{}/{}", row.vpc, row.allocation_id),
    });
    Ok((names.collect(), users))
}

/// Deletes a locked profile that no allocation uses, with all its current and past members.
pub async fn delete(db: &mut Connection, id: ProfileId, events: &[Event<'_>]) -> Result<()> {
    recorded!(
        events,
        ", gone as (delete from profile_member where profile_id = $7) delete from profile where profile_id = $7",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}
