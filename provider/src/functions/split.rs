//! `provider::ipam::split("10.0.0.0/16", [20, 20, 18])` is `["10.0.0.0/20", "10.0.16.0/20", "10.0.64.0/18"]`.

use tfplugin::{
    Arguments, Diagnostic, FromValue, Function, FunctionError, Number, Parameter, Path, Signature,
    Type, Value,
};

use super::argument::{self, Network};

/// The function `split`.
pub(crate) struct Split;

/// Any number that may be a prefix length of some family; whether it suits the network is checked later.
struct Length(u8);

impl FromValue for Length {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let number = Number::from_value(value, path)?;
        let length = number.as_u64().and_then(|length| u8::try_from(length).ok());
        length.map(Self).ok_or_else(|| {
            let text =
                format!("/{number} is not a prefix length: IPv4 has 0 to 32, IPv6 0 to 128.");
            Diagnostic::error("Unsuitable number", text).at(path)
        })
    }
}

impl Function for Split {
    fn name(&self) -> &str {
        "split"
    }

    fn signature(&self) -> Signature {
        Signature::new("Blocks of given sizes in a network", argument::list())
            .describe(
                "Returns non-overlapping blocks of these prefix lengths, in their order. Each takes the smallest \
                 part of the network that is left and holds it, as a pool with the strategy `best_fit` hands them out.\n\n\
                 A block depends on those before it only: a further prefix length at the end of the list moves none, \
                 so that a plan can grow. If all blocks together are no larger than the network, they fit in whatever \
                 order; otherwise it is an error. No server is asked.\n\n\
                 Before the network is known, such as that of an allocation that is yet to be made, it is known how many \
                 blocks there will be: `count` and `for_each` may depend on that.",
            )
            .parameter(
                Parameter::new(
                    "network",
                    Type::String,
                    "The network, such as `10.0.0.0/16` or `2001:db8::/48`.",
                )
                .allow_unknown(),
            )
            .parameter(
                Parameter::new(
                    "prefix_lengths",
                    Type::list(Type::Number),
                    "The prefix lengths of the blocks, such as `[20, 20, 18]`.",
                )
                .allow_unknown(),
            )
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let (network, lengths): (Value, Value) = (arguments.get(0)?, arguments.get(1)?);
        if lengths.is_unknown() {
            return Ok(Value::Unknown);
        }
        if network.is_unknown() || !lengths.is_wholly_known() {
            let count = lengths.as_list().map_or(0, <[Value]>::len);
            return Ok(Value::List(vec![Value::Unknown; count]));
        }
        let Network(network) = arguments.get(0)?;
        let lengths: Vec<Length> = arguments.get(1)?;
        let lengths: Vec<u8> = lengths.into_iter().map(|length| length.0).collect();
        let blocks = ipam_shared::networks::split(network, &lengths).map_err(|error| {
            let text = format!("[{}]: {error}.", error.index());
            FunctionError::argument(1, text)
        })?;
        Ok(argument::texts(&blocks))
    }
}
