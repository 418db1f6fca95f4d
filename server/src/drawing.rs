//! Where on a map a network is: pure geometry, for pages and pictures alike.
//!
//! As **rows**, a window is cut into rows that are read like text: from left to right, then down. A row has up to 64 cells,
//! and there are up to 16 rows, so that a cell is always a CIDR of its own.
//!
//! ```text
//! 10.0.0.0   |aaaa|bb|cccc        |   each row is a /20, each cell a /26
//! 10.0.16.0  |            dddddddd|
//! 10.0.32.0  |dddddddddddddddddddd|   a block larger than a row goes on in the next ones
//! ```
//!
//! On a **Hilbert curve** neighbours stay together, which shows fragmentation at a glance; nobody can read an address from it.
//! An aligned network is a square, or two squares side by side.
//!
//! Blocks too small to be seen are summed up by cell, and the cell is filled as far as it is used.

use std::collections::BTreeMap;

use ipam_shared::cidr::Cidr;

/// Most cells of a row, as a power of two.
const COLUMN_BITS: u8 = 6;
/// Most rows, as a power of two.
const ROW_BITS: u8 = 4;
/// A block of less than a cell is drawn itself down to a quarter of one.
const DETAIL_BITS: u8 = 2;
/// Width of a cell in the drawing; a quarter of it is still a whole number.
pub const CELL_WIDTH: u32 = 16;
/// Height of a row in the drawing, and of a cell of a Hilbert curve.
pub const ROW_HEIGHT: u32 = 22;

/// How networks are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Line by line.
    #[default]
    Rows,
    /// On a Hilbert curve.
    Hilbert,
}

/// How a window is cut into rows and cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The window.
    pub window: Cidr,
    layout: Layout,
    row_bits: u8,
    column_bits: u8,
}

/// How far a cell is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// The cell.
    pub cell: Cidr,
    /// Used part, from 0 to 1.
    pub used: f64,
    /// How many blocks lie in it; none if there are too many to count.
    pub blocks: Option<u32>,
}

/// A rectangle of the drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape<T> {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: u32,
    /// Down.
    pub height: u32,
    /// The network that it stands for.
    pub cidr: Cidr,
    /// What that is.
    pub what: What<T>,
}

/// What a rectangle stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum What<T> {
    /// One block.
    Block(T),
    /// A cell with several blocks, and how far it is used.
    Cell(Fill),
}

impl Grid {
    /// Cells as small as the smallest blocks, as long as that makes no more than 64 a row and 16 rows; no more than
    /// `cells` (a power of two) in all.
    pub fn new(window: Cidr, smallest: u8, cells: u32, layout: Layout) -> Self {
        let bits = smallest.saturating_sub(window.prefix_length());
        let most = u8::try_from(cells.max(1).ilog2()).unwrap_or(u8::MAX);
        let (row_bits, column_bits) = match layout {
            Layout::Rows => {
                // Rows before columns, so that there is room to write on a block; but few of them where many maps are.
                let bits = bits.min(most);
                let few = if most < ROW_BITS + COLUMN_BITS {
                    most.saturating_sub(COLUMN_BITS)
                } else {
                    ROW_BITS
                };
                let rows = bits.saturating_sub(ROW_BITS).min(few);
                (rows, (bits - rows).min(COLUMN_BITS))
            }
            // As high as wide.
            Layout::Hilbert => {
                let half = bits.min(ROW_BITS + COLUMN_BITS).min(most) / 2;
                (half, half)
            }
        };
        Self {
            window,
            layout,
            row_bits,
            column_bits,
        }
    }

    /// How networks are laid out.
    pub fn layout(self) -> Layout {
        self.layout
    }

    /// Prefix length of a row.
    pub fn row_length(self) -> u8 {
        self.window.prefix_length() + self.row_bits
    }

    /// Prefix length of a cell.
    pub fn cell_length(self) -> u8 {
        self.row_length() + self.column_bits
    }

    /// The network of each row.
    pub fn rows(self) -> impl Iterator<Item = Cidr> {
        self.pieces(self.row_length())
    }

    /// The network of each cell, in address order.
    pub fn cells(self) -> impl Iterator<Item = Cidr> {
        self.pieces(self.cell_length())
    }

    /// Width of a cell in the drawing.
    fn cell_width(self) -> u32 {
        match self.layout {
            Layout::Rows => CELL_WIDTH,
            Layout::Hilbert => ROW_HEIGHT,
        }
    }

    /// Width of the drawing.
    pub fn width(self) -> u32 {
        self.cell_width() << self.column_bits
    }

    /// Height of the drawing.
    pub fn height(self) -> u32 {
        ROW_HEIGHT << self.row_bits
    }

