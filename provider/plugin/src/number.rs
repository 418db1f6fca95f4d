//! Terraform's one number type: a decimal of any size, without losing a digit of what the user wrote.
//!
//! Terraform compares numbers exactly, and the 0.1 of a configuration is not the 0.1 of a float (which is a little
//! more). So a float is kept only where it is exact, and all else stays decimal text.

use std::fmt;

/// A number. Each has one representation, so that equal numbers compare equal however they came.
#[derive(Debug, Clone, PartialEq)]
pub struct Number(Repr);

#[derive(Debug, Clone, PartialEq)]
enum Repr {
    Int(i64),
    /// Above `i64::MAX` only.
    Uint(u64),
    /// Exactly this, and not a whole number: Terraform compares large ones by the digits that it sends and gets, and writes
    /// fewer of a float.
    Float(f64),
    /// Plain decimal text without superfluous zeros, of a number that is none of the above.
    Decimal(String),
}

/// Exponents beyond this are not meant seriously.
const MAX_EXPONENT: i64 = 1000;

impl Number {
    /// The number that `text` spells in decimal, with or without an exponent; `None` if it spells none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = plain_decimal(text)?;
        if let Ok(int) = text.parse::<i64>() {
            return Some(int.into());
        }
        if let Ok(uint) = text.parse::<u64>() {
            return Some(uint.into());
        }
        let float: f64 = text.parse().ok()?;
        if float.fract() != 0.0 && all_digits(float) == text {
            return Some(Self(Repr::Float(float)));
        }
        Some(Self(Repr::Decimal(text)))
    }

    /// The number that `float` is exactly, as it comes over the wire.
    pub(crate) fn exact(float: f64) -> Self {
        // Infinity and what is no number have no digits.
        Self::parse(&all_digits(float)).unwrap_or(Self(Repr::Float(float)))
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

    /// The decimal text of a number that is neither in the integers nor a fraction that a float holds exactly.
    pub fn as_decimal(&self) -> Option<&str> {
        match &self.0 {
            Repr::Decimal(text) => Some(text),
            _ => None,
        }
    }
}

/// The number that `float` is, to the last digit.
fn all_digits(float: f64) -> String {
    // The smallest float has 1074 digits of fraction, so this is all of them.
    let text = format!("{float:.1074}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `text` without exponent, plus sign, and superfluous zeros; `None` if it is not a decimal number.
fn plain_decimal(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (sign, magnitude) = match mantissa.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let mut digits = format!("{whole}{fraction}");
    if digits.is_empty()
        || !digits.bytes().all(|b| b.is_ascii_digit())
        || !(-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent)
    {
        return None;
    }
    // Where the point goes, counted from the first digit.
    let mut point = i64::try_from(whole.len()).ok()? + exponent;
    while point < 0 {
        digits.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).ok()?;
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match (whole, fraction) {
        ("0", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    })
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

/// The number that the float is written as: `0.1` is one tenth.
impl From<f64> for Number {
    fn from(float: f64) -> Self {
        Self::parse(&float.to_string()).unwrap_or(Self(Repr::Float(float)))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Uint(uint) => write!(f, "{uint}"),
            // The shortest text that is read as this float may be that of another number.
            Repr::Float(float) => f.write_str(&all_digits(*float)),
            Repr::Decimal(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_number_is_equal_however_it_came() {
        assert_eq!(Number::from(3.0), Number::from(3i64));
        assert_eq!(Number::from(3u64), Number::from(3i64));
        assert_eq!(Number::exact(2.5), Number::from(2.5));
        // Terraform sends whole numbers as floats where these are exact and the integers of its wire are too small.
        for text in [
            "9223372036854775808",
            "18446744073709549568",
            "-9223372036854775808",
            "18446744073709551616",
        ] {
            let sent = Number::exact(text.parse().unwrap());
            assert_eq!(sent, Number::parse(text).unwrap());
            assert_eq!(sent.as_u64(), text.parse().ok(), "{text}");
            assert_eq!(sent.as_i64(), text.parse().ok(), "{text}");
        }
        for text in ["1.25", "+1.250", "0001.25", "125e-2", "0.00125E3"] {
            assert_eq!(Number::parse(text), Some(Number::exact(1.25)), "{text}");
        }
        assert_eq!(Number::parse("3.0"), Some(Number::from(3u64)));
        assert_eq!(Number::parse("-0.0"), Some(Number::from(0i64)));
        assert_eq!(Number::parse("15e2"), Some(Number::from(1500i64)));
    }

    #[test]
    fn an_exponent_that_nobody_means_is_refused() {
        for exponent in [
            "1001",
            "-1001",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
        ] {
            assert_eq!(Number::parse(&format!("1e{exponent}")), None, "{exponent}");
        }
        assert!(Number::parse("1e-1000").is_some() && Number::parse("1E1000").is_some());
    }

    #[test]
    fn no_digit_is_lost() {
        for text in [
            "340282366920938463463374607431768211455",
            "-0.00000000000000000001",
            "0.1",
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

    /// A float holds these exactly, and a shorter text would be read as the same float.
    #[test]
    fn what_a_float_holds_exactly_is_written_to_the_last_digit() {
        for text in [
            "100000000000000.625",
            "-100000000000000.625",
            "0.1000000000000000055511151231257827021181583404541015625",
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(number.as_decimal(), None, "{text} is exact as a float");
            assert_eq!(number.to_string(), text);
            assert_eq!(Number::parse(&number.to_string()), Some(number));
        }
        assert_eq!(Number::from(0.5).to_string(), "0.5");
    }

    #[test]
    fn a_tenth_is_a_tenth_and_the_float_next_to_it_is_not() {
        assert_eq!(Number::from(0.1), Number::parse("0.1").unwrap());
        assert_ne!(Number::exact(0.1), Number::parse("0.1").unwrap());
        assert_eq!(
            Number::parse(&format!("{:.60}", 0.1)),
            Some(Number::exact(0.1))
        );
    }

    #[test]
    fn fractions_are_no_integers_and_words_are_no_numbers() {
        assert_eq!(Number::from(2.5).as_i64(), None);
        for text in [
            "NaN",
            "inf",
            "12a",
            "",
            "-",
            ".",
            "1e",
            "1e9999999999",
            "1.2.3",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn floats_come_back(float in any::<f64>().prop_filter("finite", |float| float.is_finite())) {
            prop_assert_eq!(Number::from(float).as_f64(), float);
            prop_assert_eq!(Number::exact(float).as_f64(), float);
        }

        #[test]
        fn texts_come_back(text in "-?[1-9][0-9]{0,30}(\\.[0-9]{0,20}[1-9])?") {
            prop_assert_eq!(Number::parse(&text).unwrap().to_string(), text);
        }
    }
}
