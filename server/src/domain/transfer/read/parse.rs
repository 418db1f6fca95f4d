//! From the bytes of a file to records with their lines. Knows the formats of files, and nothing of what is stored.

use ipam_shared::api::transfer::{COLUMNS, Format, Kind, Record};
use serde_json::value::RawValue;

use crate::{
    domain::{
        check_description,
        reservation::check_reason,
        transfer::findings::{Findings, Problem},
    },
    error::{Error, Result},
    json::Strict,
};

/// A record, and the line on which it begins.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) line: u64,
    pub(crate) record: Record,
}

/// Maximum number of records in one file: as many as fit if each has only a CIDR and two letters.
const MAX_RECORDS: usize = 3_000_000;

/// Reads a file. A problem with one record is a conflict; a problem with the whole file is an error.
pub(super) fn parse(bytes: &[u8], format: Format, findings: &mut Findings) -> Result<Vec<Line>> {
    // Spreadsheet programs begin their files with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + newlines(bytes.get(..error.valid_up_to()).unwrap_or_default());
        Error::invalid(format!(
            "line {line} is not UTF-8; save the file as UTF-8 (in a spreadsheet: \"CSV UTF-8\")"
        ))
    })?;
    if text.contains('\0') {
        return Err(Error::invalid(
            "the file has a NUL character; it is not a text file",
        ));
    }
    let lines = match format {
        Format::Csv => csv(text, findings)?,
        Format::Json if text.trim_start().starts_with('[') => array(text, findings)?,
        Format::Json => json_lines(text, findings)?,
    };
    if lines.is_empty() && findings.is_empty() {
        return Err(Error::invalid("the file has no records"));
    }
    Ok(lines)
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn too_many() -> Error {
    Error::invalid(format!(
        "the file has more than {MAX_RECORDS} records; import it in parts"
    ))
}

/// A table whose first line names the columns.
fn csv(text: &str, findings: &mut Findings) -> Result<Vec<Line>> {
    let header = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    // Where the comma is the decimal point, spreadsheet programs separate by semicolon.
    let delimiter = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|delimiter| {
            let count = header.bytes().filter(|byte| byte == delimiter).count();
            // On a tie the last one would win; the comma should.
            (count, *delimiter == b',')
        })
        .unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(text.as_bytes());
    check_quotes(text, delimiter)?;
    let columns = columns(reader.headers().map_err(|error| broken(&error))?)?;
    let mut lines = Vec::new();
    let mut row = csv::StringRecord::new();
    let (mut line, mut seen) = (1, 0);
    while reader
        .read_record(&mut row)
        .map_err(|error| broken(&error))?
    {
        // The reader's own count is off after empty lines, so lines are counted up to where the record begins.
        let begin = row.position().map_or(0, csv::Position::byte);
        let begin = usize::try_from(begin).unwrap_or_default();
        let skipped = text.as_bytes().get(begin..).unwrap_or_default();
        let begin = begin
            + skipped
                .iter()
                .take_while(|byte| matches!(**byte, b'\r' | b'\n'))
                .count();
        line += newlines(text.as_bytes().get(seen..begin).unwrap_or_default());
        seen = begin;
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if lines.len() >= MAX_RECORDS {
            return Err(too_many());
        }
        // Programs leave out, or add, empty cells at the end of a line.
        if row
            .iter()
            .skip(columns.len())
            .any(|cell| !cell.trim().is_empty())
        {
            let detail = format!(
                "the line has {} cells, but the first line names {} columns; put cells that contain the separator in \
                 double quotes",
                row.len(),
                columns.len()
            );
            findings.add(line, Problem::bad_value(detail));
            continue;
        }
        let mut record = Record::default();
        let mut whole = true;
        for (column, cell) in columns.iter().zip(&row) {
            if cell.trim().is_empty() {
                continue;
            }
            if let Err(problem) = record.set(column, cell) {
                whole = false;
                findings.add(line, Problem::bad_value(format!("{column}: {problem}")));
            }
        }
        push(&mut lines, line, record, whole, findings);
    }
    Ok(lines)
}

