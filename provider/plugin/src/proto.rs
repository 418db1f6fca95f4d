//! The generated messages and services, see `proto/`. Nothing of this is public API.

#![expect(unreachable_pub, unused_qualifications, reason = "generated code")]

/// Terraform's provider protocol.
#[expect(
    clippy::allow_attributes,
    reason = "expecting dead code in a module makes the compiler see none"
)]
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
