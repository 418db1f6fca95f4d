//! Text in aligned columns that fit a terminal.

use ipam_shared::cidr::Cidr;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use unicode_width::UnicodeWidthStr as _;

use super::screen::Screen;
use crate::text::cut;

/// Spaces between two columns.
const GAP: usize = 2;
/// No column gets narrower than this to make a table fit.
const NARROWEST: usize = 6;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words, which may be cut.
    Left,
    /// Numbers, which are shown whole.
    Right,
}

/// Rows in columns as wide as their widest cell, two spaces apart.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// No rows yet.
    pub fn new(columns: impl Into<Vec<Align>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells at its end are empty.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The rows as lines, each indented by that many spaces, however long.
    pub fn text(&self, indent: usize) -> String {
        self.lines(indent, &self.widths(), false)
    }

    /// The rows as lines that fit the screen, the first of them as headings.
    pub fn headed(&self, screen: Screen) -> String {
        let mut widths = self.widths();
        let Some(room) = screen.width else {
            return self.lines(0, &widths, screen.colours);
        };
        // Half a network or a moment says nothing, or something else: the others give room first.
        let words: Vec<_> = (0..widths.len())
            .map(|column| self.columns[column] == Align::Left)
            .collect();
        let inexact: Vec<_> = (0..widths.len())
            .map(|column| words[column] && !self.is_exact(column))
            .collect();
        narrow(&mut widths, room, &inexact);
        narrow(&mut widths, room, &words);
        let text = self.lines(0, &widths, screen.colours);
        if widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) <= room {
            return text;
        }
        // More columns than there is room for: the last ones are not shown.
        let text = self.lines(0, &widths, false);
        text.lines().map(|line| cut(line, room) + "\n").collect()
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        (0..self.columns.len()).map(width).collect()
    }

    /// Whether a column has nothing but networks, addresses or moments, below its heading.
    fn is_exact(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
        cells.all(|cell| {
            let is_moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).is_ok();
            let mut parts = cell.split([',', ' ']).filter(|part| !part.is_empty());
            parts.all(|part| Cidr::of_address_or_network(part).is_ok() || is_moment(part))
        })
    }

    fn lines(&self, indent: usize, widths: &[usize], bold_first: bool) -> String {
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = " ".repeat(indent);
            for ((cell, align), &width) in row.iter().zip(&self.columns).zip(widths) {
                let cell = cut(cell, width);
                let space = " ".repeat(width.saturating_sub(cell.width()));
                match align {
                    Align::Left => line.extend([cell, space]),
                    Align::Right => line.extend([space, cell]),
                }
                line.push_str(&" ".repeat(GAP));
            }
            let line = line.trim_end();
            if bold_first && index == 0 {
                text.push_str(&format!("\x1b[1m{line}\x1b[0m\n"));
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// Takes room from the widest of the columns that give any, until all fit or none can give more.
fn narrow(widths: &mut [usize], room: usize, gives: &[bool]) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > room {
        let giving = widths
            .iter_mut()
            .zip(gives)
            .filter(|(width, gives)| **gives && **width > NARROWEST);
        match giving.max_by_key(|(width, _)| **width) {
            Some((width, _)) => *width -= 1,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_spaces_at_their_end() {
        let mut table = Table::new([Align::Right, Align::Left, Align::Left]);
        table.row(["ID", "VPC", "LABELS"]);
        table.row(["7", "Größe", ""]);
        table.row(["1234", "p", "a=b"]);
        assert_eq!(
            table.text(1),
            "   ID  VPC    LABELS\n    7  Größe\n 1234  p      a=b\n"
        );
        let mut table = Table::new([Align::Left, Align::Left]);
        table.row(["東京", "x"]);
        table.row(["abc", "y"]);
        assert_eq!(
            table.text(0),
            "東京  x\nabc   y\n",
            "wide characters count twice"
        );
    }

    #[test]
    fn a_table_fits_its_terminal() {
        let mut table = Table::new([Align::Right, Align::Left, Align::Left]);
        table.row(["ID", "NAME", "DESCRIPTION"]);
        let long = "a description that nobody reads to its end";
        table.row(["1234567", "nodes", long]);
        table.row(["8", "東京東京東京東京", ""]);
        let screen = |width| Screen {
            width: Some(width),
            colours: false,
        };
        for width in 1..80 {
            for line in table.headed(screen(width)).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
        let text = table.headed(screen(40));
        assert!(text.contains("1234567") && text.contains('…'), "{text}");
        assert_eq!(table.headed(Screen::NONE), table.text(0));
        assert!(table.headed(Screen::NONE).contains(long));
        // Words give room before networks and moments.
        let mut table = Table::new([Align::Left, Align::Left, Align::Left]);
        table.row(["AT", "CIDR", "DETAIL"]);
        table.row(["2026-01-31T12:00:00Z", "10.128.0.0/23", long]);
        let text = table.headed(screen(50));
        assert!(
            text.contains("2026-01-31T12:00:00Z  10.128.0.0/23  a desc"),
            "{text}"
        );
        let coloured = Screen {
            width: None,
            colours: true,
        };
        assert!(table.headed(coloured).starts_with("\u{1b}[1m"));
    }
}
