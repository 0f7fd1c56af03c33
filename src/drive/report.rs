//! What was read against what was there: the demo's last word.
//!
//! Reads are given to passes as a scorer of vehicle passes does it: by time, then by likeness.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::fault::{Fault, Kind, Result};

/// Seconds before and after a pass in which a read may still be its own.
const BEFORE: f64 = 0.3;
const AFTER: f64 = 1.5;

/// One line that a unit put out. A later row of the same id corrects the earlier one; an empty text withdraws it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The read's name, if it has one.
    pub id: Option<String>,
    /// Seconds of the film at which it was put out.
    pub t: f64,
    /// The text, spaces or not.
    pub text: String,
    /// Seconds of the film of the first look; `t` if unknown.
    pub first_seen: Option<f64>,
    /// Seconds of the film of the last look; `t` if unknown.
    pub last_seen: Option<f64>,
}

/// One vehicle pass of a truth file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TruePass {
    /// Its number.
    pub pass: u32,
    /// The VRM.
    pub text: String,
    /// Seconds at which its plate is first seen.
    pub t0: f64,
    /// Seconds at which its plate is last seen.
    pub t1: f64,
    /// Whether it is dark.
    pub night: bool,
    /// Shape of the vehicle or name of the picture.
    #[serde(default)]
    pub file: String,
}

/// A truth file.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Length of the film in seconds.
    pub seconds: f64,
    /// The vehicle passes.
    pub passes: Vec<TruePass>,
}

impl Truth {
    /// Reads the text of a truth file.
    ///
    /// # Errors
    /// Kind `Damaged` with the number of the line that is not what it should be.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut seconds, mut passes) = (None, Vec::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let damaged = |why: String| {
                Fault::new(Kind::Damaged, "this is not a line of a drive's truth")
                    .at(format!("line {}", number + 1))
                    .because(why)
            };
            let value: Value = serde_json::from_str(line).map_err(|e| damaged(e.to_string()))?;
            if let Some(drive) = value.get("drive") {
                seconds = Some(drive["duration_s"].as_f64().ok_or_else(|| damaged("it has no duration_s".into()))?);
            } else if seconds.is_none() {
                return Err(damaged("the first line does not describe the drive".into()));
            } else {
                passes.push(serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?);
            }
        }
        match (seconds, passes.is_empty()) {
            (Some(seconds), false) => Ok(Self { seconds, passes }),
            _ => Err(Fault::new(Kind::Damaged, "a drive's truth names no vehicle pass")),
        }
    }
}

/// How one pass was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PassResult {
    /// The pass.
    pub pass: TruePass,
    /// The texts of its reads, in the order in which they were put out.
    pub texts: Vec<String>,
    /// Whether a read is at most half wrong.
    pub captured: bool,
    /// Whether a read is exactly right.
    pub exact: bool,
}

/// Reads against the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// One for each pass.
    pub passes: Vec<PassResult>,
    /// Passes with a read that is at most half wrong.
    pub captured: usize,
    /// Passes with a read that is exactly right.
    pub exact: usize,
    /// Reads beyond the first of the same pass.
    pub extra: usize,
    /// Reads of a pass that are not exactly its text.
    pub wrong: usize,
    /// Texts of reads that belong to no pass.
    pub strays: Vec<String>,
}

impl Report {
    /// How many reads belong to no pass.
    pub fn false_reads(&self) -> usize {
        self.strays.len()
    }
}

struct Said {
    t: f64,
    text: String,
    from: f64,
    to: f64,
}

/// Compares what a unit put out with the truth.
pub fn report(truth: &Truth, rows: &[Row]) -> Report {
    let mut passes: Vec<PassResult> = truth
        .passes
        .iter()
        .map(|pass| PassResult { pass: pass.clone(), texts: Vec::new(), captured: false, exact: false })
        .collect();
    let mut strays = Vec::new();
    let (mut extra, mut wrong) = (0, 0);
    for said in last_words(rows) {
        let mut best: Option<(usize, f64, f64, usize)> = None;
        for (i, result) in passes.iter().enumerate() {
            let pass = &result.pass;
            let overlap = said.to.min(pass.t1 + AFTER) - said.from.max(pass.t0 - BEFORE);
            if overlap < 0.0 {
                continue;
            }
            let edits = distance(&said.text, &letters(&pass.text));
            let better = best.is_none_or(|(e, o, t0, _)| {
                edits.cmp(&e).then((-overlap).total_cmp(&-o)).then(pass.t0.total_cmp(&t0)).is_lt()
            });
            if better {
                best = Some((edits, overlap, pass.t0, i));
            }
        }
        match best {
            None => strays.push(said.text),
            Some((edits, _, _, i)) => {
                let result = &mut passes[i];
                extra += usize::from(!result.texts.is_empty());
                wrong += usize::from(edits > 0);
                result.captured |= 2 * edits <= letters(&result.pass.text).len();
                result.exact |= edits == 0;
                result.texts.push(said.text);
            }
        }
    }
    let captured = passes.iter().filter(|p| p.captured).count();
    let exact = passes.iter().filter(|p| p.exact).count();
    Report { passes, captured, exact, extra, wrong, strays }
}

