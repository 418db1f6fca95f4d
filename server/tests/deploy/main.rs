//! How ipam is deployed: images, scripts and manifests, driven without a container engine.

#[path = "../support/client.rs"]
mod client;
mod compose;
mod image;
mod life;
mod rolling;
