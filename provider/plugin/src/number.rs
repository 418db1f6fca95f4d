//! Terraform's one number type: a decimal of any size, without losing a digit of what the user wrote.

use std::fmt;

/// A number. Whole numbers of 64 bits are kept as integers, so that equal numbers compare equal however they were sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Number(Repr);

#[derive(Debug, Clone, PartialEq)]
enum Repr {
    Int(i64),
    /// Above `i64::MAX` only.
    Uint(u64),
    /// Never a whole number that fits in the integers above.
    Float(f64),
    /// Text that none of the above holds exactly; kept as it came.
    Decimal(String),
}

impl Number {
    /// The number that `text` spells in decimal; `None` if it spells none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(int) = text.parse::<i64>() {
            return Some(int.into());
        }
        if let Ok(uint) = text.parse::<u64>() {
            return Some(uint.into());
        }
        let float = text.parse::<f64>().ok()?;
        let digits_only = text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
        digits_only.then(|| {
            // A text that the float prints back as it was lost nothing.
            if float.is_finite() && float.to_string() == text {
                float.into()
            } else {
                Self(Repr::Decimal(text.to_owned()))
            }
        })
    }

    /// The whole number, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(int) => Some(int),
            _ => None,
        }
    }

    /// The whole number that is not negative, if it is one and fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Repr::Int(int) => u64::try_from(int).ok(),
            Repr::Uint(uint) => Some(uint),
            _ => None,
        }
    }

    /// The nearest floating-point number.
    pub fn as_f64(&self) -> f64 {
        match &self.0 {
            Repr::Int(int) => *int as f64,
            Repr::Uint(uint) => *uint as f64,
            Repr::Float(float) => *float,
            Repr::Decimal(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The decimal text of a number that neither an integer nor a float holds exactly.
    pub fn as_decimal(&self) -> Option<&str> {
        match &self.0 {
            Repr::Decimal(text) => Some(text),
            _ => None,
        }
    }
}

impl From<i64> for Number {
    fn from(int: i64) -> Self {
        Self(Repr::Int(int))
    }
}

impl From<u64> for Number {
    fn from(uint: u64) -> Self {
        i64::try_from(uint).map_or(Self(Repr::Uint(uint)), Self::from)
    }
}

impl From<f64> for Number {
    fn from(float: f64) -> Self {
        // 2^63 itself is a float and does not fit, hence the strict upper bound.
        let whole = float.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&float);
        if whole {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and within range, checked above"
            )]
            return Self(Repr::Int(float as i64));
        }
        Self(Repr::Float(float))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Uint(uint) => write!(f, "{uint}"),
            Repr::Float(float) => write!(f, "{float}"),
            Repr::Decimal(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_is_equal_however_it_came() {
        assert_eq!(Number::from(3.0), Number::from(3i64));
        assert_eq!(Number::from(3u64), Number::from(3i64));
        assert_eq!(Number::parse("3"), Some(Number::from(3u64)));
        assert_eq!(Number::parse("1.25"), Some(Number::from(1.25)));
    }

    #[test]
    fn no_digit_is_lost() {
        for text in [
            "340282366920938463463374607431768211455",
            "0.1000000000000000055511151231257827",
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(number.as_decimal(), Some(text));
            assert_eq!(number.to_string(), text);
        }
        assert_eq!(
            Number::parse("18446744073709551615").unwrap().as_u64(),
            Some(u64::MAX)
        );
    }

    #[test]
    fn fractions_are_no_integers_and_words_are_no_numbers() {
        assert_eq!(Number::from(2.5).as_i64(), None);
        assert_eq!(Number::parse("NaN"), None);
        assert_eq!(Number::parse("inf"), None);
        assert_eq!(Number::parse("12a"), None);
    }
}
