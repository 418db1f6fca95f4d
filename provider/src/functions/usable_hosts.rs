//! `provider::ipam::usable_hosts(23)` is 507.

use ipam_shared::cidr::{Family, RESERVED_ADDRESSES, usable_hosts};
use tfplugin::{
    Arguments, Function, FunctionError, Number, Parameter, Signature, ToValue, Type, Value,
};

/// The function `usable_hosts`.
pub(crate) struct UsableHosts;

impl Function for UsableHosts {
    fn name(&self) -> &str {
        "usable_hosts"
    }

    fn signature(&self) -> Signature {
        Signature::new("Hosts that an IPv4 block holds", Type::Number)
            .describe(
                "Answers how many hosts an IPv4 block of that prefix length holds beside the 5 reserved addresses \
                 (network, broadcast, gateway, DNS and a spare one). No server is asked.",
            )
            .parameter(Parameter::new(
                "prefix_length",
                Type::Number,
                "Prefix length of the block, from 0 to 32.",
            ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let length: u8 = arguments.get(0)?;
        if length > Family::Ipv4.bits() {
            return Err(FunctionError::argument(
                0,
                format!("/{length} is not a prefix length: IPv4 has 0 to 32."),
            ));
        }
        let hosts = usable_hosts(Family::Ipv4, length, RESERVED_ADDRESSES);
        Ok(Number::parse(&hosts.to_string()).to_value())
    }
}
