//! How many requests each caller may make: a token bucket for each, in a table whose size is fixed, so that no crowd of
//! callers costs memory. When a place is needed, the one that has used least of its quota loses its own: that forgets the
//! least. A limiter that keeps every key until it is told to forget, as most do, would have to be emptied under the very
//! attack that fills it.
//!
//! The table is many small ones, each with a lock of its own that is held for a few comparisons, and time is that of a clock
//! which never jumps.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The time in which a whole quota comes back.
pub const WINDOW: Duration = Duration::from_mins(1);
/// The largest quota: beyond it there is no limit worth a name.
pub const MAX_QUOTA: u32 = 1_000_000;
/// Keys that one lock guards.
const WAYS: usize = 8;

/// What is left to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests that may be made at once, and that come back in [`WINDOW`].
    pub quota: u32,
    /// Those that may still be made now.
    pub requests: u32,
    /// Until all of them are back.
    pub full_in: Duration,
}

/// A request too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// What is left: nothing.
    pub left: Left,
    /// Until one more request may be made.
    pub next_in: Duration,
    /// Whether it is the first in [`WINDOW`], and so worth a line in the log.
    pub is_news: bool,
}

/// A bucket: when it will be full again, and until when its refusals are no news, both in nanoseconds since the start.
#[derive(Debug)]
struct Bucket<K> {
    key: K,
    full_at: u64,
    known_until: u64,
}

