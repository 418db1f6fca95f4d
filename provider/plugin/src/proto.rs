//! The generated messages and services, see `proto/`. Nothing of this is public API.

#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    reason = "generated code"
)]

/// Terraform's provider protocol.
// Expecting dead code in a module makes the compiler see none, hence `allow`.
#[allow(
    dead_code,
    reason = "the outer half of each message pair is only a name"
)]
pub(crate) mod tf {
    tonic::include_proto!("tfplugin6");
}

/// The process manager's services.
pub(crate) mod host {
    tonic::include_proto!("plugin");
}
