//! `provider::ipam::nth_block("10.0.0.0/16", 24, -1)` is `10.0.255.0/24`.

use ipam_shared::networks::{self, End};
use tfplugin::{Arguments, Function, FunctionError, Number, Parameter, Signature, Type, Value};

use super::argument::{self, Network};

/// The function `nth_block`.
pub(crate) struct NthBlock;

/// From which end an index counts, and how many blocks lie before it; none if it is not a whole number of at most 128 bits.
fn counted(index: &Number) -> Option<(End, u128)> {
    let text = index.to_string();
    match text.strip_prefix('-') {
        Some(back) => {
            let back: u128 = back.parse().ok()?;
            Some((End::Highest, back.checked_sub(1)?))
        }
        None => Some((End::Lowest, text.parse().ok()?)),
    }
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
        let block = networks::nth_block(network, length, end, before).ok_or_else(|| {
            let count = networks::blocks(network, length);
            let text = if count == 1 {
                format!("{network} is the only block of that size, with the numbers 0 and -1; {index} is not one of them.")
            } else {
                format!("{network} has {count} blocks of /{length}, 0 to {} or -1 to -{count}; {index} is not one of them.", count - 1)
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
            ("0", Some((End::Lowest, 0))),
            ("-1", Some((End::Highest, 0))),
            ("-256", Some((End::Highest, 255))),
            (
                "340282366920938463463374607431768211455",
                Some((End::Lowest, u128::MAX)),
            ),
            (
                "1267650600228229401496703205376",
                Some((End::Lowest, 1 << 100)),
            ),
            ("1.5", None),
            ("-0.5", None),
            ("340282366920938463463374607431768211456", None),
        ] {
            assert_eq!(counted(&Number::parse(text).unwrap()), counts, "{text}");
        }
    }
}
