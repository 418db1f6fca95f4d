//! A file or folder per noun: its attributes, its calls, and its specific planning.
//!
//! A noun has the data source of many with it (`Vrfs` beside `Vrf`). What all nouns share is in `framework`.

pub(crate) mod allocation;
pub(crate) mod pool;
pub(crate) mod profile;
pub(crate) mod reservation;
pub(crate) mod token;
pub(crate) mod vpc;
pub(crate) mod vrf;