/// Limits requests by key.
#[derive(Debug)]
pub struct Limiter<K> {
    quota: u32,
    /// Nanoseconds in which one request comes back.
    each: u64,
    start: Instant,
    hasher: RandomState,
    sets: Box<[Mutex<Vec<Bucket<K>>>]>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Every key may make `quota` requests in [`WINDOW`]; about as many keys as `keys` says are remembered.
    pub fn new(quota: u32, keys: usize, start: Instant) -> Self {
        let quota = quota.max(1);
        let sets = keys.div_ceil(WAYS).max(1);
        Self {
            quota,
            each: nanoseconds(WINDOW) / u64::from(quota),
            start,
            hasher: RandomState::new(),
            sets: std::iter::repeat_with(Mutex::default).take(sets).collect(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When it is one too many; it does not count then.
    pub fn count(&self, key: &K, now: Instant) -> Result<Left, TooMany> {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let mut set = self.set(key);
        let bucket = bucket(&mut set, key, now);
        let full_at = bucket.full_at.max(now) + self.each;
        let whole = self.each * u64::from(self.quota);
        if full_at - now <= whole {
            bucket.full_at = full_at;
            return Ok(self.left(full_at - now));
        }
        let is_news = bucket.known_until <= now;
        if is_news {
            bucket.known_until = now + nanoseconds(WINDOW);
        }
        Err(TooMany {
            left: self.left(bucket.full_at - now),
            next_in: Duration::from_nanos(full_at - now - whole),
            is_news,
        })
    }

    fn left(&self, missing: u64) -> Left {
        let used = missing.div_ceil(self.each);
        let used = u32::try_from(used).unwrap_or(self.quota);
        Left {
            quota: self.quota,
            requests: self.quota.saturating_sub(used),
            full_in: Duration::from_nanos(missing),
        }
    }

    fn set(&self, key: &K) -> MutexGuard<'_, Vec<Bucket<K>>> {
        // Keyed, so that nobody can choose addresses that meet in one set.
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % self.sets.len() as u64).unwrap_or_default();
        self.sets[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bucket of a key; a full one for a new key, if need be in place of the fullest.
fn bucket<'s, K: Eq + Clone>(set: &'s mut Vec<Bucket<K>>, key: &K, now: u64) -> &'s mut Bucket<K> {
    let new = || Bucket {
        key: key.clone(),
        full_at: now,
        known_until: 0,
    };
    let index = match set.iter().position(|bucket| bucket.key == *key) {
        Some(index) => index,
        None if set.len() < WAYS => {
            // Room for all of them at once is three times what most sets ever have.
            set.reserve_exact(1);
            set.push(new());
            set.len() - 1
        }
        None => {
            let fullest = (0..set.len()).min_by_key(|index| set[*index].full_at);
            let index = fullest.unwrap_or_default();
            set[index] = new();
            index
        }
    };
    &mut set[index]
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_may_be_used_at_once_and_comes_back_steadily() {
        let start = Instant::now();
        let limiter = Limiter::new(60, 8, start);
        for left in (0..60).rev() {
            let answer = limiter.count(&"a", start).unwrap();
            assert_eq!((answer.quota, answer.requests), (60, left));
            assert_eq!(answer.full_in, Duration::from_secs(60 - u64::from(left)));
        }
        let refused = limiter.count(&"a", start).unwrap_err();
        assert_eq!(refused.left.requests, 0);
        assert_eq!(refused.next_in, Duration::from_secs(1));
        assert_eq!(refused.left.full_in, WINDOW);
        // What was refused does not count, and nobody else is concerned.
        assert_eq!(
            limiter.count(&"a", start),
            Err(TooMany {
                is_news: false,
                ..refused
            })
        );
        assert_eq!(limiter.count(&"b", start).unwrap().requests, 59);
        let later = start + Duration::from_millis(1500);
        assert_eq!(limiter.count(&"a", later).unwrap().requests, 0);
        let refused = limiter.count(&"a", later).unwrap_err();
        assert_eq!(refused.next_in, Duration::from_millis(500));
        let idle = later + Duration::from_hours(30 * 24);
        assert_eq!(limiter.count(&"a", idle).unwrap().requests, 59);
    }

    #[test]
    fn a_refusal_is_news_once_a_minute() {
        let start = Instant::now();
        let limiter = Limiter::new(1, 8, start);
        let refused = |seconds| {
            let at = start + Duration::from_secs(seconds);
            limiter.count(&"a", at).map_err(|refused| refused.is_news)
        };
        assert!(refused(0).is_ok());
        assert_eq!(
            [refused(1), refused(2), refused(59)],
            [Err(true), Err(false), Err(false)]
        );
        assert!(refused(60).is_ok());
        assert_eq!([refused(60), refused(61)], [Err(false), Err(true)]);
    }

    #[test]
    fn a_clock_that_stands_still_or_was_read_earlier_gives_nothing_away() {
        let start = Instant::now();
        let limiter = Limiter::new(2, 8, start + Duration::from_secs(10));
        assert!(limiter.count(&"a", start).is_ok());
        assert!(limiter.count(&"a", start + Duration::from_secs(10)).is_ok());
        assert!(limiter.count(&"a", start + Duration::from_secs(9)).is_err());
    }

    #[test]
    fn a_million_addresses_take_no_more_room_than_a_few_and_the_greediest_is_not_forgotten() {
        let start = Instant::now();
        let limiter = Limiter::new(100, 512, start);
        let greedy = u128::MAX;
        for _ in 0..100 {
            assert!(limiter.count(&greedy, start).is_ok());
        }
        for address in 0..1_000_000_u128 {
            assert!(limiter.count(&address, start).is_ok());
        }
        assert!(limiter.count(&greedy, start).is_err());
        let places = |set: &Mutex<Vec<Bucket<u128>>>| set.lock().unwrap().capacity();
        assert!(limiter.sets.iter().map(places).sum::<usize>() <= 512);
    }

    #[test]
    fn what_many_threads_take_at_once_is_counted_once_each() {
        let start = Instant::now();
        let limiter = Limiter::new(1000, 64, start);
        let taken = std::thread::scope(|scope| {
            let take = || {
                (0..500)
                    .filter(|_| limiter.count(&"a", start).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(taken, 1000);
    }

    #[test]
    fn the_largest_quota_still_costs_something() {
        let start = Instant::now();
        let limiter = Limiter::new(MAX_QUOTA, 8, start);
        let spent = (0..MAX_QUOTA).all(|_| limiter.count(&"a", start).is_ok());
        assert!(spent && limiter.count(&"a", start).is_err());
    }
}
