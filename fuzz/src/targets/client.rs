//! What a client reads of what answers it.

use ipam_client::fuzzing::wait;
use ipam_shared::error::{Code, Problem};

use super::server::headers;
use crate::bytes::Bytes;

/// `Retry-After` and problems: how long a client waits can always be added to the present, and no code is misunderstood.
pub(super) fn replies(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (attempt, status) = (
        u32::from(bytes.byte()).max(1),
        u16::from_be_bytes(bytes.take()),
    );
    let code = Code::ALL.get(usize::from(bytes.byte())).copied();
    let headers = headers(&mut bytes, "retry-after", 1);
    if let Ok(status) = (100 + status % 500).try_into()
        && let Some(wait) = wait(attempt, status, &headers, code)
    {
        let now = std::time::Instant::now();
        assert!(now.checked_add(wait).is_some(), "{wait:?}");
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(bytes.0) {
        let written = serde_json::to_vec(&problem).expect("it can be written");
        let again = serde_json::from_slice::<Problem>(&written).expect("it can be read");
        let of = |problem: Problem| (problem.code, problem.status, problem.detail);
        assert_eq!(of(again), of(problem));
    }
}
