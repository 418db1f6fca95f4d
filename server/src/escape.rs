//! How texts are written into pages: no text is markup, and none is read as another one.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};

/// The name of a character that changes the direction of the text around it (Unicode's Bidi_Control), or stands for nothing
/// that can be seen, such as `‹U+202E›`. New names have none of these; old ones, descriptions, reasons and labels may.
pub(crate) fn named(c: char) -> Option<String> {
    let is_deceptive = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    );
    is_deceptive.then(|| format!("\u{2039}U+{:04X}\u{203a}", u32::from(c)))
}

/// HTML for people: what would turn a text around, or hide in it, is named instead, such as `‹U+202E›`. Joiners of signs stay,
/// because languages and emoji need them.
#[derive(Clone, Copy)]
pub(crate) struct ForEyes;

impl Escaper for ForEyes {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        if text.is_ascii() {
            return Html.write_escaped_str(dest, text);
        }
        let mut rest = text;
        let first = |text: &str| {
            let mut characters = text.char_indices();
            characters.find_map(|(at, c)| Some((at, at + c.len_utf8(), named(c)?)))
        };
        while let Some((begin, end, name)) = first(rest) {
            Html.write_escaped_str(&mut dest, &rest[..begin])?;
            dest.write_str(&name)?;
            rest = &rest[end..];
        }
        Html.write_escaped_str(dest, rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use askama::Template as _;

    #[derive(askama::Template)]
    #[template(source = r#"{{ text }}|{{ text|e("exact") }}"#, ext = "html")]
    struct Page {
        text: &'static str,
    }

    #[test]
    fn what_is_read_is_what_it_looks_like_and_what_is_sent_back_is_unchanged() {
        for (text, written) in [
            (
                "a<b>&\"'",
                "a&#60;b&#62;&#38;&#34;&#39;|a&#60;b&#62;&#38;&#34;&#39;",
            ),
            ("\u{202e}evil<", "‹U+202E›evil&#60;|\u{202e}evil&#60;"),
            ("x\u{feff}", "x‹U+FEFF›|x\u{feff}"),
            ("שלום 👩‍👩‍👧", "שלום 👩‍👩‍👧|שלום 👩‍👩‍👧"),
        ] {
            assert_eq!(Page { text }.render().unwrap(), written);
        }
    }

    /// Otherwise who saves a form without having touched a field would change it.
    #[test]
    fn values_of_forms_and_what_is_copied_are_exact() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut values = 0;
        for file in fs::read_dir(templates).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            for start in ["value=\"{", "<textarea", "<pre"] {
                for (at, _) in text.match_indices(start) {
                    let rest = &text[at..];
                    let rest = match start {
                        "value=\"{" => &rest[..rest.find('>').unwrap()],
                        _ => &rest[rest.find('>').unwrap()..rest.find("</").unwrap()],
                    };
                    let Some(from) = rest.find("{{") else {
                        continue;
                    };
                    let expression = &rest[from..from + rest[from..].find("}}").unwrap()];
                    assert!(
                        expression.contains("|e(\"exact\")"),
                        "{}: {expression}",
                        path.display()
                    );
                    values += 1;
                }
            }
        }
        assert!(values > 30, "{values}");
    }
}
