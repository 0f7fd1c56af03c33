//! Reads a list from CSV, as forces export it: any of four delimiters, several encodings, two layouts, and lines
//! that are broken.

use std::borrow::Cow;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::Serialize;

use super::entry::{Entry, Priority};
use crate::plate::Vrm;

/// What was said of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The line's number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sheet {
    /// The good lines, in the file's order.
    pub entries: Vec<Entry>,
    /// Good lines of which something could not be used.
    pub corrected: Vec<Remark>,
    /// Lines that could not be used.
    pub refused: Vec<Remark>,
}

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
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

impl Sheet {
    /// Reads the bytes of a file. Where a line names no priority, the entry gets `priority`.
    ///
    /// # Errors
    /// A clause saying why no line of it can be read.
    pub fn read(bytes: &[u8], priority: Priority) -> Result<Self, String> {
        let text = decode(bytes);
        if text.trim().is_empty() {
            return Err("it is empty".into());
        }
        let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        let layout = Layout::of(&lines)?;
        let mut sheet = Self::default();
        let mut next = layout.first;
        while next < lines.len() {
            let number = next as u64 + 1;
            if lines[next].trim().is_empty() {
                next += 1;
                continue;
            }
            match layout.record(&lines[next..]) {
                Ok((fields, used)) => {
                    next += used;
                    let mut remarks = Vec::new();
                    match layout.entry(&fields, priority, &mut remarks) {
                        Ok(entry) => {
                            sheet.entries.push(entry);
                            if !remarks.is_empty() {
                                sheet.corrected.push(Remark { line: number, reason: remarks.join("; ") });
                            }
                        }
                        Err(reason) => sheet.refused.push(Remark { line: number, reason }),
                    }
                }
                Err(reason) => {
                    next += 1;
                    sheet.refused.push(Remark { line: number, reason });
                }
            }
        }
        Ok(sheet)
    }
}

/// The text of `bytes`: UTF-8 or UTF-16 by their byte order mark, UTF-8 if it is, else Latin-1.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        char::decode_utf16(bytes.chunks_exact(2).map(|pair| number([pair[0], pair[1]])))
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes).into(),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes).into(),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) => text.into(),
            Err(_) => rest.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
        },
    }
}

/// How the lines of a file are made.
struct Layout {
    delimiter: char,
    /// What each column means.
    columns: Vec<String>,
    /// The index of the first line that is not a header.
    first: usize,
}

impl Layout {
    fn of(lines: &[&str]) -> Result<Self, String> {
        let full = || lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((header, _)) = full().next() else { return Err("it is empty".into()) };
        for delimiter in DELIMITERS {
            if let Ok((fields, used)) = split(&lines[header..], delimiter) {
                let columns: Vec<String> = fields.iter().map(|field| column_name(field)).collect();
                if columns.iter().filter(|name| *name == "vrm").count() == 1 {
                    return Ok(Self { delimiter, columns, first: header + used });
                }
                if columns.iter().filter(|name| *name == "vrm").count() > 1 {
                    return Err("its header names the VRM's column twice".into());
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
        match DELIMITERS.map(|delimiter| (fitting(delimiter), delimiter)).into_iter().max_by_key(|(lines, _)| *lines) {
            Some((1.., delimiter)) => {
                Ok(Self { delimiter, columns: HEADERLESS.map(str::to_owned).to_vec(), first: header })
            }
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
        let vrm = self.columns.iter().position(|name| name == "vrm").and_then(|index| fields.get(index));
        let vrm =
            Vrm::parse(vrm.map_or("", |field| field.trim())).map_err(|why| format!("its VRM cannot be used: {why}"))?;
        let mut entry = Entry { priority, ..Entry::bare(vrm) };
        for (name, field) in self.columns.iter().zip(fields) {
            let text = field.trim();
            let mut date = |place: &mut Option<DateTime<Utc>>, end_of_day: bool| {
                if !text.is_empty() {
                    *place = parse_date(text, end_of_day);
                    if place.is_none() {
                        remarks.push(format!("{name}: {text:?} is not a date"));
                    }
                }
            };
            match name.as_str() {
                "vrm" => {}
                "added" => date(&mut entry.added, false),
                "confirmed" => date(&mut entry.confirmed, false),
                "expires" => date(&mut entry.expires, true),
                "priority" if text.is_empty() => {}
                "priority" => match Priority::parse(text) {
                    Some(priority) => entry.priority = priority,
                    None => {
                        remarks.push(format!("priority: {text:?} is none of high, medium, low; {priority} is taken"))
                    }
                },
                "reason" => text.clone_into(&mut entry.reason),
                "action" => text.clone_into(&mut entry.action),
                "make" => text.clone_into(&mut entry.make),
                "model" => text.clone_into(&mut entry.model),
                "colour" => text.clone_into(&mut entry.colour),
                "markers" => text.clone_into(&mut entry.markers),
                "source" => text.clone_into(&mut entry.source),
                "note" => text.clone_into(&mut entry.note),
                _ if text.is_empty() => {}
                _ => entry.extra.push((name.clone(), text.to_owned())),
            }
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
        return Err(format!("it has {} bytes, more than {LONGEST_LINE}", first.len()));
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

    fn read(text: impl AsRef<[u8]>) -> Sheet {
        Sheet::read(text.as_ref(), Priority::Medium).expect("a list")
    }

    fn vrms(sheet: &Sheet) -> Vec<&str> {
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
            "vrm,reason,note\n\nAB12CDE,stolen,x\nAB?2CDE,stolen,x\n,stolen,x\nABCDEFGHIJKLMN,s,x\nCD34EFG,cut\n\
             EF56GHI,\"never closed,x\nGH78IJK,stolen,x\nIJ90KLM,stolen,x,,\nKL12MNO,a,b,c\n",
        );
        assert_eq!(vrms(&sheet), ["AB12CDE", "GH78IJK", "IJ90KLM"]);
        let refused: Vec<_> = sheet.refused.iter().map(|remark| (remark.line, remark.reason.as_str())).collect();
        assert_eq!(
            refused,
            [
                (4, "its VRM cannot be used: it contains '?', which no plate shows"),
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
        for delimiter in [",", ";", "\t", "|"] {
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
    fn a_file_that_is_no_list_says_why() {
        for (bytes, why) in [
            (&b""[..], "it is empty"),
            (b"\xef\xbb\xbf \r\n\n", "it is empty"),
            (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a header naming"),
            (b"AB12CDE\nCD34EFG\n", "not a header naming"),
            (b"vrm,plate\nA1,A2\n", "twice"),
        ] {
            let refused = Sheet::read(bytes, Priority::Medium).expect_err(why);
            assert!(refused.contains(why), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(header in prop_oneof![Just(&b"vrm,reason,note\n"[..]), Just(&b""[..])],
                                 bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\n')], 0..2000)) {
            if let Ok(sheet) = Sheet::read(&[header, &bytes[..]].concat(), Priority::Low) {
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
