//! A door to what reads the headers of replies, for the crate that fuzzes it. No part of the interface.

use std::time::Duration;

use ipam_shared::error::Code;
use reqwest::{StatusCode, header::HeaderMap};

use crate::{attempts, retry};

/// How long a client waits after its `attempt`th attempt (from 1) that got such a reply; none if it gives up.
pub fn wait(
    attempt: u32,
    status: StatusCode,
    headers: &HeaderMap,
    code: Option<Code>,
) -> Option<Duration> {
    attempts::again(status, headers, code).map(|again| retry::delay(attempt, again.after))
}
