//! What surrounds every page of a signed-in user: the search, the outline of the address space, the sections.

use std::collections::BTreeMap;

use ipam_shared::ids::PoolId;
use serde::Deserialize;

use super::{assets::Assets, session::SignedIn};
use crate::{
    db::{self, Connection, pool::Outlined},
    error::Result,
    rights::{Right, Rights},
};

/// Pools in the outline: what fits beside a page.
const OUTLINE: i64 = 60;

/// What surrounds every page of a signed-in user.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) assets: &'static Assets,
    section: Section,
    /// The pool that the page is about.
    pool: Option<PoolId>,
    /// For the forms.
    pub(super) csrf: String,
    /// The result of the last action.
    pub(super) notice: Option<&'static str>,
    /// What was searched for.
    pub(super) searched: String,
    /// The outline of the address space.
    pub(super) places: Vec<Place>,
    /// Whether there are pools that the outline lacks.
    pub(super) more_places: bool,
    /// What the user may do. It decides what is shown; what is done is decided by the server.
    pub(super) rights: Rights,
}

/// A line of the outline.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// A VRF by its name, before its pools.
    Vrf(String),
    /// A pool.
    Pool(PoolLine),
}

/// A pool in the outline.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PoolLine {
    pub(super) id: PoolId,
    pub(super) name: String,
    pub(super) utilisation: f64,
    /// How deep it is nested, up to 3.
    pub(super) depth: u8,
}

/// A section in the navigation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) label: &'static str,
    /// An attribute's value: whether it is that of the page.
    pub(super) current: &'static str,
}

/// The part of the dashboard that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Pools,
    /// A map, or a search: what is in no list of the navigation.
    Elsewhere,
    Allocations,
    Vpcs,
    Reservations,
    Profiles,
    Vrfs,
    Events,
    Tokens,
    Webhooks,
    Import,
    Export,
    Account,
}

impl Section {
    /// Those in the navigation, below the outline: where each is, what it is called, and what it takes to see it.
    const RECORDS: [(Self, &'static str, &'static str, Right); 6] = [
        (
            Self::Allocations,
            "/ui/allocations",
            "Allocations",
            Right::Read,
        ),
        (Self::Vpcs, "/ui/vpcs", "VPCs", Right::Read),
        (
            Self::Reservations,
            "/ui/reservations",
            "Reservations",
            Right::Read,
        ),
        (Self::Pools, "/ui/pools", "Pools", Right::Read),
        (Self::Profiles, "/ui/profiles", "Profiles", Right::Read),
        (Self::Vrfs, "/ui/vrfs", "VRFs", Right::Read),
    ];

    /// The same of what is about the server and those who use it.
    const SERVER: [(Self, &'static str, &'static str, Right); 6] = [
        (Self::Events, "/ui/events", "Events", Right::Audit),
        (Self::Tokens, "/ui/tokens", "Tokens", Right::Administer),
        (Self::Webhooks, "/ui/webhooks", "Webhooks", Right::Audit),
        (Self::Import, "/ui/import", "Import", Right::Administer),
        (Self::Export, "/ui/export", "Export", Right::Read),
        (Self::Account, "/ui/sessions", "Account", Right::Any),
    ];
}

impl Shell {
    /// With the outline as it is now.
    pub(super) async fn of(
        db: &mut Connection,
        signed_in: &SignedIn,
        section: Section,
    ) -> Result<Self> {
        let mut pools = Vec::new();
        if signed_in.caller.rights.may(Right::Read) {
            pools = db::pool::outline(db, OUTLINE + 1).await?;
        }
        let more_places = pools.len() > OUTLINE as usize;
        pools.truncate(OUTLINE as usize);
        Ok(Self {
            places: places(pools),
            more_places,
            ..Self::bare(signed_in, section)
        })
    }

    /// Without the outline: nothing is asked of the database.
    pub(super) fn bare(signed_in: &SignedIn, section: Section) -> Self {
        Self {
            assets: Assets::get(),
            section,
            pool: None,
            csrf: signed_in.csrf.clone(),
            notice: None,
            searched: String::new(),
            places: Vec::new(),
            more_places: true,
            rights: signed_in.caller.rights.clone(),
        }
    }

    /// With the notice that a redirect asked for. Only our own texts are shown, whatever a link says.
    pub(super) fn noting(mut self, notice: &Noted) -> Self {
        self.notice = notice.text();
        self
    }

    /// For a page about one pool.
    pub(super) fn about(mut self, pool: PoolId) -> Self {
        self.pool = Some(pool);
        self
    }

