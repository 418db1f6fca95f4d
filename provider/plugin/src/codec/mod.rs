//! Values on the wire and in state files. Both formats are read according to a type; neither knows schemas.

pub(crate) mod json;
pub(crate) mod msgpack;
#[cfg(test)]
pub(crate) mod testing;
