//! All targets.

mod client;
mod plugin;
mod request;
mod server;
mod shared;

use crate::Target;

macro_rules! targets {
    ($($module:ident::$name:ident, $longest:literal;)+) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($name), longest: $longest, run: $module::$name }),+
        ];
    };
}

targets! {
    shared::cidr, 64;
    shared::networks, 96;
    shared::sizes, 32;
    shared::words, 300;
    shared::secret, 80;
    shared::bodies, 1024;
    shared::cells, 300;
    server::file, 1024;
    server::settings, 256;
    server::contexts, 512;
    server::forwarded, 128;
    server::proxied, 160;
    server::tags, 96;
    client::replies, 512;
    plugin::wire, 512;
    plugin::state, 512;
    plugin::number, 64;
    plugin::messages, 512;
    request::request, 1024;
}
