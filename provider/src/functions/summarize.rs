//! `provider::ipam::summarize(["10.0.0.0/24", "10.0.1.0/24"])` is `["10.0.0.0/23"]`.

use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Value};

use super::argument;

/// The function `summarize`.
pub(crate) struct Summarize;

impl Function for Summarize {
    fn name(&self) -> &str {
        "summarize"
    }

    fn signature(&self) -> Signature {
        Signature::new(
            "The fewest networks that cover the same addresses",
            argument::list(),
        )
        .describe(
            "Returns the shortest list of networks that covers exactly the addresses of the given ones: what lies in \
             another disappears, and neighbours become one where that is a network. In address order, IPv4 first. No \
             server is asked.",
        )
        .parameter(Parameter::new(
            "networks",
            argument::list(),
            "The networks, in any order.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let networks = argument::networks(arguments, 0)?;
        Ok(argument::texts(&ipam_shared::networks::summarize(
            &networks,
        )))
    }
}
