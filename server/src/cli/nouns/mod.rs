//! The nouns of the API, a file each: their options, their columns and their calls. A new noun is a file that implements
//! [`super::noun::Noun`] and a line below.

mod allocation;
mod pool;
mod profile;
mod reservation;
pub(super) mod token;
mod vpc;
mod vrf;
mod webhook;

use ipam_shared::api;

use super::{noun::Verbs, output::Failure};

macro_rules! nouns {
    ($($name:ident: $noun:ty),+ $(,)?) => {
        /// A noun, and what to do with it.
        #[derive(clap::Subcommand)]
        pub(super) enum Noun {
            $($name(Verbs<$noun>),)+
        }

        impl Noun {
            /// What to print.
            ///
            /// # Errors
            /// When the server refuses, or can't be asked.
            pub(super) async fn run(self) -> Result<String, Failure> {
                match self {
                    $(Self::$name(verbs) => Box::pin(verbs.run()).await,)+
                }
            }
        }
    };
}

nouns! {
    Vrf: api::vrf::Vrf,
    Pool: api::pool::Pool,
    Profile: api::profile::Profile,
    Vpc: api::vpc::Vpc,
    Reservation: api::reservation::Reservation,
    Allocation: api::allocation::Allocation,
    Token: api::token::Token,
    Webhook: api::webhook::Webhook,
}
