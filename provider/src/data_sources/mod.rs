//! Data sources, a file per noun. Those that show one of a noun are [`LookedUp`], those that show many are [`Listed`].

pub(crate) mod allocation;
pub(crate) mod allocations;
pub(crate) mod free;
pub(crate) mod listed;
pub(crate) mod lookup;
pub(crate) mod pools;
pub(crate) mod preview;
pub(crate) mod profiles;
pub(crate) mod reservations;
pub(crate) mod vpcs;
pub(crate) mod vrfs;

use tfplugin::DataSource;

use self::listed::Listed;
use crate::{
    noun::{
        looked_up::LookedUp, pool::Pool, profile::Profile, reservation::Reservation, vpc::Vpc,
        vrf::Vrf,
    },
    provider::Connection,
};

/// All data sources.
pub(crate) fn all() -> Vec<Box<dyn DataSource<Connection>>> {
    vec![
        Box::new(allocation::Allocation),
        Box::new(free::Free),
        Box::new(lookup::Lookup),
        Box::new(preview::Preview),
        Box::new(LookedUp::<Pool>::new()),
        Box::new(LookedUp::<Profile>::new()),
        Box::new(LookedUp::<Reservation>::new()),
        Box::new(LookedUp::<Vpc>::new()),
        Box::new(LookedUp::<Vrf>::new()),
        Box::new(Listed::<allocations::Allocations>::new()),
        Box::new(Listed::<pools::Pools>::new()),
        Box::new(Listed::<profiles::Profiles>::new()),
        Box::new(Listed::<reservations::Reservations>::new()),
        Box::new(Listed::<vpcs::Vpcs>::new()),
        Box::new(Listed::<vrfs::Vrfs>::new()),
    ]
}
