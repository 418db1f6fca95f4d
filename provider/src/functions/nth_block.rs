//! `provider::ipam::nth_block("10.0.0.0/16", 24, -1)` is `10.0.255.0/24`.

use ipam_shared::networks::{self, End};
use tfplugin::{Arguments, Function, FunctionError, Number, Parameter, Signature, Type, Value};

use super::argument::{self, Network};

/// The function `nth_block`.
pub(crate) struct NthBlock;

/// How many addresses IPv6 has, 2^128, which is the only number of blocks that a `u128` does not hold.
const ALL: &str = "340282366920938463463374607431768211456";

/// From which end an index counts, and how many blocks lie before it: none, if those are more than there are anywhere.
/// Nothing if it is not a whole number.
fn counted(index: &Number) -> Option<(End, Option<u128>)> {
    let text = index.to_string();
    let (end, digits) = match text.strip_prefix('-') {
        Some(back) => (End::Highest, back),
        None => (End::Lowest, text.as_str()),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<u128>().ok();
    Some(match end {
        End::Lowest => (end, number),
        End::Highest if digits == ALL => (end, Some(u128::MAX)),
        End::Highest => (end, number.and_then(|back| back.checked_sub(1))),
    })
}

impl Function for NthBlock {
    fn name(&self) -> &str {
        "nth_block"
    }

    fn signature(&self) -> Signature {
        Signature::new("A block of a network by its number", Type::String)
            .describe(
                "Returns one of the blocks of a prefix length that a network consists of: 0 is the one with the lowest \
                 addresses, -1 the one with the highest. An error if there are not so many. No server is asked.",
            )
            .parameter(Parameter::new(
                "network",
                Type::String,
                "The network, such as `10.0.0.0/16` or `2001:db8::/48`.",
            ))
            .parameter(Parameter::new(
                "prefix_length",
                Type::Number,
                "Prefix length of the blocks, at least that of the network.",
            ))
            .parameter(Parameter::new(
                "index",
                Type::Number,
                "Which block, counted from 0; negative numbers count from the end.",
            ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let Network(network) = arguments.get(0)?;
        let length = argument::prefix_length(arguments, 1, network.family())?;
        if length < network.prefix_length() {
            let text = format!("A /{length} is larger than {network}, so it contains none.");
            return Err(FunctionError::argument(1, text));
        }
        let index: Number = arguments.get(2)?;
        let (end, before) = counted(&index).ok_or_else(|| {
            FunctionError::argument(
                2,
                format!("{index} is not the number of a block: it must be a whole number."),
            )
        })?;
        let block = before.and_then(|before| networks::nth_block(network, length, end, before));
        let block = block.ok_or_else(|| {
            let text = match networks::last_block(network, length) {
                0 => format!("{network} is the only block of that size, with the numbers 0 and -1; {index} is not one of them."),
                last => {
                    let count = last.checked_add(1).map_or(ALL.to_owned(), |count| count.to_string());
                    format!("{network} has {count} blocks of /{length}, 0 to {last} or -1 to -{count}; {index} is not one of them.")
                }
            };
            FunctionError::argument(2, text)
        })?;
        Ok(block.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_counts_from_either_end() {
        for (text, counts) in [
            ("0", Some((End::Lowest, Some(0)))),
            ("-1", Some((End::Highest, Some(0)))),
            ("-256", Some((End::Highest, Some(255)))),
            (
                "340282366920938463463374607431768211455",
                Some((End::Lowest, Some(u128::MAX))),
            ),
            (
                "1267650600228229401496703205376",
                Some((End::Lowest, Some(1 << 100))),
            ),
            (ALL, Some((End::Lowest, None))),
            (
                "-340282366920938463463374607431768211456",
                Some((End::Highest, Some(u128::MAX))),
            ),
            (
                "-340282366920938463463374607431768211457",
                Some((End::Highest, None)),
            ),
            ("1.5", None),
            ("-0.5", None),
        ] {
            assert_eq!(counted(&Number::parse(text).unwrap()), counts, "{text}");
        }
    }
}
