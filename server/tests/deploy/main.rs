//! How ipam is deployed: images, scripts and manifests, driven without a container engine.

#[path = "../support/client.rs"]
mod client;
mod compose;
mod image;
mod life;
mod rolling;
#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod kind;
