//! When to retry a failed request, and when to give up.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Since when the server has been failing, according to all requests of one client.
///
/// The timeout counts from there and not from the start of each request: a plan of 1,000 resources against a server that is
/// down fails once after that time, instead of a hundred times in a row.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Notes that a request failed; returns when the first one did.
    pub(crate) fn seen(&self, began: Instant) -> Instant {
        *self.lock().get_or_insert(began)
    }

    /// Notes that a request was answered.
    pub(crate) fn over(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // The value is replaced atomically, so a panic elsewhere can't have left it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after the `attempt`th attempt (from 1): doubling, at most 5 s, with a random part so that clients that
/// failed together don't retry together.
pub(crate) fn delay(attempt: u32, server_asks: Option<Duration>) -> Duration {
    let doubled = FIRST_DELAY
        .saturating_mul(1 << (attempt - 1).min(10))
        .min(LONGEST_DELAY);
    let jittered = doubled.mul_f64(0.5 + 0.5 * random_fraction());
    // All clients that were told the same time add a random part to it.
    server_asks.map_or(jittered, |asked| asked + jittered)
}

fn random_fraction() -> f64 {
    // Without randomness from the system the delay is merely not spread.
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_bounded() {
        for attempt in 1..40 {
            let longest = (100 << (attempt - 1).min(10)).min(5000);
            let delay = delay(attempt, None).as_millis();
            assert!(
                (longest / 2..=longest).contains(&delay),
                "{attempt}: {delay} ms"
            );
        }
        assert!(delay(1, Some(Duration::from_secs(7))) >= Duration::from_secs(7));
    }

    #[tokio::test]
    async fn an_outage_begins_once_and_ends_with_an_answer() {
        let outage = Outage::default();
        let first = Instant::now();
        let second = first + Duration::from_secs(1);
        assert_eq!(outage.seen(first), first);
        assert_eq!(outage.seen(second), first);
        outage.over();
        assert_eq!(outage.seen(second), second);
    }
}
