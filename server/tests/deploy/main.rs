//! How ipam is deployed: images, scripts and manifests, driven without a container engine.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod kind;
