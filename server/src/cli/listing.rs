//! What reading commands print: things as a table, as CSV, as JSON, or only their names; sorted by any column.

use std::num::NonZeroUsize;

use serde::Serialize;

use super::{
    output::{self, Align, Failure, Table, printable},
    screen::Screen,
    value::Value,
};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people: aligned columns, cut to the width of a terminal
    #[default]
    Table,
    /// For spreadsheets: every column, whole
    Csv,
    /// Only names, one a line, as other commands take them
    Name,
    /// For programs: everything there is
    Json,
}

/// How a command prints what it did or found.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// How to print
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        value_name = "FORM",
        default_value_t
    )]
    form: Form,
    /// Print JSON: short for -o json
    #[arg(long, conflicts_with = "form")]
    json: bool,
}

impl Output {
    /// The wanted form.
    pub fn form(&self) -> Form {
        if self.json { Form::Json } else { self.form }
    }

    /// Refuses the forms that leave out a secret, which nobody could ever see again.
    ///
    /// # Errors
    /// With -o name and -o csv.
    pub fn check_shows_secret(&self) -> Result<(), Failure> {
        match self.form() {
            Form::Table | Form::Json => Ok(()),
            Form::Name | Form::Csv => Err(Failure::Usage(
                "this makes a secret that is shown only once, and -o name and -o csv would leave it out: use -o table or -o json"
                    .to_owned(),
            )),
        }
    }

    /// One thing, or what was done to it; `text` is what people read.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn one<T: Serialize>(
        &self,
        thing: &T,
        columns: &[Column<T>],
        name: impl Fn(&T) -> String,
        text: impl FnOnce() -> String,
    ) -> Result<String, Failure> {
        match self.form() {
            Form::Table => Ok(text()),
            Form::Json => output::json(thing),
            Form::Name => Ok(printable(&name(thing)) + "\n"),
            Form::Csv => csv(&[thing], &columns.iter().collect::<Vec<_>>()),
        }
    }
}

/// How a list is printed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListOutput {
    #[command(flatten)]
    pub output: Output,
    /// Sort by these columns; -COLUMN sorts backwards
    #[arg(
        long,
        value_name = "COLUMN",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    sort: Vec<String>,
    /// Show these columns, in this order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
}

impl ListOutput {
    /// In that form, with every column in the order of the things.
    pub fn of(form: Form) -> Self {
        let output = Output { form, json: false };
        Self {
            output,
            ..Self::default()
        }
    }

    /// How many things are read for a list that ends after so many, and after how many it ends. The first in another order
    /// than that of the server are known only when all are.
    pub fn amounts(&self, limit: Option<NonZeroUsize>) -> (usize, usize) {
        let most = limit.map_or(usize::MAX, NonZeroUsize::get);
        match self.sort.is_empty() {
            true => (most, most),
            false => (usize::MAX, most),
        }
    }

    /// Whether people want it as the command shows it, without any say in the columns or their order.
    pub fn is_plain_table(&self) -> bool {
        self.output.form() == Form::Table && self.sort.is_empty() && self.columns.is_empty()
    }

    /// Refuses to sort and to choose columns where everything is printed as the server has it.
    ///
    /// # Errors
    /// When either is asked for.
    pub fn check_whole(&self) -> Result<(), Failure> {
        if self.sort.is_empty() && self.columns.is_empty() {
            return Ok(());
        }
        Err(Failure::Usage(
            "--sort and --columns have no effect on this with -o json: leave them out, or use -o csv"
                .to_owned(),
        ))
    }

