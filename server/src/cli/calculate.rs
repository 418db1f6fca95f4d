//! `ipam calculate`: the sizes that a request would get. Pure arithmetic: no server, no key.

use ipam_shared::{
    api::profile::{CGNAT, CGNAT_OFFSET, MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH, PRIMARY},
    cidr::{Family, RESERVED_ADDRESSES, prefix_length_for_hosts, usable_hosts},
};
use serde::Serialize;

use super::{
    listing::{Column, Form, ListOutput, Output, Things},
    output::{self, Align, Failure, Table, thousands},
};

/// Show the block sizes for a number of hosts or a prefix length, without asking a server
#[derive(Debug, clap::Args)]
pub struct Calculate {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    output: Output,
}

/// How much space, for the subcommands that need it.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Size {
    /// Number of hosts that the first block must hold: 1 to 4091
    #[arg(long, value_name = "N")]
    pub hosts: Option<u64>,
    /// Prefix length of the first block: 20 to 26
    #[arg(long, value_name = "N", visible_alias = "prefix")]
    pub prefix_length: Option<u8>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Sizes {
    requested_hosts: Option<u64>,
    prefix_length: u8,
    blocks: Vec<BlockSize>,
}

#[derive(Debug, PartialEq, Serialize)]
struct BlockSize {
    role: &'static str,
    prefix_length: u8,
    addresses: u64,
    usable: u64,
}

const COLUMNS: &[Column<BlockSize>] = &[
    Column::new("role", |it| it.role.into()),
    Column::new("prefix_length", |it| it.prefix_length.into()),
    Column::new("addresses", |it| it.addresses.into()),
    Column::new("usable", |it| it.usable.into()),
];

impl Calculate {
    /// What to print.
    ///
    /// # Errors
    /// When no block of the built-in profile has that size.
    pub fn run(&self) -> Result<String, Failure> {
        let sizes = sizes(self.size)?;
        match self.output.form() {
            Form::Table => Ok(text(&sizes)),
            Form::Json => output::json(&sizes),
            form => {
                let things = Things {
                    columns: COLUMNS,
                    name: |it: &BlockSize| it.role.to_owned(),
                    nothing: "blocks",
                };
                ListOutput::of(form).many(sizes.blocks, &things, usize::MAX, false)
            }
        }
    }
}

fn sizes(size: Size) -> Result<Sizes, Failure> {
    let prefix_length = match (size.hosts, size.prefix_length) {
        (Some(0), _) => return Err(Failure::Usage("hosts must be at least 1".to_owned())),
        (Some(hosts), _) => for_hosts(hosts)?,
        (None, Some(length)) if (MIN_PREFIX_LENGTH..=MAX_PREFIX_LENGTH).contains(&length) => length,
        (None, Some(length)) => {
            let bounds = format!("/{MIN_PREFIX_LENGTH} to /{MAX_PREFIX_LENGTH}");
            return Err(Failure::Usage(format!(
                "/{length} is not possible: the first block is {bounds}"
            )));
        }
        (None, None) => return Err(Failure::Usage("give --hosts or --prefix-length".to_owned())),
    };
    let pods = prefix_length.saturating_add_signed(CGNAT_OFFSET);
    let blocks = vec![block(PRIMARY, prefix_length), block(CGNAT, pods)];
    Ok(Sizes {
        requested_hosts: size.hosts,
        prefix_length,
        blocks,
    })
}

fn for_hosts(hosts: u64) -> Result<u8, Failure> {
    let fitting = prefix_length_for_hosts(Family::Ipv4, hosts, RESERVED_ADDRESSES);
    match fitting {
        Some(length) if length >= MIN_PREFIX_LENGTH => Ok(length.min(MAX_PREFIX_LENGTH)),
        _ => {
            let most = thousands(usable_hosts(
                Family::Ipv4,
                MIN_PREFIX_LENGTH,
                RESERVED_ADDRESSES,
            ));
            let hosts = thousands(hosts);
            Err(Failure::Usage(format!(
                "{hosts} hosts do not fit: the largest block, a /{MIN_PREFIX_LENGTH}, holds {most}"
            )))
        }
    }
}

fn block(role: &'static str, prefix_length: u8) -> BlockSize {
    let saturated = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    BlockSize {
        role,
        prefix_length,
        addresses: saturated(usable_hosts(Family::Ipv4, prefix_length, 0)),
        usable: saturated(usable_hosts(
            Family::Ipv4,
            prefix_length,
            RESERVED_ADDRESSES,
        )),
    }
}

fn text(sizes: &Sizes) -> String {
    let length = sizes.prefix_length;
    let headline = match sizes.requested_hosts {
        Some(1) => format!("1 host needs a /{length}"),
        Some(hosts) => format!("{} hosts need a /{length}", thousands(hosts)),
        None => format!("A /{length}"),
    };
    let mut table = Table::new([Align::Left, Align::Left, Align::Right, Align::Right]);
    for block in &sizes.blocks {
        let usable = format!("{} usable", thousands(block.usable));
        let addresses = format!("{} addresses", thousands(block.addresses));
        table.row([
            block.role.to_owned(),
            format!("/{}", block.prefix_length),
            usable,
            addresses,
        ]);
    }
    format!("{headline}\n{}", table.text(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hosts(hosts: u64) -> Result<(u8, u8), u8> {
        let size = Size {
            hosts: Some(hosts),
            prefix_length: None,
        };
        let sizes = sizes(size).map_err(|failure| failure.exit_code())?;
        Ok((sizes.blocks[0].prefix_length, sizes.blocks[1].prefix_length))
    }

    #[test]
    fn the_sizing_table_holds_at_every_boundary() {
        let table = [
            (1, 59, 26, 21),
            (60, 123, 25, 20),
            (124, 251, 24, 19),
            (252, 507, 23, 18),
            (508, 1019, 22, 17),
            (1020, 2043, 21, 16),
            (2044, 4091, 20, 15),
        ];
        for (low, high, primary, cgnat) in table {
            assert_eq!(by_hosts(low), Ok((primary, cgnat)), "{low} hosts");
            assert_eq!(by_hosts(high), Ok((primary, cgnat)), "{high} hosts");
        }
        assert_eq!(by_hosts(0), Err(2));
        assert_eq!(by_hosts(4092), Err(2));
        assert_eq!(by_hosts(u64::MAX), Err(2));
    }

    #[test]
    fn prefix_lengths_outside_the_profile_are_refused() {
        for length in [0, 19, 27, 255] {
            let failure = sizes(Size {
                hosts: None,
                prefix_length: Some(length),
            })
            .unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains("/20 to /26"), "{failure}");
        }
    }

    #[test]
    fn people_read_aligned_columns() {
        let shown = text(
            &sizes(Size {
                hosts: Some(500),
                prefix_length: None,
            })
            .unwrap(),
        );
        let expected = "500 hosts need a /23\n  primary  /23     507 usable     512 addresses\n  cgnat    /18  16,379 usable  16,384 addresses\n";
        assert_eq!(shown, expected);
    }
}
