//! The records of a file, and their columns.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::cell::Cell;
use crate::{
    api::{
        ownership::Owner,
        pool::{RequiredLabels, Strategy},
    },
    cidr::{Cidr, Family},
    labels::Labels,
    name::Name,
};

/// What a record is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An address space.
    Vrf,
    /// One range of a pool, with the pool's settings.
    Pool,
    /// One member of a profile.
    ProfileMember,
    /// A VPC; needed only if more than its name is to be given.
    Vpc,
    /// One block of an allocation.
    #[default]
    Allocation,
    /// A network out of circulation.
    Reservation,
    /// A block that was released recently and cools down.
    Cooldown,
    /// A past block of an allocation or a reservation.
    PastBlock,
}

impl Kind {
    /// Every kind, in the order of an export.
    pub const ALL: [Self; 8] = [
        Self::Vrf,
        Self::Pool,
        Self::ProfileMember,
        Self::Vpc,
        Self::Reservation,
        Self::Allocation,
        Self::Cooldown,
        Self::PastBlock,
    ];

    /// As written in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vrf => "vrf",
            Self::Pool => "pool",
            Self::ProfileMember => "profile_member",
            Self::Vpc => "vpc",
            Self::Allocation => "allocation",
            Self::Reservation => "reservation",
            Self::Cooldown => "cooldown",
            Self::PastBlock => "past_block",
        }
    }
}

impl Cell for Kind {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{text:?} is not one of {}", all.join(", "))
        })
    }

    fn write(&self) -> String {
        self.as_str().to_owned()
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct At(#[serde(with = "crate::moment::required")] pub OffsetDateTime);

impl Cell for At {
    fn read(text: &str) -> Result<Self, String> {
        OffsetDateTime::read(text).map(Self)
    }

    fn write(&self) -> String {
        self.0.write()
    }
}

/// A column of a CSV file, which is a field of a JSON record.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The kinds of records that have it.
    pub kinds: &'static [Kind],
}

/// Generates the record, its columns, and the conversions between them from one list.
macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $($kind:ident)+;)+) => {
        /// One record of an address plan: a line of a CSV file, or an object of a JSON file. What is not given is left out.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(deny_unknown_fields)]
        pub struct Record {
            /// What it is about; `allocation` if not given.
            #[serde(default, deserialize_with = "crate::api::or_default")]
            pub kind: Kind,
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )+
        }

        /// Every column, in the order of an export.
        pub const COLUMNS: &[Column] = &[
            Column { name: "kind", kinds: &Kind::ALL },
            $(Column { name: stringify!($name), kinds: &[$(Kind::$kind),+] },)+
        ];

        impl Record {
            /// Reads a cell that is not empty into the column of that name, which is one of [`COLUMNS`].
            pub fn set(&mut self, column: &str, text: &str) -> Result<(), String> {
                match column {
                    "kind" => self.kind = Kind::read(text)?,
                    $(stringify!($name) => self.$name = Some(<$type as Cell>::read(text)?),)+
                    other => return Err(format!("there is no column {other:?}")),
                }
                Ok(())
            }

            /// The text of each column, in the order of [`COLUMNS`].
            pub fn cells(&self) -> Vec<String> {
                vec![self.kind.write(), $(self.$name.as_ref().map(Cell::write).unwrap_or_default(),)+]
            }

            /// The columns that are given here and differ there.
            pub fn differences(&self, there: &Self) -> Vec<&'static str> {
                let mut found = Vec::new();
                $(
                    if self.$name.is_some() && self.$name != there.$name {
                        found.push(stringify!($name));
                    }
                )+
                found
            }

            /// The columns that are given although this kind of record does not have them.
            pub fn misplaced(&self) -> Vec<&'static str> {
                let mut found = Vec::new();
                $(
                    if self.$name.is_some() && ![$(Kind::$kind),+].contains(&self.kind) {
                        found.push(stringify!($name));
                    }
                )+
                found
            }
        }
    };
}

