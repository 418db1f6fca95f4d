//! How ipam is deployed: images, scripts and manifests, driven without a container engine.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod bare;
#[path = "../support/client.rs"]
mod client;
mod compose;
mod containers;
mod image;
mod kind;
mod life;
mod observability;
mod prepare;
mod programs;
mod releases;
mod rolling;
