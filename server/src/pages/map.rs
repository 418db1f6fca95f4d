//! The address map of a range: where in it what is, in address order. Pure geometry; the template draws it.
//!
//! The range is cut into rows that are read like text: from left to right, then down. A row has up to 64 cells, and
//! there are up to 16 rows, so that a cell is always a CIDR of its own. Rows were chosen over a Hilbert curve, which
//! keeps neighbours together but which nobody can read an address from; here each row begins with its address.
//!
//! ```text
//! 10.0.0.0   |aaaa|bb|cccc        |   each row is a /20, each cell a /26
//! 10.0.16.0  |            dddddddd|
//! 10.0.32.0  |dddddddddddddddddddd|   a block larger than a row goes on in the next ones
//! ```
//!
//! Blocks too small to be seen are summed up by cell, and the cell is filled as far as it is used.

use std::collections::BTreeMap;

use ipam_shared::{cidr::Cidr, ids::AllocationId};

/// Most cells of a row, as a power of two.
const COLUMN_BITS: u8 = 6;
/// Most rows, as a power of two.
const ROW_BITS: u8 = 4;
/// A block of less than a cell is drawn itself down to a quarter of one.
const DETAIL_BITS: u8 = 2;
/// Width of a cell in the drawing; a quarter of it is still a whole number.
pub(super) const CELL_WIDTH: u32 = 16;
/// Height of a row in the drawing.
pub(super) const ROW_HEIGHT: u32 = 24;

/// How a range is cut into rows and cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// The range.
    pub(super) range: Cidr,
    row_bits: u8,
    column_bits: u8,
}

/// A block as the map needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where.
    pub(super) cidr: Cidr,
    /// The owner; none for what is out of circulation.
    pub(super) allocation: Option<AllocationId>,
    /// What a reader sees on pointing at it.
    pub(super) title: String,
    /// Which colour and pattern.
    pub(super) class: &'static str,
}

/// How far a cell is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fill {
    /// The cell.
    pub(super) cell: Cidr,
    /// Used part, from 0 to 1.
    pub(super) used: f64,
    /// How many blocks lie in it; none if there are too many to count.
    pub(super) blocks: Option<u32>,
}

/// A rectangle of the drawing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The CIDR that it stands for.
    pub(super) cidr: Cidr,
    pub(super) what: What,
}

/// What a rectangle stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// One block.
    Block(Mark),
    /// A cell with several blocks, and how far it is used.
    Cell(Fill),
}

impl Shape {
    /// Height of the used part of a cell, at least a line when anything is used.
    pub(super) fn fill_height(&self) -> u32 {
        match &self.what {
            What::Block(_) => self.height,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 2 and the height"
            )]
            What::Cell(fill) => {
                ((f64::from(self.height) * fill.used).round() as u32).clamp(2, self.height)
            }
        }
    }

    /// Where the used part begins: it stands on the ground.
    pub(super) fn fill_y(&self) -> u32 {
        self.y + self.height - self.fill_height()
    }
}

impl Grid {
    /// Cells as small as the smallest blocks, as long as that makes no more than 64 a row and 16 rows; no more than
    /// `cells` (a power of two) in all.
    pub(super) fn new(range: Cidr, smallest: u8, cells: u32) -> Self {
        let bits = smallest.saturating_sub(range.prefix_length());
        let most = u8::try_from(cells.max(1).ilog2()).unwrap_or(u8::MAX);
        let column_bits = bits.min(COLUMN_BITS).min(most);
        let row_bits = (bits - column_bits).min(ROW_BITS).min(most - column_bits);
        Self {
            range,
            row_bits,
            column_bits,
        }
    }

    /// Prefix length of a row.
    pub(super) fn row_length(self) -> u8 {
        self.range.prefix_length() + self.row_bits
    }

    /// Prefix length of a cell.
    pub(super) fn cell_length(self) -> u8 {
        self.row_length() + self.column_bits
    }

