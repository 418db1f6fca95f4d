//! Tables of hostile input: lines of a file, with escapes.

/// The lines of a table, without comments, each with its number.
pub(crate) fn lines(table: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(table.split('\n'))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The first `N` words of a line, and what is behind them.
pub(crate) fn words<const N: usize>(line: &str) -> ([&str; N], &str) {
    let mut rest = line;
    let words = [(); N].map(|()| {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = behind;
        word
    });
    (words, rest)
}

/// The bytes that a text stands for: `\xHH`, `\u{H}`, `\0`, `\t`, `\r`, `\n`, `\\`, and `«text*N»` for the text N times.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '«' => {
                let (repeated, behind) = rest.split_once('»').expect("it ends");
                let (text, count) = repeated.rsplit_once('*').expect("how often");
                bytes.extend(self::bytes(text).repeat(count.parse().expect("a number")));
                rest = behind;
            }
            '\\' => {
                let kind = rest.chars().next().expect("what is escaped");
                rest = &rest[kind.len_utf8()..];
                match kind {
                    'x' => {
                        let (digits, behind) = rest.split_at(2);
                        bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                        rest = behind;
                    }
                    'u' => {
                        let (digits, behind) = rest[1..].split_once('}').expect("it ends");
                        let number = u32::from_str_radix(digits, 16).expect("digits");
                        let c = char::from_u32(number).expect("a character");
                        bytes.extend(c.to_string().bytes());
                        rest = behind;
                    }
                    '0' => bytes.push(0),
                    't' => bytes.push(b'\t'),
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    '\\' => bytes.push(b'\\'),
                    other => panic!("\\{other} is no escape"),
                }
            }
            other => bytes.extend(other.to_string().bytes()),
        }
    }
    bytes
}