    /// What its rows and cells are, in words.
    pub fn legend(self) -> String {
        let cell = self.cell_length();
        match self.layout {
            Layout::Hilbert => format!("Each step along the curve is a /{cell}."),
            Layout::Rows if self.row_bits > 0 => {
                let row = self.row_length();
                format!("Each row is a /{row}, each step in it a /{cell}.")
            }
            Layout::Rows => format!("Each step is a /{cell}."),
        }
    }

    /// The networks of that length, in address order; of no longer ones than cells.
    pub fn pieces(self, length: u8) -> impl Iterator<Item = Cidr> {
        let host_bits = self.window.family().bits() - length;
        (0..1_u128 << (length - self.window.prefix_length())).map(move |index| {
            let first = self.window.number() + (index << host_bits);
            Cidr::from_number(self.window.family(), first, length)
        })
    }

    /// Draws blocks that lie in the window, or contain it, and do not overlap.
    pub fn draw<T>(self, blocks: impl IntoIterator<Item = (Cidr, T)>) -> Vec<Shape<T>> {
        let mut small: BTreeMap<Cidr, Vec<(Cidr, T)>> = BTreeMap::new();
        let mut shapes = Vec::new();
        for (cidr, block) in blocks {
            match cidr.ancestor(self.cell_length()) {
                Some(cell) if cell != cidr => small.entry(cell).or_default().push((cidr, block)),
                _ => shapes.push(self.shape(cidr, What::Block(block))),
            }
        }
        let visible = match self.layout {
            Layout::Rows => self.cell_length() + DETAIL_BITS,
            Layout::Hilbert => self.cell_length(),
        };
        for (cell, blocks) in small {
            if blocks.len() == 1
                || blocks
                    .iter()
                    .all(|(cidr, _)| cidr.prefix_length() <= visible)
            {
                let each = blocks.into_iter();
                shapes.extend(each.map(|(cidr, block)| self.shape(cidr, What::Block(block))));
            } else {
                let used = blocks.iter().map(|(cidr, _)| part(cell, *cidr)).sum();
                let blocks = u32::try_from(blocks.len()).ok();
                shapes.push(self.shape(cell, What::Cell(Fill { cell, used, blocks })));
            }
        }
        shapes.sort_by_key(|shape| shape.cidr);
        shapes
    }

    /// Draws cells of which only the use is known.
    pub fn draw_fills<T>(self, fills: impl IntoIterator<Item = Fill>) -> Vec<Shape<T>> {
        fills
            .into_iter()
            .filter(|fill| fill.used > 0.0)
            .map(|fill| self.shape(fill.cell, What::Cell(fill)))
            .collect()
    }

    /// The rectangle of a network inside the window; that of the window for one that contains it.
    pub fn shape<T>(self, cidr: Cidr, what: What<T>) -> Shape<T> {
        let seen = if cidr.contains(self.window) {
            self.window
        } else {
            cidr
        };
        let (x, y, width, height) = match self.layout {
            Layout::Rows => self.in_rows(seen),
            Layout::Hilbert => self.on_curve(seen),
        };
        Shape {
            x,
            y,
            width,
            height,
            cidr,
            what,
        }
    }

    /// Its first cell, and how far into that it begins.
    fn cell_of(self, cidr: Cidr) -> (u32, u128) {
        let cell_bits = self.window.family().bits() - self.cell_length();
        let offset = cidr.number().saturating_sub(self.window.number());
        // There are at most 1,024 cells.
        let cell = u32::try_from(offset.checked_shr(cell_bits.into()).unwrap_or_default());
        let inside = 1_u128
            .checked_shl(cell_bits.into())
            .map_or(offset, |size| offset & (size - 1));
        (cell.unwrap_or_default(), inside)
    }

    fn in_rows(self, cidr: Cidr) -> (u32, u32, u32, u32) {
        let (cell, inside) = self.cell_of(cidr);
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
            Some(smaller) => {
                // To the left where it begins, never thinner than the smallest step.
                let cell_bits = self.window.family().bits() - self.cell_length();
                let step = CELL_WIDTH >> DETAIL_BITS;
                let at = inside.checked_shr(cell_bits.saturating_sub(DETAIL_BITS).into());
                x += u32::try_from(at.unwrap_or_default())
                    .unwrap_or_default()
                    .min(3)
                    * step;
                width = (CELL_WIDTH >> smaller.min(DETAIL_BITS)).max(step);
            }
        }
        (x, row * ROW_HEIGHT, width, height)
    }

    fn on_curve(self, cidr: Cidr) -> (u32, u32, u32, u32) {
        let (cell, _) = self.cell_of(cidr);
        let bits = self.cell_length().saturating_sub(cidr.prefix_length());
        // The square that it is, or of which it is a half: where a half begins, the other ends.
        let side = 1_u32 << (bits / 2);
        let square = |first: u32| {
            let (x, y) = curve(self.row_bits, first);
            (x / side * side, y / side * side)
        };
        let (x, y) = square(cell);
        let (x2, y2) = if bits.is_multiple_of(2) {
            (x, y)
        } else {
            square(cell + side * side)
        };
        let size = ROW_HEIGHT;
        (
            x.min(x2) * size,
            y.min(y2) * size,
            (x.abs_diff(x2) + side) * size,
            (y.abs_diff(y2) + side) * size,
        )
    }
}

