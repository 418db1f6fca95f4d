//! All data sources, and those that answer a question instead of showing a noun. Those that show one thing are
//! [`LookedUp`], those that show many are [`Listed`]; what is specific to a noun is with the noun.

mod free;
mod lookup;
mod preview;

use tfplugin::DataSource;

use crate::{
    connection::Connection,
    framework::{listed::Listed, looked_up::LookedUp},
    nouns::{
        allocation::{data_source, many},
        pool::{Pool, many::Pools},
        profile::{Profile, Profiles},
        reservation::{Reservation, Reservations},
        token::{Token, Tokens},
        vpc::{Vpc, Vpcs},
        vrf::{Vrf, Vrfs},
    },
};

/// All data sources.
pub(crate) fn all() -> Vec<Box<dyn DataSource<Connection>>> {
    vec![
        Box::new(data_source::Allocation),
        Box::new(free::Free),
        Box::new(lookup::Lookup),
        Box::new(preview::Preview),
        Box::new(LookedUp::<Pool>::new()),
        Box::new(LookedUp::<Profile>::new()),
        Box::new(LookedUp::<Reservation>::new()),
        Box::new(LookedUp::<Token>::new()),
        Box::new(LookedUp::<Vpc>::new()),
        Box::new(LookedUp::<Vrf>::new()),
        Box::new(Listed::<many::Allocations>::new()),
        Box::new(Listed::<Pools>::new()),
        Box::new(Listed::<Profiles>::new()),
        Box::new(Listed::<Reservations>::new()),
        Box::new(Listed::<Tokens>::new()),
        Box::new(Listed::<Vpcs>::new()),
        Box::new(Listed::<Vrfs>::new()),
    ]
}
