//! Where networks are: types shared by the domain and the database layer.

use ipam_shared::{cidr::Cidr, ids::PoolId};
use serde::Deserialize;

/// Key of a range in the database.
pub type RangeId = i32;

/// A network in one range of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Place {
    /// The range.
    pub range: RangeId,
    /// The network.
    pub cidr: Cidr,
}

/// One network that a pool consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its key.
    pub id: RangeId,
    /// Its pool.
    pub pool: PoolId,
    /// The network.
    pub cidr: Cidr,
}

/// What has to change in the stored free list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// No longer free blocks: in use, halved or merged.
    pub removed: Vec<Place>,
    /// Free now.
    pub added: Vec<Place>,
}
