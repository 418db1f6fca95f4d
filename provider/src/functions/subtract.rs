//! `provider::ipam::subtract(["10.0.0.0/24"], ["10.0.0.0/26"])` is `["10.0.0.64/26", "10.0.0.128/25"]`.

use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Value};

use super::argument;

/// The function `subtract`.
pub(crate) struct Subtract;

impl Function for Subtract {
    fn name(&self) -> &str {
        "subtract"
    }

    fn signature(&self) -> Signature {
        Signature::new(
            "What is left of networks without others",
            argument::list(),
        )
        .describe(
            "Returns the shortest list of networks that covers the addresses of `networks` that are in none of \
             `exclude`. In address order, IPv4 first; empty if nothing is left. No server is asked.",
        )
        .parameter(Parameter::new(
            "networks",
            argument::list(),
            "The networks to take from.",
        ))
        .parameter(Parameter::new(
            "exclude",
            argument::list(),
            "The networks to take away. They may lie anywhere.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let networks = argument::networks(arguments, 0)?;
        let exclude = argument::networks(arguments, 1)?;
        let left = ipam_shared::networks::subtract(&networks, &exclude);
        Ok(argument::texts(&left))
    }
}
