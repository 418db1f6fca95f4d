//! Profiles: recipes that say which pools give a block each, and how the sizes relate.

/// The built-in profile: a node range from pool `primary`, and a pod range 5 bits larger from pool `cgnat`.
pub const DEFAULT_PROFILE: &str = "node-pod";
/// Role of the node range in the built-in profile.
pub const PRIMARY: &str = "primary";
/// Role of the pod range in the built-in profile.
pub const CGNAT: &str = "cgnat";
/// Size of the pod range relative to the node range: 5 bits shorter, so that each node has 32 pod addresses.
pub const CGNAT_OFFSET: i8 = -5;
/// Shortest prefix (largest block) of the built-in profile.
pub const MIN_PREFIX_LENGTH: u8 = 20;
/// Longest prefix (smallest block) of the built-in profile.
pub const MAX_PREFIX_LENGTH: u8 = 26;
