//! Reads a list from CSV, as forces export it: any delimiter, several encodings, two layouts, and lines that are broken.
//! Line by line: of the largest file no more is held than a few lines.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::Serialize;

use super::entry::{Entry, Priority};
use super::mark::Mark;

/// What was said of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The line's number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The likelier first: of two that fit alike the first is taken.
const DELIMITERS: [char; 10] = [',', ';', '\t', '|', ':', '~', '^', '#', '!', '\u{1f}'];
/// Lines that are looked at to find out the delimiter and the layout.
const PROBED: usize = 50;
/// A quoted text may go on over so many lines; a quote that is never closed costs only its own line.
const LONGEST_QUOTE: usize = 8;
/// Bytes of a line; more is not a line of a list.
const LONGEST_LINE: usize = 16 * 1024;

/// The columns of the layout without a header ("BOF 16-column"), by the names used here; those that have no place
/// in an [`Entry`] are kept as extra columns.
const HEADERLESS: [&str; 16] = [
    "vrm", "make", "model", "colour", "action", "markers", "reason", "nim_code", "note", "source", "expires", "pnc_id",
    "marking", "cad", "spare_1", "spare_2",
];

/// One record of a file.
pub(super) enum Row {
    /// A good line, and what of it could not be used.
    Entry(Box<Entry>, Option<Remark>),
    /// A line that cannot be used.
    Refused(Remark),
}

/// Why a file is no list.
pub(super) enum Trouble {
    /// It cannot be read.
    Io(io::Error),
    /// A clause saying what is wrong with it.
    NoList(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file whose layout is known.
pub(super) struct Sheet<R> {
    lines: Lines<R>,
    layout: Layout,
    priority: Priority,
}

impl<R: Read> Sheet<R> {
    /// Finds out how the file is made. Where a line names no priority, the entry gets `priority`.
    pub(super) fn open(reader: R, priority: Priority) -> Result<Self, Trouble> {
        let mut lines = Lines::of(reader)?;
        lines.skip_blank()?;
        lines.fill(PROBED + LONGEST_QUOTE)?;
        if lines.ahead.is_empty() {
            return Err(Trouble::NoList("it is empty".into()));
        }
        let (layout, header) = Layout::of(&lines.texts(lines.ahead.len())).map_err(Trouble::NoList)?;
        lines.take(header);
        Ok(Self { lines, layout, priority })
    }

    /// How many bytes of the file were taken in so far.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.reader.get_ref().get_ref().1.bytes
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        self.lines.skip_blank()?;
        let number = self.lines.number;
        let Some(first) = self.lines.ahead.front() else { return Ok(None) };
        let wanted = if first.contains('"') { LONGEST_QUOTE } else { 1 };
        self.lines.fill(wanted)?;
        let texts = self.lines.texts(wanted);
        let mut remarks = Vec::new();
        let (row, used) = match self.layout.record(&texts) {
            Ok((fields, used)) => (self.layout.entry(&fields, self.priority, &mut remarks), used),
            Err(reason) => (Err(reason), 1),
        };
        self.lines.take(used);
        Ok(Some(match row {
            Ok(entry) => {
                let remark = (!remarks.is_empty()).then(|| Remark { line: number, reason: remarks.join("; ") });
                Row::Entry(Box::new(entry), remark)
            }
            Err(reason) => Row::Refused(Remark { line: number, reason }),
        }))
    }
}

/// Makes a number of the two bytes of UTF-16, whichever comes first.
type Number = fn([u8; 2]) -> u16;

/// Counts what is read.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// The lines of a file as text: UTF-16 by its byte order mark, else each line UTF-8 if it is, and Latin-1 if not.
struct Lines<R> {
    reader: BufReader<io::Chain<io::Cursor<Vec<u8>>, Counted<R>>>,
    wide: Option<Number>,
    ahead: VecDeque<String>,
    /// The number of the first line in `ahead`, from 1.
    number: u64,
    ended: bool,
}

impl<R: Read> Lines<R> {
    fn of(mut reader: R) -> io::Result<Self> {
        let mut start = Vec::new();
        reader.by_ref().take(3).read_to_end(&mut start)?;
        let (mark, wide): (usize, Option<Number>) = match start[..] {
            [0xff, 0xfe, ..] => (2, Some(u16::from_le_bytes)),
            [0xfe, 0xff, ..] => (2, Some(u16::from_be_bytes)),
            [0xef, 0xbb, 0xbf] => (3, None),
            _ => (0, None),
        };
        let reader = BufReader::with_capacity(
            256 << 10,
            io::Cursor::new(start.split_off(mark)).chain(Counted { reader, bytes: 3 }),
        );
        Ok(Self { reader, wide, ahead: VecDeque::new(), number: 1, ended: false })
    }

