//! What people copy into a shell.

/// As one word, which means only itself, whatever it contains.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_stay_one_word() {
        assert_eq!(quoted("a/b; rm -rf '/'"), r"'a/b; rm -rf '\''/'\'''");
    }
}
