//! Settings for what is asked of clients.

use crate::{
    manners::{Manners, Origins},
    rate::MAX_QUOTA,
};

/// What is asked of clients.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Clients")]
pub struct Asked {
    /// Maximum requests a minute of each token, those of the administrator's key together; a dashboard session counts for
    /// its token. 0: no limit
    #[arg(
        long,
        value_name = "N",
        env = "IPAM_RATE_LIMIT_PER_TOKEN",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_QUOTA))
    )]
    rate_limit_per_token: u32,
    /// Maximum requests a minute without a valid key from one address, or from one IPv6 /64. 0: no limit
    #[arg(
        long,
        value_name = "N",
        env = "IPAM_RATE_LIMIT_PER_ADDRESS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_QUOTA))
    )]
    rate_limit_per_address: u32,
    /// Refuse changes and deletions in /api/v1 that come without If-Match
    #[arg(long, env = "IPAM_REQUIRE_IF_MATCH", value_parser = clap::builder::BoolishValueParser::new())]
    require_if_match: bool,
    /// Sites whose pages may use /api/v1 with a key of their own, such as https://portal.example,http://localhost:3000;
    /// default: none
    #[arg(
        long,
        value_name = "ORIGINS",
        env = "IPAM_CORS_ORIGINS",
        default_value = "",
        hide_default_value = true
    )]
    cors_origins: Origins,
}

impl Asked {
    /// The same, for the server.
    pub fn manners(&self) -> Manners {
        Manners::default()
            .with_limits(self.rate_limit_per_token, self.rate_limit_per_address)
            .requiring_if_match(self.require_if_match)
            .with_origins(self.cors_origins.clone())
    }
}