    /// Reads on until so many lines lie ahead, or the end is reached.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.ahead.len() < wanted && !self.ended {
            let line = match self.wide {
                None => self.narrow()?,
                Some(number) => self.wide(number)?,
            };
            let Some(mut line) = line else {
                self.ended = true;
                break;
            };
            if line.ends_with('\r') {
                line.pop();
            }
            self.ahead.push_back(line);
        }
        Ok(())
    }

    /// The next line of bytes. Of one that is longer than a line may be only the beginning is kept.
    fn narrow(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::with_capacity(128);
        if self.reader.by_ref().take(LONGEST_LINE as u64 + 2).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else {
            self.skip_until_newline()?;
        }
        Ok(Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
        }))
    }

    fn skip_until_newline(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.reader.fill_buf()?;
            let (used, done) = match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (bytes.len(), bytes.is_empty()),
            };
            self.reader.consume(used);
            if done {
                return Ok(());
            }
        }
    }

    fn wide(&mut self, number: Number) -> io::Result<Option<String>> {
        let (mut units, mut any) = (Vec::new(), false);
        loop {
            let mut pair = Vec::with_capacity(2);
            if self.reader.by_ref().take(2).read_to_end(&mut pair)? < 2 {
                break;
            }
            any = true;
            match number([pair[0], pair[1]]) {
                0x0a => break,
                unit if units.len() <= LONGEST_LINE => units.push(unit),
                _ => {}
            }
        }
        let text = || char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Ok(any.then(text))
    }

    /// Takes blank lines away, so that one with text is the first ahead, or none is left.
    fn skip_blank(&mut self) -> io::Result<()> {
        loop {
            self.fill(1)?;
            match self.ahead.front() {
                Some(line) if line.trim().is_empty() => self.take(1),
                _ => return Ok(()),
            }
        }
    }

    fn take(&mut self, lines: usize) {
        let lines = lines.min(self.ahead.len());
        self.ahead.drain(..lines);
        self.number += lines as u64;
    }

    /// The first lines ahead, `wanted` at most.
    fn texts(&self, wanted: usize) -> Vec<&str> {
        self.ahead.iter().take(wanted).map(String::as_str).collect()
    }
}

/// How the lines of a file are made.
struct Layout {
    delimiter: char,
    /// What each column means.
    columns: Vec<Column>,
}

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Vrm,
    Reason,
    Priority,
    Action,
    Make,
    Model,
    Colour,
    Class,
    Country,
    Markers,
    Source,
    Added,
    Confirmed,
    Expires,
    Note,
    /// Something else, kept under its name.
    Other(String),
}

