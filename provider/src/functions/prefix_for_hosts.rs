//! `provider::ipam::prefix_for_hosts(500)` is 23.

use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Type, Value};

use crate::sizing::node_prefix_length;

/// The function `prefix_for_hosts`.
pub(crate) struct PrefixForHosts;

impl Function for PrefixForHosts {
    fn name(&self) -> &str {
        "prefix_for_hosts"
    }

    fn signature(&self) -> Signature {
        Signature::new(
            "Prefix length of the node range for a number of hosts",
            Type::Number,
        )
        .describe(
            "Answers the prefix length of the smallest node range of the profile `node-pod` that holds so many hosts \
             beside the 5 reserved addresses: the size that an `ipam_allocation` with the same `hosts` gets. No server \
             is asked.\n\n\
             | hosts | node range | pod range |\n|---|---|---|\n| 1 to 59 | /26 | /21 |\n| 60 to 123 | /25 | /20 |\n\
             | 124 to 251 | /24 | /19 |\n| 252 to 507 | /23 | /18 |\n| 508 to 1019 | /22 | /17 |\n\
             | 1020 to 2043 | /21 | /16 |\n| 2044 to 4091 | /20 | /15 |\n\n\
             More than 4091 hosts is an error.",
        )
        .parameter(Parameter::new(
            "hosts",
            Type::Number,
            "Number of hosts, from 1 to 4091.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let length = node_prefix_length(arguments.get(0)?)
            .map_err(|reason| FunctionError::argument(0, reason))?;
        Ok(Value::from(u64::from(length)))
    }
}
