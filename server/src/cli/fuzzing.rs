//! A door to what reads the configuration file, for the crate that fuzzes it. No part of the interface.

use super::config;

/// Endpoint of each context of a configuration file, or why it is none.
///
/// # Errors
/// When the file can't be understood. The error quotes no value of it.
pub fn contexts(text: &str) -> Result<Vec<(String, String)>, String> {
    config::contexts_of(text)
}
