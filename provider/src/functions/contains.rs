//! `provider::ipam::contains("10.0.0.0/16", "10.0.3.7")` is true.

use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Type, Value};

use super::argument::{AddressOrNetwork, Network};

/// The function `contains`.
pub(crate) struct Contains;

impl Function for Contains {
    fn name(&self) -> &str {
        "contains"
    }

    fn signature(&self) -> Signature {
        Signature::new(
            "Whether an address or a network lies in a network",
            Type::Bool,
        )
        .describe(
            "Returns whether all of an address or a network lies in a network. A network contains itself, and never \
             anything of the other address family. No server is asked.",
        )
        .parameter(Parameter::new(
            "network",
            Type::String,
            "The network, such as `10.0.0.0/16` or `2001:db8::/48`.",
        ))
        .parameter(Parameter::new(
            "inner",
            Type::String,
            "An address such as `10.0.3.7`, or a network such as `10.0.2.0/23`.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let Network(network) = arguments.get(0)?;
        let AddressOrNetwork(inner) = arguments.get(1)?;
        Ok(network.contains(inner).into())
    }
}
