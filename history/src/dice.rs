//! Reproducible randomness: the same seed gives the same throws.

use std::ops::RangeInclusive;

/// SplitMix64, which is small and good enough to choose what to do next.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of their own for each `player`, so that one's throws don't depend on how fast others throw.
    #[must_use]
    pub fn new(seed: u64, player: u64) -> Self {
        let mut dice = Self(seed ^ player.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.throw();
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of these numbers.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.throw() % (range.end() - range.start() + 1)
    }

    /// One of `0..count`.
    ///
    /// # Panics
    /// When there is nothing to choose from.
    pub fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a usize has at most 64 bits");
        usize::try_from(self.throw() % count).expect("it is less than a usize")
    }

    /// Yes, that often in a hundred times.
    pub fn percent(&mut self, often: u64) -> bool {
        self.throw() % 100 < often
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let throws = |seed, player| {
            let mut dice = Dice::new(seed, player);
            (0..100).map(|_| dice.within(3..=7)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1, 2), throws(1, 2));
        assert_ne!(throws(1, 2), throws(1, 3));
        assert_ne!(throws(1, 2), throws(2, 2));
        for number in 3..=7 {
            assert!(throws(1, 2).contains(&number));
        }
        assert!(throws(1, 2).iter().all(|throw| (3..=7).contains(throw)));
    }
}
