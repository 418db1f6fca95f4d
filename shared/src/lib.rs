//! The vocabulary shared by the server, the client and the Terraform provider of ipam.
//!
//! This crate knows the nouns (CIDRs, names, ids, the bodies that travel over HTTP) and nothing about transport or storage:
//! no I/O, no async, no SQL.
//!
//! - [`cidr`]: canonical networks, prefix lengths, sizing by hosts
//! - [`networks`]: what several networks cover, what is left of them, how one is cut
//! - [`moment`]: moments that can be kept
//! - [`name`]: names that are valid once they exist
//! - [`ids`]: one type per kind of id
//! - [`api`]: request and reply bodies, a module per noun
//! - [`error`]: the problem body that every refusal carries
//! - [`page`]: cursor pages
//! - [`quotas`]: how many addresses of which pool somebody may hold
//! - [`secret`]: how secrets of tokens look
//! - [`shell`]: what people copy into a shell

pub mod api;
pub mod cidr;
pub mod error;
pub mod ids;
pub mod labels;
pub mod moment;
pub mod name;
pub mod networks;
pub mod page;
pub mod pattern;
pub mod quotas;
pub mod secret;
pub mod shell;
