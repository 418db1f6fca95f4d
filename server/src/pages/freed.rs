//! What becomes of space that is released, in words.

use super::duration::in_words;
use crate::db::cooldown::Ahead;

/// A sentence for each pool.
pub(super) fn told(ahead: &[Ahead]) -> Vec<String> {
    ahead.iter().map(sentence).collect()
}

fn sentence(ahead: &Ahead) -> String {
    let (blocks, it) = match ahead.blocks {
        1 => ("1 block".to_owned(), "it"),
        count => (format!("{count} blocks"), "them"),
    };
    let pool = &ahead.pool;
    if ahead.seconds == 0 {
        let are = if ahead.blocks == 1 { "is" } else { "are" };
        return format!(
            "In pool \"{pool}\" {blocks} {are} free at once, and somebody else may get {it}."
        );
    }
    let (cool, them) = if ahead.blocks == 1 {
        ("cools", "it")
    } else {
        ("cool", "them")
    };
    format!(
        "In pool \"{pool}\" {blocks} {cool} down for {}: meanwhile only an allocation of the same name in a VPC of the same name \
         gets {them} back, and then somebody else may get {it}.",
        in_words(ahead.seconds.into())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_is_not_called_free() {
        let ahead = |seconds, blocks| Ahead {
            pool: "p".to_owned(),
            seconds,
            blocks,
        };
        let told = told(&[ahead(0, 1), ahead(86_400, 2)]);
        assert!(told[0].contains("1 block is free at once"), "{told:?}");
        assert!(told[1].contains("2 blocks cool down for 1 day"), "{told:?}");
        assert!(!told[1].contains("at once"));
    }
}