impl Column {
    fn named(name: &str) -> Self {
        match name {
            "vrm" => Self::Vrm,
            "reason" => Self::Reason,
            "priority" => Self::Priority,
            "action" => Self::Action,
            "make" => Self::Make,
            "model" => Self::Model,
            "colour" => Self::Colour,
            "class" => Self::Class,
            "country" => Self::Country,
            "markers" => Self::Markers,
            "source" => Self::Source,
            "added" => Self::Added,
            "confirmed" => Self::Confirmed,
            "expires" => Self::Expires,
            "note" => Self::Note,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Layout {
    /// The layout of a file that begins with these lines, the first of which has text; and how many lines its header takes.
    fn of(lines: &[&str]) -> Result<(Self, usize), String> {
        let full = || lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty());
        for delimiter in DELIMITERS {
            if let Ok((fields, used)) = split(lines, delimiter) {
                let columns: Vec<Column> = fields.iter().map(|field| Column::named(&column_name(field))).collect();
                match columns.iter().filter(|column| **column == Column::Vrm).count() {
                    0 => {}
                    1 => return Ok((Self { delimiter, columns }, used)),
                    _ => return Err("its header names the VRM's column twice".into()),
                }
            }
        }
        let fitting = |delimiter: char| {
            full()
                .take(PROBED)
                .filter(|(index, _)| {
                    split(&lines[*index..], delimiter).is_ok_and(|(fields, _)| fields.len() == HEADERLESS.len())
                })
                .count()
        };
        let fitting = DELIMITERS.map(|delimiter| (fitting(delimiter), delimiter));
        match fitting.into_iter().rev().max_by_key(|(lines, _)| *lines) {
            Some((1.., delimiter)) => Ok((Self { delimiter, columns: HEADERLESS.map(Column::named).to_vec() }, 0)),
            _ => Err(
                "its first line is not a header naming a column \"vrm\", and no line has the 16 columns of the layout \
                 without a header"
                    .into(),
            ),
        }
    }

    /// The fields of the record at the start of `lines`, and how many lines it takes.
    fn record<'a>(&self, lines: &[&'a str]) -> Result<(Vec<Cow<'a, str>>, usize), String> {
        let (mut fields, used) = split(lines, self.delimiter)?;
        let wanted = self.columns.len();
        while fields.len() > wanted && fields.last().is_some_and(|field| field.trim().is_empty()) {
            fields.pop();
        }
        match fields.len() {
            found if found == wanted => Ok((fields, used)),
            found => Err(format!("it has {found} columns where there should be {wanted}")),
        }
    }

    fn entry(&self, fields: &[Cow<'_, str>], priority: Priority, remarks: &mut Vec<String>) -> Result<Entry, String> {
        let vrm = self.columns.iter().position(|column| *column == Column::Vrm).and_then(|index| fields.get(index));
        let vrm = Mark::parse(vrm.map_or("", |field| field.trim()))
            .map_err(|why| format!("its VRM cannot be used: {why}"))?;
        let mut entry = Entry { priority, ..Entry::bare(vrm) };
        let mut date = |name: &str, text: &str, end_of_day: bool| {
            let date = parse_date(text, end_of_day);
            if date.is_none() {
                remarks.push(format!("{name}: {text:?} is not a date"));
            }
            date
        };
        let mut strange = None;
        for (column, field) in self.columns.iter().zip(fields) {
            let text = field.trim();
            if text.is_empty() {
                continue;
            }
            match column {
                Column::Vrm => {}
                Column::Added => entry.added = date("added", text, false),
                Column::Confirmed => entry.confirmed = date("confirmed", text, false),
                Column::Expires => entry.expires = date("expires", text, true),
                Column::Priority => match Priority::parse(text) {
                    Some(priority) => entry.priority = priority,
                    None => strange = Some(text.to_owned()),
                },
                Column::Reason => text.clone_into(&mut entry.reason),
                Column::Action => text.clone_into(&mut entry.action),
                Column::Make => text.clone_into(&mut entry.make),
                Column::Model => text.clone_into(&mut entry.model),
                Column::Colour => text.clone_into(&mut entry.colour),
                Column::Class => text.clone_into(&mut entry.class),
                Column::Country => text.clone_into(&mut entry.country),
                Column::Markers => text.clone_into(&mut entry.markers),
                Column::Source => text.clone_into(&mut entry.source),
                Column::Note => text.clone_into(&mut entry.note),
                Column::Other(name) => entry.extra.push((name.clone(), text.to_owned())),
            }
        }
        if let Some(text) = strange {
            remarks.push(format!("priority: {text:?} is none of high, medium, low; {priority} is taken"));
        }
        Ok(entry)
    }
}

/// A column's name as it is known here.
fn column_name(header: &str) -> String {
    let name = header.trim().to_lowercase().replace([' ', '-'], "_");
    match name.as_str() {
        "registration" | "reg" | "vrn" | "plate" | "vehicle_registration_mark" => "vrm".into(),
        "color" => "colour".into(),
        _ => name,
    }
}

/// Splits the record at the start of `lines`: its fields, and how many lines it takes.
fn split<'a>(lines: &[&'a str], delimiter: char) -> Result<(Vec<Cow<'a, str>>, usize), String> {
    let Some(first) = lines.first() else { return Err("there is no line".into()) };
    if first.len() > LONGEST_LINE {
        return Err(format!("it has more than {LONGEST_LINE} bytes"));
    }
    if !first.contains('"') {
        return Ok((first.split(delimiter).map(Cow::Borrowed).collect(), 1));
    }
    let mut record = String::new();
    for (used, line) in lines.iter().take(LONGEST_QUOTE).enumerate() {
        if record.len() + line.len() > LONGEST_LINE {
            break;
        }
        record.push_str(line);
        record.push('\n');
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter as u8)
            .from_reader(record.as_bytes());
        let fields: Vec<String> = match reader.records().next() {
            Some(Ok(fields)) => fields.iter().map(str::to_owned).collect(),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("it is empty".into()),
        };
        // The line's own end is part of a field only while a quote is open.
        if !fields.last().is_some_and(|field| field.ends_with('\n')) {
            return Ok((fields.into_iter().map(Cow::Owned).collect(), used + 1));
        }
    }
    Err("a quote is opened and not closed".into())
}