    /// The network of each row.
    pub(super) fn rows(self) -> impl Iterator<Item = Cidr> {
        self.pieces(self.row_length())
    }

    /// The network of each cell, in address order.
    pub(super) fn cells(self) -> impl Iterator<Item = Cidr> {
        self.pieces(self.cell_length())
    }

    /// Width of the drawing.
    pub(super) fn width(self) -> u32 {
        CELL_WIDTH << self.column_bits
    }

    /// Height of the drawing.
    pub(super) fn height(self) -> u32 {
        ROW_HEIGHT << self.row_bits
    }

    fn pieces(self, length: u8) -> impl Iterator<Item = Cidr> {
        let host_bits = self.range.family().bits() - length;
        (0..1_u128 << (length - self.range.prefix_length())).map(move |index| {
            let first = self.range.number() + (index << host_bits);
            Cidr::from_number(self.range.family(), first, length)
        })
    }

    /// Draws blocks that lie in the range and do not overlap.
    pub(super) fn draw(self, marks: Vec<Mark>) -> Vec<Shape> {
        let mut small: BTreeMap<Cidr, Vec<Mark>> = BTreeMap::new();
        let mut shapes = Vec::new();
        for mark in marks {
            match mark.cidr.ancestor(self.cell_length()) {
                Some(cell) if cell != mark.cidr => small.entry(cell).or_default().push(mark),
                _ => shapes.push(self.shape(mark.cidr, What::Block(mark.clone()))),
            }
        }
        for (cell, marks) in small {
            let visible = self.cell_length() + DETAIL_BITS;
            if marks
                .iter()
                .all(|mark| mark.cidr.prefix_length() <= visible)
                || marks.len() == 1
            {
                shapes.extend(
                    marks
                        .into_iter()
                        .map(|mark| self.shape(mark.cidr, What::Block(mark))),
                );
            } else {
                let used = marks.iter().map(|mark| part(cell, mark.cidr)).sum();
                let blocks = u32::try_from(marks.len()).ok();
                shapes.push(self.shape(cell, What::Cell(Fill { cell, used, blocks })));
            }
        }
        shapes.sort_by_key(|shape| (shape.y, shape.x));
        shapes
    }

    /// Draws cells of which only the use is known.
    pub(super) fn draw_fills(self, fills: impl IntoIterator<Item = Fill>) -> Vec<Shape> {
        fills
            .into_iter()
            .filter(|fill| fill.used > 0.0)
            .map(|fill| self.shape(fill.cell, What::Cell(fill)))
            .collect()
    }

    /// The rectangle of a network inside the range.
    fn shape(self, cidr: Cidr, what: What) -> Shape {
        let cell_bits = self.range.family().bits() - self.cell_length();
        let offset = cidr.number().saturating_sub(self.range.number());
        // There are at most 1,024 cells.
        let cell = u32::try_from(offset >> cell_bits).unwrap_or_default();
        let columns = 1 << self.column_bits;
        let (row, column) = (cell / columns, cell % columns);
        let (mut x, mut width, mut height) = (column * CELL_WIDTH, CELL_WIDTH, ROW_HEIGHT);
        match cidr.prefix_length().checked_sub(self.cell_length()) {
            None => {
                let cells = 1_u32 << (self.cell_length() - cidr.prefix_length());
                width = CELL_WIDTH * cells.min(columns);
                height = ROW_HEIGHT * (cells / columns).max(1);
            }
            Some(0) => {}
            Some(_) => {
                // To the left where it begins, never thinner than the smallest step.
                let steps = 1_u128 << DETAIL_BITS;
                let step = CELL_WIDTH >> DETAIL_BITS;
                let inside = offset & ((1_u128 << cell_bits) - 1);
                let at = u32::try_from((inside * steps) >> cell_bits).unwrap_or_default();
                x += at * step;
                width = (CELL_WIDTH
                    >> (cidr.prefix_length() - self.cell_length()).min(DETAIL_BITS))
                .max(step);
            }
        }
        Shape {
            x,
            y: row * ROW_HEIGHT,
            width,
            height,
            cidr,
            what,
        }
    }
}

