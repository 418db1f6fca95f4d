//! `provider::ipam::overlaps("10.0.0.0/16", "10.0.2.0/23")` is true.

use ipam_shared::networks::any_overlap;
use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Type, Value};

use super::argument::Network;

/// The function `overlaps`.
pub(crate) struct Overlaps;

impl Function for Overlaps {
    fn name(&self) -> &str {
        "overlaps"
    }

    fn signature(&self) -> Signature {
        Signature::new("Whether any two of several networks overlap", Type::Bool)
            .describe(
                "Returns whether any two of the networks have an address in common. A whole list is given with dots: \
                 `overlaps(var.networks...)`. Networks of different address families never overlap. No server is asked.",
            )
            .variadic(Parameter::new(
                "networks",
                Type::String,
                "The networks, such as `10.0.0.0/16` and `2001:db8::/48`.",
            ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let networks = arguments.rest::<Network>(0)?;
        let networks: Vec<_> = networks.into_iter().map(|network| network.0).collect();
        Ok(any_overlap(&networks).into())
    }
}
