//! The progress and the outcome of an import.

use serde::{Deserialize, Serialize};

use crate::{cidr::Cidr, error::Problem};

/// Maximum number of conflicts in one reply.
pub const MAX_CONFLICTS: usize = 10_000;

/// The progress of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// The current phase.
    pub phase: Phase,
    /// How much of this phase is done.
    pub done: u64,
    /// How much there is to do in total.
    pub total: u64,
}

/// A phase of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reading the file, once other imports are done.
    #[default]
    Read,
    /// Looking for conflicts.
    Check,
    /// Writing.
    Write,
    /// Committing.
    Commit,
}

/// How many things an import created, or would create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Imported {
    /// VRFs.
    pub vrfs: u64,
    /// Pools.
    pub pools: u64,
    /// Ranges of pools.
    pub ranges: u64,
    /// Profiles.
    pub profiles: u64,
    /// VPCs.
    pub vpcs: u64,
    /// Allocations.
    pub allocations: u64,
    /// Blocks of these allocations.
    pub blocks: u64,
    /// Reservations.
    pub reservations: u64,
    /// Blocks that cool down.
    #[serde(default)]
    pub cooldowns: u64,
    /// Past blocks.
    #[serde(default)]
    pub past_blocks: u64,
}

/// The outcome of an import. If there are conflicts, nothing was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportResult {
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// How many records the file has.
    pub records: u64,
    /// How many of them match exactly what already exists.
    pub unchanged: u64,
    /// What was created, or would be.
    pub created: Imported,
    /// How many conflicts there are.
    pub total_conflicts: u64,
    /// The first 10,000 of them, by line.
    pub conflicts: Vec<ImportConflict>,
}

/// Why a record can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportConflict {
    /// Line of the file on which the record begins.
    pub line: u64,
    /// What kind of conflict it is.
    pub code: ConflictCode,
    /// The network that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// What conflicts and what to do, for people.
    pub detail: String,
    /// The line of the other record, if the conflict is within the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_line: Option<u64>,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConflictCode {
    /// A value can't be understood, is missing, or has no place in this kind of record.
    BadValue,
    /// Two records of the file contradict each other.
    Contradiction,
    /// There is no such VRF, neither in the file nor in the database.
    UnknownVrf,
    /// There is no such pool.
    UnknownPool,
    /// There is no such profile.
    UnknownProfile,
    /// The network lies in no range of the pool, or of any pool.
    OutsidePool,
    /// The network is larger or smaller than the pool or the profile allows.
    OutOfBounds,
    /// Another record of the file wants the same addresses.
    OverlapInFile,
    /// An allocation, a reservation or a child pool has these addresses.
    Overlap,
    /// The name belongs to something different.
    NameTaken,
    /// The id or number belongs to something different.
    IdTaken,
    /// The thing exists and is different from the record.
    Different,
    /// The blocks of an allocation don't make up its profile: roles are missing, too many, or the sizes don't match.
    Incomplete,
}

impl ConflictCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::BadValue,
        Self::Contradiction,
        Self::UnknownVrf,
        Self::UnknownPool,
        Self::UnknownProfile,
        Self::OutsidePool,
        Self::OutOfBounds,
        Self::OverlapInFile,
        Self::Overlap,
        Self::NameTaken,
        Self::IdTaken,
        Self::Different,
        Self::Incomplete,
    ];

    /// As written in a reply.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadValue => "bad_value",
            Self::Contradiction => "contradiction",
            Self::UnknownVrf => "unknown_vrf",
            Self::UnknownPool => "unknown_pool",
            Self::UnknownProfile => "unknown_profile",
            Self::OutsidePool => "outside_pool",
            Self::OutOfBounds => "out_of_bounds",
            Self::OverlapInFile => "overlap_in_file",
            Self::Overlap => "overlap",
            Self::NameTaken => "name_taken",
            Self::IdTaken => "id_taken",
            Self::Different => "different",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A line of the streamed reply to an import: any number of progress lines, then one of the other two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ImportLine {
    /// Its progress.
    Progress(Progress),
    /// The outcome; what was imported is committed.
    Result(ImportResult),
    /// Why it was refused or failed; nothing was written, unless the code is `unknown_outcome`.
    Problem(Problem),
}
