//! `provider::ipam::usable_hosts(23)` is 507.

use ipam_shared::cidr::{Family, RESERVED_ADDRESSES, usable_hosts};
use tfplugin::{
    Arguments, Function, FunctionError, Number, Parameter, Signature, ToValue, Type, Value,
};

use super::argument;

/// The function `usable_hosts`.
pub(crate) struct UsableHosts;

impl Function for UsableHosts {
    fn name(&self) -> &str {
        "usable_hosts"
    }

    fn signature(&self) -> Signature {
        Signature::new("Hosts that a block holds", Type::Number)
            .describe(
                "Returns how many hosts a block of that prefix length holds in addition to the 5 reserved addresses \
                 (network, broadcast, gateway, DNS and a spare one); 0 if it has no more than those. No server is asked.",
            )
            .parameter(Parameter::new(
                "prefix_length",
                Type::Number,
                "Prefix length of the block: 0 to 32, or 0 to 128 for IPv6.",
            ))
            .variadic(Parameter::new(
                "family",
                Type::String,
                "`ipv4` or `ipv6`. May be left out for IPv4.",
            ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let family = argument::family(arguments, 1)?.unwrap_or(Family::Ipv4);
        let length = argument::prefix_length(arguments, 0, family)?;
        let hosts = usable_hosts(family, length, RESERVED_ADDRESSES);
        Ok(Number::parse(&hosts.to_string()).to_value())
    }
}
