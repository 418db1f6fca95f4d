//! What Linux says about this process. Under the names that are common to all programs; on other systems only its start
//! time.

use std::{
    fs,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// The time of the first call, which the server makes as it starts.
static START: LazyLock<f64> = LazyLock::new(|| {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
});

/// Records the time.
pub(super) fn begin() {
    LazyLock::force(&START);
}

/// Name, meaning and value of what is known.
pub(super) fn read() -> Vec<(&'static str, &'static str, f64)> {
    let mut values = vec![(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
        *START,
    )];
    if let Some(bytes) = resident() {
        values.push((
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM",
            bytes,
        ));
    }
    // One of them is used for reading the directory.
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        values.push((
            "process_open_fds",
            "Open files and connections of the process",
            files.count().saturating_sub(1) as f64,
        ));
    }
    values
}

fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}