    /// For the results of a search.
    pub(super) fn searching(mut self, text: &str) -> Self {
        text.clone_into(&mut self.searched);
        self
    }

    /// Whether the user may do that.
    pub(super) fn may(&self, right: Right) -> bool {
        self.rights.may(right)
    }

    /// What there are records of, as far as the user may see it.
    pub(super) fn links(&self) -> Vec<Link> {
        self.visible(&Section::RECORDS)
    }

    /// What is about the server, as far as the user may see it.
    pub(super) fn server_links(&self) -> Vec<Link> {
        self.visible(&Section::SERVER)
    }

    fn visible(&self, sections: &[(Section, &'static str, &'static str, Right)]) -> Vec<Link> {
        sections
            .iter()
            .filter(|(.., right)| self.may(*right))
            .map(|(section, path, label, _)| Link {
                path,
                label,
                current: self.is(*section),
            })
            .collect()
    }

    /// An attribute's value: whether this is the section of the page.
    pub(super) fn is(&self, section: Section) -> &'static str {
        if self.section == section && self.pool.is_none() {
            "page"
        } else {
            "false"
        }
    }

    /// The same for a pool.
    pub(super) fn is_pool(&self, pool: &PoolId) -> &'static str {
        if self.pool.as_ref() == Some(pool) {
            "page"
        } else {
            "false"
        }
    }
}

/// Pools below their VRF and their parent.
fn places(pools: Vec<Outlined>) -> Vec<Place> {
    let ids: std::collections::BTreeSet<_> = pools.iter().map(|pool| pool.id).collect();
    let mut children: BTreeMap<Option<PoolId>, Vec<Outlined>> = BTreeMap::new();
    for pool in pools {
        // The parent may be out of sight, or beyond the end of the outline.
        let parent = pool.parent.filter(|parent| ids.contains(parent));
        children.entry(parent).or_default().push(pool);
    }
    let mut places = Vec::new();
    let mut open: Vec<_> = children
        .remove(&None)
        .unwrap_or_default()
        .into_iter()
        .rev()
        .map(|pool| (pool, 1))
        .collect();
    let mut vrf = None;
    while let Some((pool, depth)) = open.pop() {
        if vrf.as_ref() != Some(&pool.vrf) && depth == 1 {
            places.push(Place::Vrf(pool.vrf.clone()));
            vrf = Some(pool.vrf);
        }
        let inside = children.remove(&Some(pool.id)).unwrap_or_default();
        open.extend(
            inside
                .into_iter()
                .rev()
                .map(|child| (child, (depth + 1).min(3))),
        );
        places.push(Place::Pool(PoolLine {
            id: pool.id,
            name: pool.name,
            utilisation: pool.utilisation,
            depth,
        }));
    }
    places
}

/// The action before this page was opened.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Noted {
    #[serde(default)]
    notice: Option<String>,
}

impl Noted {
    fn text(&self) -> Option<&'static str> {
        Some(match self.notice.as_deref()? {
            "allocated" => "Allocated. The ranges are yours.",
            "existing" => {
                "This allocation already exists: the same request was made before. Nothing new was allocated."
            }
            "released" => "Released.",
            "created" => "Created.",
            "there-already" => {
                "It was there already: the same request was made before. No second one was made."
            }
            "saved" => "Saved.",
            "resumed" => "It goes on.",
            "deleted" => "Deleted.",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(number: u128, vrf: &str, parent: Option<u128>) -> Outlined {
        Outlined {
            id: PoolId(uuid::Uuid::from_u128(number)),
            name: format!("p{number}"),
            vrf: vrf.to_owned(),
            parent: parent.map(|parent| PoolId(uuid::Uuid::from_u128(parent))),
            utilisation: 0.5,
        }
    }

    #[test]
    fn pools_stand_below_what_they_are_cut_from() {
        let all = vec![
            pool(1, "default", None),
            pool(2, "default", Some(4)),
            pool(3, "default", Some(2)),
            pool(4, "default", None),
            pool(5, "default", Some(3)),
            pool(6, "prod", None),
            // Its parent is not in the outline.
            pool(7, "prod", Some(99)),
        ];
        let lines: Vec<_> = places(all)
            .into_iter()
            .map(|place| match place {
                Place::Vrf(name) => name,
                Place::Pool(pool) => format!("{}{}", "-".repeat(pool.depth.into()), pool.name),
            })
            .collect();
        let expected = [
            "default", "-p1", "-p4", "--p2", "---p3", "---p5", "prod", "-p6", "-p7",
        ];
        assert_eq!(lines, expected);
    }
}