/// Refuses quotes that don't come in pairs. The reader would take everything up to the next quote, or to the end of the
/// file, for one cell.
fn check_quotes(text: &str, delimiter: u8) -> Result<()> {
    enum At {
        Start,
        Plain,
        /// In quotes, which were opened on that line.
        Quoted(u64),
        /// After a quote within quotes: the end of the cell, or the first half of an escaped quote.
        Closed(u64),
    }
    let (mut at, mut line) = (At::Start, 1_u64);
    for byte in text.bytes() {
        let ends = byte == delimiter || matches!(byte, b'\r' | b'\n');
        at = match at {
            At::Start if byte == b'"' => At::Quoted(line),
            At::Quoted(opened) if byte == b'"' => At::Closed(opened),
            At::Quoted(opened) => At::Quoted(opened),
            At::Closed(opened) if byte == b'"' => At::Quoted(opened),
            At::Closed(opened) if !ends => {
                return Err(Error::invalid(format!(
                    "line {opened}: the cell that begins with a double quote there ends with one on line {line}, but text \
                     follows; close the quote at the end of its cell, and write a quote that is meant twice"
                )));
            }
            _ if ends => At::Start,
            _ => At::Plain,
        };
        line += u64::from(byte == b'\n');
    }
    match at {
        At::Quoted(opened) => Err(Error::invalid(format!(
            "line {opened}: a double quote is opened there and never closed; close it at the end of its cell, and write a \
             quote that is meant twice"
        ))),
        _ => Ok(()),
    }
}

/// The columns that a header names, whatever their case.
fn columns(header: &csv::StringRecord) -> Result<Vec<&'static str>> {
    let mut columns: Vec<&'static str> = Vec::with_capacity(header.len());
    for cell in header {
        let name = cell.trim().to_lowercase().replace([' ', '-'], "_");
        let known = COLUMNS.iter().find(|column| column.name == name);
        let Some(column) = known else {
            let all: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
            return Err(Error::invalid(format!(
                "there is no column {:?}; the columns are {}",
                cell.trim(),
                all.join(", ")
            )));
        };
        if columns.contains(&column.name) {
            return Err(Error::invalid(format!(
                "the column {:?} is there twice",
                column.name
            )));
        }
        columns.push(column.name);
    }
    if columns.is_empty() {
        return Err(Error::invalid(
            "the file is empty; its first line names the columns, such as cidr,vpc,name",
        ));
    }
    Ok(columns)
}

fn broken(error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    Error::invalid(format!("line {line} is not CSV: {error}"))
}

/// One object a line.
fn json_lines(text: &str, findings: &mut Findings) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (index, json) in text.lines().enumerate() {
        if !json.trim().is_empty() {
            object(json, index as u64 + 1, &mut lines, findings)?;
        }
    }
    Ok(lines)
}

/// One array of objects.
fn array(text: &str, findings: &mut Findings) -> Result<Vec<Line>> {
    let items: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("line {} is not JSON: {error}", error.line())))?;
    let mut lines = Vec::new();
    let (mut line, mut seen) = (1, 0);
    for item in items {
        // The items are slices of the text, in their order.
        let offset = (item.get().as_ptr().addr()).saturating_sub(text.as_ptr().addr());
        line += newlines(text.as_bytes().get(seen..offset).unwrap_or_default());
        seen = offset;
        object(item.get(), line, &mut lines, findings)?;
    }
    Ok(lines)
}

fn object(json: &str, line: u64, lines: &mut Vec<Line>, findings: &mut Findings) -> Result<()> {
    if lines.len() >= MAX_RECORDS {
        return Err(too_many());
    }
    match serde_json::from_str::<Strict<Record>>(json) {
        Ok(Strict(record)) => push(lines, line, record, true, findings),
        Err(error) => {
            // Serde's own line counts within the record.
            let text = error.to_string();
            let text = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(text, _)| text);
            findings.add(line, Problem::bad_value(text));
        }
    }
    Ok(())
}