/// A date as lists write it. Without a zone it is taken for UTC; without a time it is the start of the day, or its
/// end.
fn parse_date(text: &str, end_of_day: bool) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return sane(time.to_utc());
    }
    const DATES: [&str; 5] = ["%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d"];
    for format in DATES {
        if let Ok(date) = NaiveDate::parse_from_str(text, format) {
            let day = if end_of_day { date.checked_add_days(Days::new(1))? } else { date };
            if let Some(time) = sane(day.and_time(NaiveTime::MIN).and_utc()) {
                return Some(time);
            }
        }
        for time in [" %H:%M:%S", " %H:%M", "T%H:%M:%S"] {
            if let Ok(time) = NaiveDateTime::parse_from_str(text, &format!("{format}{time}"))
                && let Some(time) = sane(time.and_utc())
            {
                return Some(time);
            }
        }
    }
    None
}

/// Years that a list can mean.
fn sane(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    use chrono::Datelike;
    (1950..2200).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a whole file holds.
    #[derive(Default)]
    struct Whole {
        entries: Vec<Entry>,
        corrected: Vec<Remark>,
        refused: Vec<Remark>,
    }

    fn whole(bytes: &[u8], priority: Priority) -> Result<Whole, String> {
        let mut whole = Whole::default();
        let mut sheet = Sheet::open(bytes, priority).map_err(|trouble| match trouble {
            Trouble::Io(error) => error.to_string(),
            Trouble::NoList(why) => why,
        })?;
        while let Some(row) = sheet.next().map_err(|error| error.to_string())? {
            match row {
                Row::Entry(entry, remark) => {
                    whole.entries.push(*entry);
                    whole.corrected.extend(remark);
                }
                Row::Refused(remark) => whole.refused.push(remark),
            }
        }
        assert_eq!(sheet.bytes(), bytes.len().max(3) as u64, "all of it was taken in");
        Ok(whole)
    }

    fn read(text: impl AsRef<[u8]>) -> Whole {
        whole(text.as_ref(), Priority::Medium).expect("a list")
    }

    fn vrms(sheet: &Whole) -> Vec<&str> {
        sheet.entries.iter().map(|entry| entry.vrm.as_str()).collect()
    }

    fn day(text: &str) -> Option<DateTime<Utc>> {
        Some(format!("{text}T00:00:00Z").parse().expect("a day"))
    }

    #[test]
    fn a_header_names_the_columns_in_any_order_and_others_are_kept() {
        let sheet = read(
            "Reason,VRM,priority,Colour,expires,added,Ticket No\nstolen,ab12 cde,HIGH,red,2026-12-31,31/10/2026,77\nno tax,A1,,,,,\n",
        );
        assert_eq!((vrms(&sheet), sheet.refused.len(), sheet.corrected.len()), (vec!["AB12CDE", "A1"], 0, 0));
        let first = &sheet.entries[0];
        assert_eq!((first.reason.as_str(), first.priority, first.colour.as_str()), ("stolen", Priority::High, "red"));
        // A weed date is a whole day.
        assert_eq!((first.expires, first.added), (day("2027-01-01"), day("2026-10-31")));
        assert_eq!(first.extra, [("ticket_no".to_owned(), "77".to_owned())]);
        assert_eq!((sheet.entries[1].priority, &sheet.entries[1].extra), (Priority::Medium, &vec![]));
    }

    #[test]
    fn the_layout_without_a_header() {
        let sheet = read(
            "AB12CDE,FORD,FOCUS,BLUE,STOP,FI VI,Stolen,511,\"Keep back, wait\",42AB,31/12/2026,00/123,Unclassified,C1,,\r\n\
             CD34EFG,,,,SILENT,,Information,,,,,,,,,\r\n",
        );
        assert_eq!(vrms(&sheet), ["AB12CDE", "CD34EFG"]);
        let entry = &sheet.entries[0];
        assert_eq!(
            [
                &entry.make,
                &entry.model,
                &entry.colour,
                &entry.action,
                &entry.markers,
                &entry.reason,
                &entry.note,
                &entry.source
            ],
            ["FORD", "FOCUS", "BLUE", "STOP", "FI VI", "Stolen", "Keep back, wait", "42AB"]
        );
        assert_eq!(entry.expires, day("2027-01-01"));
        let extra: Vec<_> = entry.extra.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(extra, [("nim_code", "511"), ("pnc_id", "00/123"), ("marking", "Unclassified"), ("cad", "C1")]);
    }

    #[test]
    fn broken_lines_are_refused_by_number_and_the_others_load() {
        let sheet = read(
            "vrm,reason,note\n\nAB12CDE,stolen,x\nAB_2CDE,stolen,x\n,stolen,x\nABCDEFGHIJKLMN,s,x\nCD34EFG,cut\n\
             EF56GHI,\"never closed,x\nGH78IJK,stolen,x\nIJ90KLM,stolen,x,,\nKL12MNO,a,b,c\n",
        );
        assert_eq!(vrms(&sheet), ["AB12CDE", "GH78IJK", "IJ90KLM"]);
        let refused: Vec<_> = sheet.refused.iter().map(|remark| (remark.line, remark.reason.as_str())).collect();
        assert_eq!(
            refused,
            [
                (4, "its VRM cannot be used: it contains '_', which no plate shows"),
                (5, "its VRM cannot be used: it is empty"),
                (6, "its VRM cannot be used: it has 14 characters, more than 12"),
                (7, "it has 2 columns where there should be 3"),
                (8, "a quote is opened and not closed"),
                (11, "it has 4 columns where there should be 3"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_used_of_a_good_line_is_said() {
        let sheet = read("vrm;priority;expires\nAB12CDE;urgent;soon\nCD34EFG;3;2026-12-31 12:30\n");
        assert_eq!(sheet.entries.len(), 2);
        assert_eq!(sheet.corrected.len(), 1);
        assert_eq!(sheet.corrected[0].line, 2);
        assert!(
            sheet.corrected[0].reason.contains("\"urgent\"")
                && sheet.corrected[0].reason.contains("\"soon\" is not a date")
        );
        assert_eq!(sheet.entries[1].expires.map(|t| t.to_rfc3339()), Some("2026-12-31T12:30:00+00:00".into()));
    }

    #[test]
    fn a_quoted_text_may_hold_delimiters_quotes_and_lines() {
        let sheet =
            read("vrm,note,reason\r\nAB12CDE,\"two\r\nlines, and \"\"quotes\"\"\",stolen\r\nCD34EFG,6\" dent,x\r\n");
        assert_eq!(vrms(&sheet), ["AB12CDE", "CD34EFG"]);
        assert_eq!(sheet.entries[0].note, "two\nlines, and \"quotes\"");
        assert_eq!(sheet.entries[1].note, "6\" dent");
    }

    #[test]
    fn delimiters_and_encodings_are_found_out() {
        for delimiter in [",", ";", "\t", "|", "~", "#"] {
            let text = ["vrm", "make"].join(delimiter) + "\r\n" + &["AB12CDE", "CITRO\u{cb}N"].join(delimiter);
            let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
            let wide: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
            for bytes in [text.as_bytes().to_vec(), format!("\u{feff}{text}").into_bytes(), latin, wide] {
                let sheet = read(&bytes);
                assert_eq!(sheet.entries.len(), 1, "{delimiter:?}");
                assert_eq!(sheet.entries[0].make, "CITRO\u{cb}N");
            }
        }
    }

    #[test]
    fn patterns_classes_and_countries_are_kept() {
        let sheet = read("vrm,class,country\nab?2*,car,GB\n?*,car,GB\n");
        assert_eq!(vrms(&sheet), ["AB?2*"]);
        assert_eq!((sheet.entries[0].class.as_str(), sheet.entries[0].country.as_str()), ("car", "GB"));
        assert!(sheet.refused[0].reason.contains("names no character"), "{}", sheet.refused[0].reason);
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_only_itself() {
        let text = format!("vrm,note\nAB12CDE,{}\nCD34EFG,x\n", "x".repeat(10 * LONGEST_LINE));
        let sheet = read(&text);
        assert_eq!((vrms(&sheet), sheet.refused[0].line), (vec!["CD34EFG"], 2));
        assert!(sheet.refused[0].reason.contains("more than"), "{}", sheet.refused[0].reason);
    }

    #[test]
    fn a_file_that_is_no_list_says_why() {
        for (bytes, why) in [
            (&b""[..], "it is empty"),
            (b"\xef\xbb\xbf \r\n\n", "it is empty"),
            (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a header naming"),
            (b"AB12CDE\nCD34EFG\n", "not a header naming"),
            (b"vrm,plate\nA1,A2\n", "twice"),
        ] {
            let refused = whole(bytes, Priority::Medium).err().expect(why);
            assert!(refused.contains(why), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(header in prop_oneof![Just(&b"vrm,reason,note\n"[..]), Just(&b""[..])],
                                 bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\n')], 0..2000)) {
            if let Ok(sheet) = whole(&[header, &bytes[..]].concat(), Priority::Low) {
                let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 2;
                prop_assert!(sheet.entries.len() + sheet.refused.len() <= lines);
                prop_assert!(sheet.refused.is_sorted_by_key(|remark| remark.line));
            }
        }

        #[test]
        fn what_was_written_is_read_back(rows in proptest::collection::vec(("[A-Z0-9]{1,12}", "[ -~\u{e0}-\u{ff}\n]{0,20}", "[ -~]{0,20}"), 1..30)) {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record(["vrm", "note", "reason"]).expect("written");
            for (vrm, note, reason) in &rows {
                writer.write_record([vrm, note, reason]).expect("written");
            }
            let bytes = writer.into_inner().expect("written");
            let sheet = read(&bytes);
            // A text over more lines than LONGEST_QUOTE is refused, whatever follows.
            if rows.iter().all(|(_, note, _)| note.matches('\n').count() < LONGEST_QUOTE) {
                prop_assert_eq!(sheet.entries.len(), rows.len());
                for (entry, (vrm, note, reason)) in sheet.entries.iter().zip(&rows) {
                    prop_assert_eq!((entry.vrm.as_str(), entry.note.as_str(), entry.reason.as_str()), (vrm.as_str(), note.trim(), reason.trim()));
                }
            }
        }
    }
}
