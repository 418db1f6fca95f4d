//! `provider::ipam::prefix_for_hosts(500)` is 23.

use ipam_shared::cidr::{RESERVED_ADDRESSES, prefix_length_for_hosts};
use tfplugin::{Arguments, Function, FunctionError, Number, Parameter, Signature, Type, Value};

use super::argument;
use crate::nouns::allocation::sizing::node_prefix_length;

/// The function `prefix_for_hosts`.
pub(crate) struct PrefixForHosts;

impl Function for PrefixForHosts {
    fn name(&self) -> &str {
        "prefix_for_hosts"
    }

    fn signature(&self) -> Signature {
        Signature::new(
            "Prefix length of a block for a number of hosts",
            Type::Number,
        )
        .describe(
            "Returns the prefix length of the smallest node range of the profile `node-pod` that holds so many hosts in \
             addition to the 5 reserved addresses: the size that an `ipam_allocation` with the same `hosts` gets. No \
             server is asked.\n\n| hosts | node range | pod range |\n|---|---|---|\n| 1 to 59 | /26 | /21 |\n| 60 to 123 | \
             /25 | /20 |\n| 124 to 251 | /24 | /19 |\n| 252 to 507 | /23 | /18 |\n| 508 to 1019 | /22 | /17 |\n| 1020 to \
             2043 | /21 | /16 |\n| 2044 to 4091 | /20 | /15 |\n\nMore than 4091 hosts is an error. With a `family`, it is \
             the smallest block of that family, without the bounds of the profile: for an allocation from a pool of your \
             own.",
        )
        .parameter(Parameter::new(
            "hosts",
            Type::Number,
            "Number of hosts, at least 1; at most 4091 without a family.",
        ))
        .variadic(Parameter::new(
            "family",
            Type::String,
            "`ipv4` or `ipv6`. May be left out for the profile `node-pod`.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let family = argument::family(arguments, 1)?;
        let number: Number = arguments.get(0)?;
        let refuse = |text: String| FunctionError::argument(0, text);
        let hosts = number.as_u64().ok_or_else(|| {
            let is_whole = number
                .to_string()
                .bytes()
                .all(|digit| digit.is_ascii_digit());
            refuse(match is_whole {
                true => format!("{number} hosts are too many: it must be fewer than 2^64."),
                false => format!(
                    "{number} is not a number of hosts: it must be a whole number, at least 1."
                ),
            })
        })?;
        let length = match family {
            None => node_prefix_length(hosts).map_err(refuse)?,
            Some(_) if hosts == 0 => {
                return Err(refuse("There must be at least 1 host.".to_owned()));
            }
            Some(family) => {
                prefix_length_for_hosts(family, hosts, RESERVED_ADDRESSES).ok_or_else(|| {
                    refuse(format!("{hosts} hosts are more than there are addresses."))
                })?
            }
        };
        Ok(Value::from(u64::from(length)))
    }
}
