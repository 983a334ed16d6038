//! A story as a sequence diagram: a column for each client, a row for each call.
//!
//! **Invariant:** the picture is whole in itself: no font, style or script from elsewhere.

use std::fmt::{self, Display, Formatter, Write};

use super::scene::Event;
use super::story::{Happening, Story};

/// Who did what, downwards, each in his own column; the last one is for everybody else.
///
/// Its `Display` is for terminals, [`Diagram::svg`] for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagram {
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    column: usize,
    mark: Mark,
    text: String,
}

/// What a row is about; those of the picture have a colour each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Answer,
    Death,
    End,
    Fault,
    Other,
    Refusal,
}

impl Mark {
    const ALL: [(Self, &str, &str); 6] = [
        (Self::Answer, "answer", "#1a1a1a"),
        (Self::Death, "death", "#c00000"),
        (Self::End, "end", "#006000"),
        (Self::Fault, "fault", "#c00000"),
        (Self::Other, "other", "#707070"),
        (Self::Refusal, "refusal", "#a05000"),
    ];

    /// Whether nothing of a client comes after it.
    const fn is_last(self) -> bool {
        matches!(self, Self::Death | Self::End)
    }

    fn class(self) -> &'static str {
        Self::ALL.iter().find(|(mark, ..)| *mark == self).map_or("", |(_, class, _)| class)
    }
}

impl Diagram {
    pub(super) fn new(story: &Story) -> Self {
        let mut columns = story.clients.clone();
        let others = columns.len();
        let rows: Vec<Row> = story.steps.iter().flat_map(|step| rows(step, others)).collect();
        if rows.iter().any(|row| row.column == others) {
            columns.push("others".to_owned());
        }
        Self { columns, rows }
    }

    /// Returns whether a column goes on below a row.
    fn lives(&self, column: usize, row: usize) -> bool {
        let until = self.rows.iter().position(|row| row.column == column && row.mark.is_last());
        until.is_none_or(|until| row < until)
    }

    /// Returns how many characters a column takes.
    fn width(&self, column: usize) -> usize {
        let texts = self.rows.iter().filter(|row| row.column == column).map(|row| &row.text);
        let all = texts.chain(self.columns.get(column));
        all.map(|text| text.chars().count()).max().unwrap_or(0)
    }

    /// Returns the diagram as a file of its own, in SVG 1.1.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut lefts = Vec::new();
        let mut left = MARGIN;
        for column in 0..self.columns.len() {
            lefts.push(left);
            left += self.width(column) * CHARACTER + GAP;
        }
        let (width, height) = (left, HEAD + self.rows.len() * LINE + MARGIN);
        let mut styles = String::new();
        for (_, class, colour) in Mark::ALL {
            styles.push_str(&format!(".{class}{{fill:{colour}}}"));
        }
        let body = self.lifelines(&lefts) + &self.texts(&lefts);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{width}\" \
             height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
             <style>text{{font:12px monospace;white-space:pre}}.head{{font-weight:bold}}\
             line{{stroke:#c0c0c0}}{styles}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }

    fn lifelines(&self, lefts: &[usize]) -> String {
        let line = |(column, left): (usize, &usize)| {
            let rows = (0..self.rows.len()).filter(|row| self.lives(column, *row)).count();
            let x = left - LIFELINE;
            let ended = rows < self.rows.len();
            let bottom = HEAD + rows * LINE + if ended { LINE / 2 } else { 0 };
            format!("<line x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{bottom}\"/>\n")
        };
        lefts.iter().enumerate().map(line).collect()
    }

    fn texts(&self, lefts: &[usize]) -> String {
        let mut text = String::new();
        for (name, left) in self.columns.iter().zip(lefts) {
            let y = HEAD - LINE / 2;
            let name = escaped(name);
            text.push_str(&format!("<text class=\"head\" x=\"{left}\" y=\"{y}\">{name}</text>\n"));
        }
        for (number, row) in self.rows.iter().enumerate() {
            let (x, y) = (lefts[row.column], HEAD + number * LINE + LINE - 4);
            let (class, row) = (row.mark.class(), escaped(&row.text));
            text.push_str(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{row}</text>\n"));
        }
        text
    }
}

/// Sizes of the picture, in pixels.
const CHARACTER: usize = 8;
const GAP: usize = 32;
const HEAD: usize = 40;
const LIFELINE: usize = 8;
const LINE: usize = 18;
const MARGIN: usize = 20;

impl Display for Diagram {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (cell, width) in cells.zip(&widths) {
                write!(text, "{cell:width$}   ")?;
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&mut self.columns.iter().map(String::as_str))?;
        line(&mut self.columns.iter().map(|_| "|"))?;
        for (number, row) in self.rows.iter().enumerate() {
            line(&mut (0..self.columns.len()).map(|column| match column {
                at if at == row.column => row.text.as_str(),
                at if self.lives(at, number) => "|",
                _ => "",
            }))?;
        }
        Ok(())
    }
}

fn rows(step: &Happening, others: usize) -> Vec<Row> {
    let row = |column, mark, text: String| Row { column, mark, text };
    let (place, note) = match step.event {
        Event::World(transition) => return vec![row(others, Mark::Other, transition.to_string())],
        Event::Kill(place) => return vec![row(place, Mark::Death, "is killed".to_owned())],
        Event::Ask(place) => (place, None),
        Event::Fail(place, _) => (place, Some((Mark::Fault, " (a fault)"))),
        Event::Time(place) => (place, Some((Mark::Other, " (time passes)"))),
    };
    let mut rows: Vec<Row> = Vec::new();
    for asked in &step.asked {
        let usual = if asked.value.is_ok() { Mark::Answer } else { Mark::Refusal };
        let (mark, note) = note.unwrap_or((usual, ""));
        rows.push(row(place, mark, format!("{asked}{note}")));
    }
    rows.extend(step.told.iter().map(|told| row(place, Mark::End, format!("then: {told}"))));
    rows
}

/// Returns a text as XML has it; what XML 1.0 has no character for becomes a question mark.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => safe.push('?'),
            other => safe.push(other),
        }
    }
    safe
}