/// Which part of `whole` a network inside it is.
pub(super) fn part(whole: Cidr, inside: Cidr) -> f64 {
    let bits = inside.prefix_length().saturating_sub(whole.prefix_length());
    (-f64::from(bits)).exp2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn mark(text: &str) -> Mark {
        Mark {
            cidr: cidr(text),
            allocation: None,
            title: String::new(),
            class: "v0",
        }
    }

    fn place(grid: Grid, text: &str) -> (u32, u32, u32, u32) {
        let shapes = grid.draw(vec![mark(text)]);
        assert_eq!(shapes.len(), 1);
        (shapes[0].x, shapes[0].y, shapes[0].width, shapes[0].height)
    }

    #[test]
    fn a_slash_16_has_16_rows_of_64_cells() {
        let grid = Grid::new(cidr("10.0.0.0/16"), 26, 1024);
        assert_eq!((grid.row_length(), grid.cell_length()), (20, 26));
        assert_eq!((grid.width(), grid.height()), (1024, 384));
        assert_eq!(grid.rows().nth(1), Some(cidr("10.0.16.0/20")));
        assert_eq!(grid.cells().last(), Some(cidr("10.0.255.192/26")));
        assert_eq!(place(grid, "10.0.0.0/26"), (0, 0, 16, 24));
        assert_eq!(place(grid, "10.0.17.64/26"), (5 * 16, 24, 16, 24));
        assert_eq!(place(grid, "10.0.16.0/20"), (0, 24, 1024, 24));
        assert_eq!(place(grid, "10.0.64.0/18"), (0, 4 * 24, 1024, 4 * 24));
        assert_eq!(place(grid, "10.0.0.0/16"), (0, 0, 1024, 384));
    }

    #[test]
    fn a_range_of_few_blocks_has_few_cells() {
        let grid = Grid::new(cidr("10.0.0.0/24"), 26, 1024);
        assert_eq!((grid.width(), grid.height()), (4 * 16, 24));
        let grid = Grid::new(cidr("10.0.0.0/28"), 26, 1024);
        assert_eq!((grid.width(), grid.height()), (16, 24));
        assert_eq!(place(grid, "10.0.0.0/28"), (0, 0, 16, 24));
        let grid = Grid::new(cidr("10.0.0.0/8"), 32, 128);
        assert_eq!((grid.cells().count(), grid.rows().count()), (128, 2));
    }

    #[test]
    fn an_ipv6_range_is_drawn_relative_to_itself() {
        let grid = Grid::new(cidr("2001:db8::/32"), 64, 1024);
        assert_eq!(grid.cell_length(), 42);
        assert_eq!(place(grid, "2001:db8:40::/42"), (16, 0, 16, 24));
        assert_eq!(place(grid, "2001:db8::/64"), (0, 0, 4, 24));
        let grid = Grid::new(cidr("::/0"), 128, 1024);
        assert_eq!(grid.cells().count(), 1024);
        assert_eq!(place(grid, "ffc0::/10"), (63 * 16, 15 * 24, 16, 24));
    }

    #[test]
    fn small_blocks_of_one_cell_become_one_shape() {
        let grid = Grid::new(cidr("10.0.0.0/8"), 26, 1024);
        // A cell is a /18; quarters of it are /20.
        let quarters = grid.draw(vec![mark("10.0.0.0/20"), mark("10.0.32.0/20")]);
        assert_eq!(
            quarters.iter().map(|s| (s.x, s.width)).collect::<Vec<_>>(),
            [(0, 4), (8, 4)]
        );
        let shapes = grid.draw(vec![mark("10.0.0.0/20"), mark("10.0.32.0/26")]);
        let [
            Shape {
                what: What::Cell(fill),
                width: 16,
                ..
            },
        ] = &shapes[..]
        else {
            panic!("{shapes:?}")
        };
        assert_eq!((fill.cell, fill.blocks), (cidr("10.0.0.0/18"), Some(2)));
        assert!((fill.used - (0.25 + 1.0 / 256.0)).abs() < 1e-9);
        assert_eq!(shapes[0].fill_height(), 6);
        // One that is alone in its cell is still itself, and can be followed.
        assert!(matches!(
            grid.draw(vec![mark("10.0.0.64/26")])[0].what,
            What::Block(_)
        ));
    }

    #[test]
    fn nothing_is_drawn_of_an_empty_cell_and_a_line_of_a_nearly_empty_one() {
        let grid = Grid::new(cidr("10.0.0.0/16"), 26, 1024);
        let fill = |used| Fill {
            cell: cidr("10.0.0.0/26"),
            used,
            blocks: None,
        };
        assert_eq!(grid.draw_fills([fill(0.0)]), []);
        assert_eq!(grid.draw_fills([fill(0.0001)])[0].fill_height(), 2);
        assert_eq!(grid.draw_fills([fill(1.0)])[0].fill_height(), 24);
    }

    /// Disjoint blocks of 10.0.0.0/16, by splitting at random.
    fn blocks() -> impl Strategy<Value = Vec<Cidr>> {
        prop::collection::vec((any::<u16>(), 17_u8..=32), 0..200).prop_map(|asked| {
            let mut blocks: Vec<Cidr> = Vec::new();
            for (host, length) in asked {
                let block = Cidr::from_number(
                    ipam_shared::cidr::Family::Ipv4,
                    0x0a00_0000 + u128::from(host),
                    length,
                );
                if !blocks.iter().any(|other| other.overlaps(block)) {
                    blocks.push(block);
                }
            }
            blocks
        })
    }

    proptest! {
        #[test]
        fn the_drawing_shows_each_address_where_it_is(blocks in blocks(), smallest in 16_u8..=32, cells in 0_u32..12) {
            let range = cidr("10.0.0.0/16");
            let grid = Grid::new(range, smallest, 1 << cells);
            let marks = blocks.iter().map(|block| mark(&block.to_string())).collect();
            let shapes = grid.draw(marks);
            prop_assert!(shapes.len() <= blocks.len());

            // Inside the drawing, and no two on the same spot: a step is the smallest thing drawn.
            let step = CELL_WIDTH >> DETAIL_BITS;
            let mut painted = BTreeMap::new();
            for (index, shape) in shapes.iter().enumerate() {
                prop_assert!(shape.x + shape.width <= grid.width() && shape.y + shape.height <= grid.height());
                for y in (shape.y..shape.y + shape.height).step_by(ROW_HEIGHT as usize) {
                    for x in (shape.x..shape.x + shape.width).step_by(step as usize) {
                        prop_assert_eq!(painted.insert((y / ROW_HEIGHT, x / step), index), None);
                    }
                }
            }
            // The spot of an address, found another way: by its part of the range.
            let steps = u64::from(grid.width() / step) * u64::from(grid.height() / ROW_HEIGHT);
            for block in &blocks {
                let at = u64::try_from(block.number() - range.number()).unwrap() * steps / 65_536;
                let per_row = u64::from(grid.width() / step);
                let spot = (u32::try_from(at / per_row).unwrap(), u32::try_from(at % per_row).unwrap());
                let shape = &shapes[painted[&spot]];
                prop_assert!(shape.cidr.contains(*block));
            }
            // What is summed up is summed up right.
            for shape in &shapes {
                if let What::Cell(fill) = &shape.what {
                    let inside: Vec<_> = blocks.iter().filter(|block| fill.cell.contains(**block)).collect();
                    let addresses: u128 = inside.iter().map(|block| block.addresses()).sum();
                    let expected = addresses as f64 / fill.cell.addresses() as f64;
                    prop_assert!((fill.used - expected).abs() < 1e-9);
                    prop_assert_eq!(fill.blocks, u32::try_from(inside.len()).ok());
                }
            }
        }
    }
}
