//! The dashboard in a real browser: what people do, with and without scripts, on narrow and wide screens, in light and
//! dark; what is wrong with a page for somebody's eyes or screen reader; and what stored texts do to it, which is nothing.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod chromium;
#[path = "../support/client.rs"]
#[expect(dead_code, reason = "other tests read the headers of replies")]
mod client;
mod company;
mod copies;
mod forms;
mod hostile;
mod keyboard;
mod keys;
mod nouns;
mod past;
mod plans;
mod screens;
mod stage;
mod story;
mod touch;
mod vpcs;