    /// The columns that were asked for, if any were.
    fn chosen<'a, T>(
        &self,
        columns: &'a [Column<T>],
    ) -> Result<Option<Vec<&'a Column<T>>>, Failure> {
        if self.columns.is_empty() {
            return Ok(None);
        }
        if matches!(self.output.form(), Form::Json | Form::Name) {
            return Err(Failure::Usage(
                "--columns has no effect with -o json and -o name: leave it out, or use -o csv"
                    .to_owned(),
            ));
        }
        let names = self.columns.iter();
        names
            .map(|name| find(columns, name))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Things in their order, at most `most` of them. `more` says that there were more to begin with.
    ///
    /// # Errors
    /// When there is no such column, or it can't be written.
    pub fn many<T: Serialize>(
        &self,
        mut things: Vec<T>,
        of: &Things<'_, T>,
        most: usize,
        more: bool,
    ) -> Result<String, Failure> {
        let columns = of.columns;
        let chosen = self.chosen(columns)?;
        sort(&mut things, columns, &self.sort)?;
        let more = more || things.len() > most;
        things.truncate(most);
        match self.output.form() {
            Form::Json => output::json(&things),
            Form::Name => Ok(things
                .iter()
                .map(|thing| printable(&(of.name)(thing)) + "\n")
                .collect()),
            Form::Csv => {
                let columns = chosen.unwrap_or_else(|| columns.iter().collect());
                csv(&things.iter().collect::<Vec<_>>(), &columns)
            }
            Form::Table if things.is_empty() => Ok(format!("No {}\n", of.nothing)),
            Form::Table => {
                let all = chosen.is_some();
                let narrow = || columns.iter().filter(|column| !column.wide).collect();
                let columns = chosen.unwrap_or_else(narrow);
                let text = table(&things, &columns, all, Screen::stdout());
                Ok(text + if more { "and perhaps more\n" } else { "" })
            }
        }
    }
}

/// How things of one kind are printed.
#[derive(Debug)]
pub struct Things<'a, T> {
    /// What is shown of each.
    pub columns: &'a [Column<T>],
    /// Its name alone.
    pub name: fn(&T) -> String,
    /// What there are none of, if there are none.
    pub nothing: &'a str,
}

/// A column of a list of things.
#[derive(Debug)]
pub struct Column<T> {
    /// Its name in a CSV file, and for sorting.
    pub name: &'static str,
    /// Whether it is too much for a table of many things.
    wide: bool,
    cell: fn(&T) -> Value,
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<T> {}

impl<T> Column<T> {
    /// With what it shows of each thing.
    pub const fn new(name: &'static str, cell: fn(&T) -> Value) -> Self {
        Self {
            name,
            wide: false,
            cell,
        }
    }

    /// One that a table of many things leaves out.
    pub const fn wide(name: &'static str, cell: fn(&T) -> Value) -> Self {
        Self {
            name,
            wide: true,
            cell,
        }
    }
}

/// Everything about one thing, a line each; what it does not have is left out.
pub fn facts<T>(thing: &T, columns: &[Column<T>]) -> String {
    let mut table = Table::new([Align::Left, Align::Left]);
    for column in columns {
        let value = (column.cell)(thing).shown();
        if !value.is_empty() {
            table.row([column.name.replace('_', " "), value]);
        }
    }
    table.text(0)
}

fn find<'a, T>(columns: &'a [Column<T>], name: &str) -> Result<&'a Column<T>, Failure> {
    let asked = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let found = columns.iter().find(|column| column.name == asked);
    found.ok_or_else(|| {
        let names: Vec<_> = columns.iter().map(|column| column.name).collect();
        Failure::Usage(format!(
            "there is no column {name:?}; there are {}",
            names.join(", ")
        ))
    })
}