/// Rows of one id become its last row, said when that text was first said and not changed since.
fn last_words(rows: &[Row]) -> Vec<Said> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by(|a, b| a.t.total_cmp(&b.t));
    let mut said: Vec<Said> = Vec::new();
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        let text = letters(&row.text);
        let (a, b) = (row.first_seen.unwrap_or(row.t), row.last_seen.unwrap_or(row.t));
        let (from, to) = (a.min(b), a.max(b));
        match row.id.as_deref().and_then(|id| latest.get(id).copied()) {
            Some(i) => {
                let before = &mut said[i];
                before.t = if before.text == text { before.t } else { row.t };
                before.from = before.from.min(from);
                (before.text, before.to) = (text, to);
            }
            None => {
                if let Some(id) = row.id.as_deref() {
                    latest.insert(id, said.len());
                }
                said.push(Said { t: row.t, text, from, to });
            }
        }
    }
    said.retain(|s| !s.text.is_empty());
    said.sort_by(|a, b| a.t.total_cmp(&b.t));
    said
}

fn letters(text: &str) -> String {
    text.chars().map(|c| c.to_ascii_uppercase()).filter(char::is_ascii_alphanumeric).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swap = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.passes {
            let mark = match (result.exact, result.captured, result.texts.is_empty()) {
                (true, ..) => "read",
                (_, true, _) => "misread",
                (_, _, true) => "missed",
                _ => "other",
            };
            let others: Vec<&str> =
                result.texts.iter().map(String::as_str).filter(|t| *t != letters(&result.pass.text)).collect();
            let when = if result.pass.night { "night" } else { "day" };
            write!(f, "{:>6.1} s  {:<8} {:<13} {when:<5} {mark}", result.pass.t1, result.pass.text, result.pass.file)?;
            writeln!(
                f,
                "{}",
                if others.is_empty() { String::new() } else { format!(", also read as {}", others.join(", ")) }
            )?;
        }
        for text in &self.strays {
            writeln!(f, "           {text} was read where no plate is")?;
        }
        write!(
            f,
            "{} vehicles passed: {} captured, {} read exactly; {} extra reads, {} wrong, {} false.",
            self.passes.len(),
            self.captured,
            self.exact,
            self.extra,
            self.wrong,
            self.false_reads()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        let pass =
            |pass, text: &str, t0, t1| TruePass { pass, text: text.into(), t0, t1, night: false, file: String::new() };
        Truth {
            seconds: 30.0,
            passes: vec![pass(0, "ZK52HRW", 1.0, 3.0), pass(1, "U482KRV", 3.5, 6.0), pass(2, "HKR482U", 12.0, 14.0)],
        }
    }

    fn row(id: &str, t: f64, text: &str, from: f64, to: f64) -> Row {
        Row {
            id: (!id.is_empty()).then(|| id.into()),
            t,
            text: text.into(),
            first_seen: Some(from),
            last_seen: Some(to),
        }
    }

    #[test]
    fn reads_go_to_the_pass_they_resemble_and_strays_to_none() {
        let rows = [
            row("a", 3.1, "ZK52 HRW", 1.2, 3.0),
            row("b", 3.9, "U482KRV", 2.9, 3.6),
            row("c", 6.5, "U482KRY", 4.0, 6.0),
            row("", 20.0, "ABC", 20.0, 20.0),
        ];
        let report = report(&truth(), &rows);
        assert_eq!((report.captured, report.exact, report.extra, report.wrong, report.false_reads()), (2, 2, 1, 1, 1));
        assert_eq!(report.passes[1].texts, ["U482KRV", "U482KRY"]);
        assert!(report.to_string().contains("missed"));
    }

    #[test]
    fn the_last_row_of_an_id_counts_and_an_empty_one_withdraws() {
        let rows = [
            row("a", 2.0, "ZK52HRV", 1.2, 2.0),
            row("a", 3.0, "ZK52HRW", 1.2, 3.0),
            row("b", 5.0, "XXXX", 4.0, 5.0),
            row("b", 5.5, "", 4.0, 5.0),
        ];
        let report = report(&truth(), &rows);
        assert_eq!((report.exact, report.extra, report.wrong, report.false_reads()), (1, 0, 0, 0));
    }

    #[test]
    fn a_read_half_wrong_is_captured_and_one_more_wrong_is_not() {
        let half = report(&truth(), &[row("", 2.0, "ZK52XXX", 1.5, 2.0)]);
        assert_eq!((half.captured, half.exact, half.wrong), (1, 0, 1));
        assert_eq!(report(&truth(), &[row("", 2.0, "ZK5XXXX", 1.5, 2.0)]).captured, 0);
    }

    #[test]
    fn truth_says_which_line_is_wrong() {
        let good = "{\"drive\":{\"duration_s\":4.0}}\n\n{\"pass\":0,\"text\":\"U482KRV\",\"t0\":1,\"t1\":2.5,\"night\":true,\"boxes\":[]}\n";
        assert_eq!(Truth::parse(good).expect("it parses").passes[0].t1, 2.5);
        for (bad, part) in [
            ("{\"pass\":0}", "line 1"),
            ("{\"drive\":{}}", "duration_s"),
            ("{\"drive\":{\"duration_s\":4}}\n{", "line 2"),
            ("", "no vehicle"),
        ] {
            let fault = Truth::parse(bad).expect_err("it is damaged");
            assert!(fault.to_string().contains(part), "{fault}");
        }
    }
}
