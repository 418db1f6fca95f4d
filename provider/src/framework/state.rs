//! The server's representation as Terraform state.

use tfplugin::{Instance, Private, Result, Value};

use super::{attribute_spec::AttributeSpec, fields::fields, labels, noun::Noun};
use crate::connection::Connection;

/// The attributes as the server has them.
pub(super) fn shown<N: Noun>(found: &N::Found, specs: &[AttributeSpec]) -> Result<Value> {
    let mut state = fields(found, specs)?;
    state.set("id", N::id(found));
    Ok(state)
}

/// The VRFs that they are in, for a message that asks to choose one of them.
pub(super) fn vrfs<N: Noun>(found: &[N::Found]) -> Result<Vec<String>> {
    let vrf = |found| -> Result<String> {
        let values = shown::<N>(found, &N::specs())?;
        Ok(values.attribute("vrf")?)
    };
    found.iter().map(vrf).collect()
}

/// The state for something that was just found.
pub(crate) fn imported<N: Noun>(found: &N::Found, connection: &Connection) -> Result<Instance> {
    instance::<N>(found, &Value::Null, connection, Private::default())
}

/// What the server has, as a state. `known` is the plan or the prior state; null after an import.
pub(super) fn instance<N: Noun>(
    found: &N::Found,
    known: &Value,
    connection: &Connection,
    private: Private,
) -> Result<Instance> {
    let mut state = shown::<N>(found, &N::specs())?;
    N::settle(found, known, &mut state)?;
    if let Some(all) = N::labels(found) {
        labels::settle(all, known, connection, &mut state)?;
    }
    Ok(Instance { state, private })
}