/// Where the Hilbert curve of that order is after so many steps.
fn curve(order: u8, steps: u32) -> (u32, u32) {
    let (mut x, mut y, mut rest) = (0_u32, 0_u32, steps);
    for bit in 0..order {
        let side = 1_u32 << bit;
        let right = 1 & (rest / 2);
        let down = 1 & (rest ^ right);
        if down == 0 {
            if right == 1 {
                (x, y) = (side - 1 - x, side - 1 - y);
            }
            (x, y) = (y, x);
        }
        x += side * right;
        y += side * down;
        rest /= 4;
    }
    (x, y)
}

impl<T> Shape<T> {
    /// Height of the used part of a cell, at least a line when anything is used.
    pub fn fill_height(&self) -> u32 {
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
}

/// Which part of `whole` a network inside it is.
pub fn part(whole: Cidr, inside: Cidr) -> f64 {
    let bits = inside.prefix_length().saturating_sub(whole.prefix_length());
    (-f64::from(bits)).exp2()
}

/// What is left of a window between blocks that do not overlap, as aligned networks that are as large as possible, in address
/// order.
pub fn gaps(window: Cidr, blocks: &[Cidr]) -> Vec<Cidr> {
    let mut gaps = Vec::new();
    let mut open = vec![window];
    while let Some(network) = open.pop() {
        let from = blocks.partition_point(|block| block.last() < network.first());
        match blocks.get(from).filter(|block| block.overlaps(network)) {
            None => gaps.push(network),
            Some(block) if block.contains(network) => {}
            Some(_) => {
                if let Some((low, high)) = network.halves() {
                    open.extend([high, low]);
                }
            }
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn mark(text: &str) -> (Cidr, ()) {
        (cidr(text), ())
    }

    fn rows(window: &str, smallest: u8, cells: u32) -> Grid {
        Grid::new(cidr(window), smallest, cells, Layout::Rows)
    }

    fn place(grid: Grid, text: &str) -> (u32, u32, u32, u32) {
        let shapes = grid.draw(vec![mark(text)]);
        assert_eq!(shapes.len(), 1);
        (shapes[0].x, shapes[0].y, shapes[0].width, shapes[0].height)
    }

    #[test]
    fn a_slash_16_has_16_rows_of_64_cells() {
        let grid = rows("10.0.0.0/16", 26, 1024);
        assert_eq!((grid.row_length(), grid.cell_length()), (20, 26));
        assert_eq!((grid.width(), grid.height()), (1024, 16 * ROW_HEIGHT));
        assert_eq!(grid.rows().nth(1), Some(cidr("10.0.16.0/20")));
        assert_eq!(grid.cells().last(), Some(cidr("10.0.255.192/26")));
        assert_eq!(place(grid, "10.0.0.0/26"), (0, 0, 16, ROW_HEIGHT));
        assert_eq!(
            place(grid, "10.0.17.64/26"),
            (5 * 16, ROW_HEIGHT, 16, ROW_HEIGHT)
        );
        assert_eq!(
            place(grid, "10.0.16.0/20"),
            (0, ROW_HEIGHT, 1024, ROW_HEIGHT)
        );
        assert_eq!(
            place(grid, "10.0.64.0/18"),
            (0, 4 * ROW_HEIGHT, 1024, 4 * ROW_HEIGHT)
        );
        assert_eq!(place(grid, "10.0.0.0/16"), (0, 0, 1024, 16 * ROW_HEIGHT));
    }

    #[test]
    fn a_range_of_few_blocks_has_few_cells() {
        let grid = rows("10.0.0.0/24", 26, 1024);
        assert_eq!((grid.width(), grid.height()), (4 * 16, ROW_HEIGHT));
        let grid = rows("10.0.0.0/28", 26, 1024);
        assert_eq!((grid.width(), grid.height()), (16, ROW_HEIGHT));
        assert_eq!(place(grid, "10.0.0.0/28"), (0, 0, 16, ROW_HEIGHT));
        let grid = rows("10.0.0.0/8", 32, 128);
        assert_eq!((grid.cells().count(), grid.rows().count()), (128, 2));
    }

    #[test]
    fn an_ipv6_range_is_drawn_relative_to_itself() {
        let grid = rows("2001:db8::/32", 64, 1024);
        assert_eq!(grid.cell_length(), 42);
        assert_eq!(place(grid, "2001:db8:40::/42"), (16, 0, 16, ROW_HEIGHT));
        assert_eq!(place(grid, "2001:db8::/64"), (0, 0, 4, ROW_HEIGHT));
        let grid = rows("::/0", 128, 1024);
        assert_eq!(grid.cells().count(), 1024);
        assert_eq!(
            place(grid, "ffc0::/10"),
            (63 * 16, 15 * ROW_HEIGHT, 16, ROW_HEIGHT)
        );
    }

    #[test]
    fn small_blocks_of_one_cell_become_one_shape() {
        let grid = rows("10.0.0.0/8", 26, 1024);
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
        let grid = rows("10.0.0.0/16", 26, 1024);
        let fill = |used| Fill {
            cell: cidr("10.0.0.0/26"),
            used,
            blocks: None,
        };
        assert_eq!(grid.draw_fills::<()>([fill(0.0)]), []);
        assert_eq!(grid.draw_fills::<()>([fill(0.0001)])[0].fill_height(), 2);
        assert_eq!(
            grid.draw_fills::<()>([fill(1.0)])[0].fill_height(),
            ROW_HEIGHT
        );
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

    #[test]
    fn an_aligned_network_is_a_square_or_two_on_the_curve() {
        let window = cidr("10.0.0.0/16");
        let grid = Grid::new(window, 26, 1024, Layout::Hilbert);
        let size = ROW_HEIGHT;
        assert_eq!((grid.width(), grid.height()), (32 * size, 32 * size));
        let cells: Vec<_> = grid.cells().map(|cell| grid.on_curve(cell)).collect();
        // One step along the curve is one step on the map.
        for pair in cells.windows(2) {
            let (dx, dy) = (pair[0].0.abs_diff(pair[1].0), pair[0].1.abs_diff(pair[1].1));
            assert_eq!(dx + dy, size);
        }
        for length in 16..=26 {
            for network in grid.pieces(length) {
                let (x, y, width, height) = grid.on_curve(network);
                let bits = 26 - length;
                let area = u64::from(width) * u64::from(height);
                assert_eq!(area, u64::from(size * size) << bits, "{network}");
                assert!(width.max(height) <= 2 * width.min(height), "{network}");
                let inside = grid
                    .cells()
                    .zip(&cells)
                    .filter(|(cell, _)| network.contains(*cell));
                for (cell, (cell_x, cell_y, ..)) in inside {
                    let right = (x..x + width).contains(cell_x);
                    assert!(
                        right && (y..y + height).contains(cell_y),
                        "{cell} of {network}"
                    );
                }
            }
        }
        let odd = Grid::new(cidr("10.0.0.0/17"), 26, 1024, Layout::Hilbert);
        assert_eq!(odd.cells().count(), 256);
        // What is smaller than a cell is summed up, and what is larger than the window is all of it.
        assert!(matches!(
            odd.draw([mark("10.0.0.0/26"), mark("10.0.0.64/26")])[0].what,
            What::Cell(_)
        ));
        let all = odd.draw([mark("10.0.0.0/15")]);
        assert_eq!((all[0].width, all[0].height), (odd.width(), odd.height()));
    }

    proptest! {
        #[test]
        fn the_drawing_shows_each_address_where_it_is(blocks in blocks(), smallest in 16_u8..=32, cells in 0_u32..12) {
            let range = cidr("10.0.0.0/16");
            let grid = Grid::new(range, smallest, 1 << cells, Layout::Rows);
            let marks = blocks.iter().map(|block| (*block, ()));
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

        #[test]
        fn gaps_and_blocks_are_all_there_is(mut blocks in blocks()) {
            blocks.sort();
            let window = cidr("10.0.0.0/16");
            let gaps = gaps(window, &blocks);
            let all: u128 = gaps.iter().chain(&blocks).map(|part| part.addresses()).sum();
            prop_assert_eq!(all, 65_536);
            for (index, gap) in gaps.iter().enumerate() {
                prop_assert!(blocks.iter().all(|block| !block.overlaps(*gap)));
                // As large as possible: no two of them are halves of one.
                prop_assert!(gaps.get(index + 1).is_none_or(|next| gap.buddy() != Some(*next)));
            }
        }
    }
}