columns! {
    /// Name of the VRF; of an allocation, the VRF of its VPC. `default` if not given.
    vrf: Name, Vrf Pool Vpc Allocation Reservation Cooldown PastBlock;
    /// Name of the pool. Of an allocation: the pool that the block is cut from, by name or as `vrf/name`; if not given, it
    /// is found by the address. Of a member of a profile: the pool that blocks are cut from.
    pool: String, Pool ProfileMember Allocation Cooldown PastBlock;
    /// The network.
    cidr: Cidr, Pool Allocation Reservation Cooldown PastBlock;
    /// Name of the VPC; of what is released, its name at that time.
    vpc: Name, Vpc Allocation Cooldown PastBlock;
    /// Name of the allocation, unique within the VPC; of what is released, its name at that time.
    name: Name, Allocation Cooldown PastBlock;
    /// What the records of an allocation without a name have in common: any text.
    allocation: String, Allocation;
    /// Name of the profile.
    profile: Name, ProfileMember Allocation;
    /// Role of the member, or of the block.
    role: String, ProfileMember Allocation Cooldown PastBlock;
    /// Why it is, or was, out of circulation.
    reason: String, Reservation PastBlock;
    /// Free text.
    description: String, Vrf Pool ProfileMember Vpc Allocation;
    /// Key-value pairs.
    labels: Labels, Vrf Pool Vpc Allocation Reservation;
    /// Whether deletion is refused.
    deletion_protection: bool, Allocation;
    /// Name of the pool of the same VRF that the range is cut from.
    parent: Name, Pool;
    /// IPv4 or IPv6; told by the CIDR if there is one.
    family: Family, Pool;
    /// Shortest prefix length, that is the largest block. Of an allocation: the bound that applied when the block was cut.
    min_prefix_length: u8, Pool ProfileMember Allocation;
    /// Longest prefix length, that is the smallest block. Of an allocation: the bound that applied when the block was cut.
    max_prefix_length: u8, Pool ProfileMember Allocation;
    /// Prefix length for requests from pools that give none.
    default_prefix_length: u8, Pool;
    /// Addresses of a block that are not for hosts.
    reserved_addresses: u32, Pool;
    /// How a free block is chosen.
    strategy: Strategy, Pool;
    /// Seconds for which released blocks stay out of circulation.
    release_cooldown_seconds: u32, Pool;
    /// Labels that an allocation must have: key to allowed values.
    required_labels: RequiredLabels, Pool;
    /// Position of the member in the profile, from 1; the order of the file if not given.
    position: i16, ProfileMember;
    /// Bits added to the requested prefix length. Of an allocation: the offset that applied when it was cut.
    size_offset: i16, ProfileMember Allocation;
    /// Requested size: hosts.
    requested_hosts: u64, Allocation;
    /// Requested size: prefix length.
    requested_prefix_length: u8, Allocation;
    /// Requested size: the first block itself. This is the default if none of the three is given, unless the requested
    /// pools are: such a request left the size to the pool.
    requested_cidr: Cidr, Allocation;
    /// The requested pools, by name or id, if there is no profile.
    requested_pools: Vec<String>, Allocation;
    /// The labels that the pool was selected by, if there is no profile.
    requested_pool_selector: Labels, Allocation;
    /// Networks that the blocks must not overlap.
    exclude_cidrs: Vec<Cidr>, Allocation;
    /// Id of the VRF, pool, profile, VPC, allocation or reservation; a new one if not given. Of a block that was released:
    /// of the allocation or the reservation that had it.
    id: Uuid, Vrf Pool ProfileMember Vpc Allocation Reservation Cooldown PastBlock;
    /// The integer id of the original API; a new one if not given.
    number: i64, Allocation;
    /// Who created it. If not given: for allocations and reservations whoever imports them, for the rest unknown.
    created_by: String, Vrf Pool ProfileMember Vpc Allocation Reservation;
    /// For whom it was created, such as a workspace of a pipeline.
    owner: Owner, Vrf Pool ProfileMember Vpc Allocation Reservation;
    /// When it was created; now if not given.
    created_at: At, Vrf Pool ProfileMember Vpc Allocation Reservation;
    /// Since when the allocation has the block; since its creation if not given. Of a range: since when it is cut from the
    /// parent. Of a released block: since when it cools down, or since when it was held.
    since: At, Pool Allocation Cooldown PastBlock;
    /// Until when the block cools down, or was held.
    until: At, Cooldown PastBlock;
    /// When a block that cools down was released; `since` if not given.
    released_at: At, Cooldown;
    /// Id of the pool that a block lay in; that of the pool of that name if not given.
    pool_id: Uuid, PastBlock;
    /// Id of the VRF that a block lay in, if that is gone.
    vrf_id: Uuid, PastBlock;
    /// The claim of its owner, which Terraform keeps in its state; a new one if not given.
    claim: Uuid, Vrf Pool ProfileMember Vpc Allocation Reservation;
    /// Whether the owner has confirmed the claim.
    confirmed: bool, Vrf Pool ProfileMember Vpc Allocation Reservation;
    /// Whether the VPC was made on first use, and nobody has managed it since; of a VPC without a record of its own, it was.
    implicit: bool, Vpc;
    /// When the member was replaced by a change of the profile. Blocks that were cut by it keep its rules. Of a block: when
    /// the member that it was cut by was replaced, if it was.
    retired_at: At, ProfileMember Allocation;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_same_in_cells_and_in_json() {
        let json = r#"{"kind":"allocation","cidr":"10.0.0.0/24","vpc":"prod","name":"-web","labels":{"a":"b;c"},
            "size_offset":-5,"requested_hosts":500,"created_at":"2026-01-01T00:00:00.123456Z","confirmed":true,
            "exclude_cidrs":["10.0.0.0/8","172.16.0.0/12"]}"#;
        let record: Record = serde_json::from_str(json).unwrap();
        let mut read = Record::default();
        for (column, text) in COLUMNS.iter().zip(record.cells()) {
            if !text.is_empty() {
                read.set(column.name, &text).unwrap();
            }
        }
        assert_eq!(read, record);
        assert_eq!(read.kind, Kind::Allocation);
        let again = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&again).unwrap(), record);
        assert!(serde_json::from_str::<Record>(r#"{"cdir":"10.0.0.0/24"}"#).is_err());
        let misplaced = Record {
            kind: Kind::Reservation,
            ..record
        };
        assert_eq!(misplaced.misplaced()[..2], ["vpc", "name"]);
    }
}