/// Keeps a record if nothing is wrong with its values, one by one.
fn push(lines: &mut Vec<Line>, line: u64, record: Record, whole: bool, findings: &mut Findings) {
    let kind = record.kind.as_str();
    let (misplaced, missing) = (record.misplaced(), missing(&record));
    let problem = if !misplaced.is_empty() {
        let columns = misplaced.join(", ");
        Some(format!(
            "a record of kind {kind} has no {columns}; leave it empty, or correct the kind"
        ))
    } else if !missing.is_empty() {
        // A cell that could not be read does not count as missing.
        whole.then(|| format!("a record of kind {kind} needs {}", missing.join(", ")))
    } else {
        text_problem(&record)
    };
    match problem {
        Some(problem) => findings.add(line, Problem::bad_value(problem).about(record.cidr)),
        None if whole => lines.push(Line { line, record }),
        None => {}
    }
}

/// The required columns of its kind that the record lacks.
fn missing(record: &Record) -> Vec<&'static str> {
    macro_rules! missing {
        ($($column:ident)+) => {{
            let mut missing = Vec::new();
            $(if record.$column.is_none() {
                missing.push(stringify!($column));
            })+
            missing
        }};
    }
    match record.kind {
        Kind::Vrf => missing!(vrf),
        Kind::Pool => missing!(pool),
        Kind::ProfileMember => missing!(profile role pool),
        Kind::Vpc => missing!(vpc),
        Kind::Allocation => missing!(cidr vpc),
        Kind::Reservation => missing!(cidr reason),
        Kind::Cooldown => missing!(pool cidr vpc role id since until),
        Kind::PastBlock => missing!(pool cidr id since until),
    }
}

