//! How ipam is deployed: images, scripts and manifests, driven without a container engine.

mod observability;