fn sort<T>(things: &mut [T], columns: &[Column<T>], by: &[String]) -> Result<(), Failure> {
    let mut keys = Vec::new();
    for name in by {
        let (backwards, name) = match name.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, name.as_str()),
        };
        keys.push((find(columns, name)?, backwards));
    }
    things.sort_by(|one, other| {
        let orders = keys.iter().map(|(column, backwards)| {
            let (one, other) = ((column.cell)(one), (column.cell)(other));
            let order = one.compare(&other);
            // What has no value stays at the end.
            let both = one != Value::None && other != Value::None;
            if *backwards && both {
                order.reverse()
            } else {
                order
            }
        });
        orders
            .into_iter()
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(())
}

/// One thing of a list that is still growing, on a line of its own; `heading` says whether it is the first.
///
/// # Errors
/// When there is no such column, or it can't be written.
pub fn line<T: Serialize>(
    how: &ListOutput,
    thing: &T,
    columns: &[Column<T>],
    name: impl Fn(&T) -> String,
    heading: bool,
) -> Result<String, Failure> {
    let chosen = how.chosen(columns)?;
    let text = match how.output.form() {
        Form::Json => {
            let text = serde_json::to_string(thing);
            text.map_err(|error| Failure::Refused(format!("cannot write JSON: {error}")))?
        }
        Form::Name => printable(&name(thing)),
        Form::Csv => {
            let columns = chosen.unwrap_or_else(|| columns.iter().collect());
            let text = csv(&[thing], &columns)?;
            let rows = text.split_once('\n').map_or("", |(_, rows)| rows);
            return Ok(if heading { text } else { rows.to_owned() });
        }
        Form::Table => {
            let narrow = || columns.iter().filter(|column| !column.wide).collect();
            let cells: Vec<_> = chosen
                .unwrap_or_else(narrow)
                .iter()
                .map(|column| (column.cell)(thing).shown())
                .collect();
            let mut table = Table::new(vec![Align::Left; cells.len()]);
            table.row(cells);
            let mut screen = Screen::stdout();
            screen.colours = false;
            return Ok(table.headed(screen));
        }
    };
    Ok(text + "\n")
}

/// A heading and a line for each thing. Columns in which nothing stands are left out, unless all are wanted.
fn table<T>(things: &[T], columns: &[&Column<T>], all: bool, screen: Screen) -> String {
    let mut cells: Vec<(String, Align, Vec<String>)> = Vec::new();
    for column in columns {
        let values: Vec<Value> = things.iter().map(column.cell).collect();
        let texts: Vec<String> = values.iter().map(Value::shown).collect();
        if !all && texts.iter().all(String::is_empty) {
            continue;
        }
        let numbers = values
            .iter()
            .all(|value| value.is_number() || *value == Value::None);
        let align = if numbers { Align::Right } else { Align::Left };
        let heading = column.name.to_uppercase().replace('_', " ");
        cells.push((heading, align, texts));
    }
    let mut table = Table::new(cells.iter().map(|column| column.1).collect::<Vec<_>>());
    table.row(cells.iter().map(|column| column.0.clone()));
    for row in 0..things.len() {
        table.row(
            cells
                .iter()
                .map(|column| column.2.get(row).cloned().unwrap_or_default()),
        );
    }
    table.headed(screen)
}

/// A CSV file with a heading.
fn csv<T>(things: &[&T], columns: &[&Column<T>]) -> Result<String, Failure> {
    let rows = things
        .iter()
        .map(|thing| columns.iter().map(|column| (column.cell)(thing).written()));
    let heading = columns.iter().map(|column| column.name);
    lines(heading, rows)
}

/// Rows of a CSV file below a heading.
fn lines(
    heading: impl Iterator<Item = &'static str>,
    rows: impl Iterator<Item = impl Iterator<Item = String>>,
) -> Result<String, Failure> {
    let failed = |error: csv::Error| Failure::Refused(format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(heading).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| {
        let error = error.into_error();
        Failure::Refused(format!("cannot write CSV: {error}"))
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<(&str, Option<u64>)>] = &[
        Column::new("name", |it| it.0.into()),
        Column::new("used_space", |it| Value::of(it.1)),
    ];

    fn shown(words: &str, things: &[(&'static str, Option<u64>)]) -> Result<String, Failure> {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            output: ListOutput,
        }
        let words = std::iter::once("list").chain(words.split_whitespace());
        let cli: Cli = clap::Parser::try_parse_from(words)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let of = Things {
            columns: COLUMNS,
            name: |it| it.0.to_owned(),
            nothing: "things",
        };
        cli.output.many(things.to_vec(), &of, 10, false)
    }

    #[test]
    fn a_list_is_printed_in_each_form() {
        let things = [("b", Some(1000)), ("a", None), ("=c", Some(30))];
        assert_eq!(
            shown("", &things).unwrap(),
            "NAME  USED SPACE\nb          1,000\na\n=c            30\n"
        );
        assert_eq!(
            shown("-o csv --sort used_space", &things).unwrap(),
            "name,used_space\n'=c,30\nb,1000\na,\n"
        );
        assert_eq!(
            shown("-o name --sort -used-space", &things).unwrap(),
            "b\n=c\na\n"
        );
        assert_eq!(
            shown("--columns used_space,name --sort name", &things[..2]).unwrap(),
            "USED SPACE  NAME\n            a\n     1,000  b\n"
        );
        assert_eq!(shown("", &[]).unwrap(), "No things\n");
        assert_eq!(shown("-o csv", &[]).unwrap(), "name,used_space\n");
        assert_eq!(shown("--json", &[]).unwrap(), "[]\n");
        // A column in which nothing stands is left out.
        assert_eq!(shown("", &things[1..2]).unwrap(), "NAME\na\n");
        for words in ["--sort colour", "--columns name,colour"] {
            let failure = shown(words, &things).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(
                failure.to_string().contains("name, used_space"),
                "{failure}"
            );
        }
        assert!(shown("--json -o csv", &[]).is_err());
    }
}