/// What is wrong with free text.
fn text_problem(record: &Record) -> Option<String> {
    let description = record.description.as_deref().map(check_description);
    let reason = record.reason.as_deref().map(check_reason);
    if let Some(Err(error)) = description.into_iter().chain(reason).find(Result::is_err) {
        return Some(error.to_string());
    }
    for (column, text) in [("created_by", &record.created_by), ("role", &record.role)] {
        if let Some(text) = text
            && (text.is_empty() || text.chars().count() > 256 || text.chars().any(char::is_control))
        {
            return Some(format!(
                "{column} has 1 to 256 characters, and no control characters"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines with what is said of them.
    type Said = Vec<(u64, String)>;

    fn read(text: &str, format: Format) -> (Said, Said) {
        let mut findings = Findings::default();
        let lines = parse(text.as_bytes(), format, &mut findings).unwrap();
        let show = |line: Line| {
            let cidr = line.record.cidr.map(|cidr| cidr.to_string());
            (
                line.line,
                format!("{} {}", cidr.unwrap_or_default(), line.record.kind.as_str()),
            )
        };
        let (found, _) = findings.finish();
        (
            lines.into_iter().map(show).collect(),
            found
                .into_iter()
                .map(|conflict| (conflict.line, conflict.detail))
                .collect(),
        )
    }

    fn refusal(text: &str, format: Format) -> String {
        parse(text.as_bytes(), format, &mut Findings::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_spreadsheet_is_read_whoever_saved_it() {
        let expected = vec![
            (2, "10.0.0.0/24 allocation".to_owned()),
            (5, "10.0.1.0/24 allocation".to_owned()),
        ];
        for text in [
            "CIDR,Vpc,name,Deletion Protection\n10.0.0.0/24,prod,\"a\nb\",yes\n,,,\n10.0.1.0/24,prod,b\n",
            "\u{feff}cidr;vpc;description\r\n10.0.0.0/24;prod;\"a\r\nb\"\r\n\r\n10.0.1.0/24;prod;b;\r\n",
            "cidr\tvpc\tdescription\n10.0.0.0/24\tprod\t\"a\nb\"\n\n10.0.1.0/24\tprod\tb\t\t\n",
        ] {
            let (lines, conflicts) = read(text, Format::Csv);
            // A name with a line feed is not one.
            if text.starts_with("CIDR") {
                assert_eq!(lines, expected[1..]);
                assert!(
                    conflicts[0].1.contains("name: a name can't contain"),
                    "{conflicts:?}"
                );
                assert_eq!(conflicts[0].0, 2);
            } else {
                assert_eq!((lines, conflicts), (expected.clone(), vec![]));
            }
        }
    }

    #[test]
    fn json_is_read_as_lines_and_as_an_array() {
        let first = r#"{"cidr":"10.0.0.0/24","vpc":"a"}"#;
        let second = r#"{"kind":"reservation","cidr":"10.0.1.0/24","reason":"r"}"#;
        let expected = vec![
            (1, "10.0.0.0/24 allocation".to_owned()),
            (3, "10.0.1.0/24 reservation".to_owned()),
        ];
        for text in [
            format!("{first}\n\n{second}\n"),
            format!("[{first},\n\n{second}]"),
        ] {
            assert_eq!(
                read(&text, Format::Json),
                (expected.clone(), vec![]),
                "{text}"
            );
        }
        let (_, conflicts) = read(&format!("{first}\n{{\"cdir\":1}}\n{{"), Format::Json);
        assert_eq!(conflicts[0].0, 2);
        assert!(
            conflicts[0].1.contains("unknown field `cdir`"),
            "{conflicts:?}"
        );
        assert_eq!(conflicts[1].0, 3);
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said_with_its_line() {
        assert!(refusal("cidr,vpc,colour\n", Format::Csv).contains("no column \"colour\""));
        assert!(refusal("cidr,vpc,CIDR\n", Format::Csv).contains("twice"));
        assert!(refusal("", Format::Csv).contains("empty"));
        assert!(refusal("cidr,vpc\n", Format::Csv).contains("no records"));
        assert!(refusal("[{}\n", Format::Json).contains("not JSON"));
        let error = parse(b"cidr,vpc\n1,\xff\n", Format::Csv, &mut Findings::default());
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("line 2 is not UTF-8")
        );
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_with_its_line() {
        let head = "cidr,vpc,description\n10.0.0.0/24,a,\"two\nlines, \"\"quoted\"\"\"\n";
        for (rest, line, words) in [
            // It would swallow all that follows.
            ("10.0.1.0/24,a,\"open\n10.0.2.0/24,a,b\n", 4, "never closed"),
            ("10.0.1.0/24,a,b\n10.0.2.0/24,a,\"", 5, "never closed"),
            (
                "10.0.1.0/24,a,\"open\"\"\n10.0.2.0/24,a,b\n",
                4,
                "never closed",
            ),
            // It would swallow what comes before the next one.
            ("10.0.1.0/24,a,\"open\n10.0.2.0/24,a,\"b\"\n", 4, "line 5"),
            ("10.0.1.0/24,a,\"shut\" b\n", 4, "line 4"),
        ] {
            for text in [
                format!("{head}{rest}"),
                format!("{head}{rest}").replace('\n', "\r\n"),
            ] {
                let said = refusal(&text, Format::Csv);
                assert!(
                    said.starts_with(&format!("line {line}:")) && said.contains(words),
                    "{text:?}: {said}"
                );
            }
        }
        assert!(refusal("cidr,\"vpc\n10.0.0.0/24,a\n", Format::Csv).starts_with("line 1:"));
        // Inside of a cell that does not begin with one, a quote is a character.
        let (lines, conflicts) = read(
            "cidr,vpc,description\n10.0.0.0/24,a,12\" rack\n10.0.1.0/24,a,\"\"\n",
            Format::Csv,
        );
        assert_eq!((lines.len(), conflicts), (2, vec![]));
    }

    #[test]
    fn everything_wrong_with_a_record_is_a_conflict_of_its_line() {
        let text = "kind,cidr,vpc,reason,reserved_addresses\n,10.0.0.1/24,a,,\n,10.0.0.0/24,,,\nreservation,10.0.0.0/24,a,r,\n\
                    pod,10.0.0.0/24,a,,\n,10.0.0.0/24,a,,x\n,10.0.0.0/24,a,,,,extra\n";
        let (lines, conflicts) = read(text, Format::Csv);
        assert!(lines.is_empty());
        let expected = [
            (2, "host bits set"),
            (3, "needs vpc"),
            (4, "has no vpc"),
            (5, "not one of vrf"),
            (6, "reserved_addresses"),
            (7, "7 cells"),
        ];
        assert_eq!(conflicts.len(), expected.len(), "{conflicts:?}");
        for ((line, words), (found, detail)) in expected.into_iter().zip(conflicts) {
            assert_eq!(line, found, "{detail}");
            assert!(detail.contains(words), "{detail}");
        }
    }
}
