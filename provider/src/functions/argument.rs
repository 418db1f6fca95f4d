//! What functions take: networks, addresses, prefix lengths and families, with errors that say what is wrong with them.

use std::{fmt::Display, str::FromStr};

use ipam_shared::cidr::{Cidr, Family};
use tfplugin::{Arguments, Diagnostic, FromValue, FunctionError, Number, Path, Type, Value};

/// A network, such as `10.0.0.0/16` or `2001:db8::/48`.
pub(crate) struct Network(pub(crate) Cidr);

/// A network, or an address, which is a network of its own.
pub(crate) struct AddressOrNetwork(pub(crate) Cidr);

impl FromValue for Network {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        read(value, path, Cidr::from_str).map(Self)
    }
}

impl FromValue for AddressOrNetwork {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        read(value, path, Cidr::of_address_or_network).map(Self)
    }
}

fn read<E: Display>(
    value: &Value,
    path: &Path,
    parse: impl Fn(&str) -> Result<Cidr, E>,
) -> Result<Cidr, Diagnostic> {
    let text = String::from_value(value, path)?;
    parse(&text).map_err(|error| Diagnostic::error("Invalid value", format!("{error}.")).at(path))
}

/// The argument at `index`, a list of networks.
pub(crate) fn networks(arguments: &Arguments, index: usize) -> Result<Vec<Cidr>, FunctionError> {
    let networks: Vec<Network> = arguments.get(index)?;
    Ok(networks.into_iter().map(|network| network.0).collect())
}

/// Networks as a result.
pub(crate) fn texts(networks: &[Cidr]) -> Value {
    Value::List(
        networks
            .iter()
            .map(|network| network.to_string().into())
            .collect(),
    )
}

/// The type of a list of networks.
pub(crate) fn list() -> Type {
    Type::list(Type::String)
}

/// The argument at `index`, a prefix length of the family.
pub(crate) fn prefix_length(
    arguments: &Arguments,
    index: usize,
    family: Family,
) -> Result<u8, FunctionError> {
    let number: Number = arguments.get(index)?;
    let length = number.as_u64().and_then(|length| u8::try_from(length).ok());
    length
        .filter(|length| *length <= family.bits())
        .ok_or_else(|| {
            let text = format!(
                "/{number} is not a prefix length: {} has 0 to {}.",
                name(family),
                family.bits()
            );
            FunctionError::argument(index, text)
        })
}

/// The family after the other arguments, if there is one.
pub(crate) fn family(arguments: &Arguments, index: usize) -> Result<Option<Family>, FunctionError> {
    if arguments.len() > index + 1 {
        let text = "At most one family may be given.";
        return Err(FunctionError::argument(index + 1, text));
    }
    if arguments.len() == index {
        return Ok(None);
    }
    match arguments.get::<String>(index)?.as_str() {
        "ipv4" => Ok(Some(Family::Ipv4)),
        "ipv6" => Ok(Some(Family::Ipv6)),
        other => Err(FunctionError::argument(
            index,
            format!("{other:?} is neither ipv4 nor ipv6."),
        )),
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
