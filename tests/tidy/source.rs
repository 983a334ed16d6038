//! One source file as tidy sees it: the text, the code alone, the functions, the paths it names.
//!
//! This is a scanner and not a parser: it knows strings, comments, brackets and words. What it
//! cannot see (a path built by a macro, an import through a renamed module) it does not judge.

/// A file with three views of equal length, so that a position means the same line in each.
pub(crate) struct Source {
    /// Where it is, from the root of the crate, with forward slashes.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The text with every comment, string and character blanked.
    pub(crate) code: String,
    /// The code with every item under `#[cfg(test)]` blanked.
    pub(crate) production: String,
}

/// A function with a body.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let code = blank(&text);
        let production = without_tests(&code);
        Self { path: path.to_owned(), text, code, production }
    }

    /// The part of the crate that the file belongs to: `state`, `backend`, `bin`, `lib`.
    pub(crate) fn part(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// How deep the module lies below the crate's root: `sys/mod.rs` is 1, `sys/fd.rs` is 2.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        if module == "lib" { 0 } else { module.split('/').count() }
    }

    /// Modules and items of the crate's root that production code names, with their lines.
    pub(crate) fn roots(&self) -> Vec<(usize, String)> {
        let climb = "super::".repeat(self.depth());
        let mut roots = children(&self.production, "crate::");
        if !climb.is_empty() {
            roots.extend(children(&self.production, &climb));
        }
        roots
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        functions(&self.code)
    }

    /// Names of the modules declared under `#[cfg(test)]` whose text is in another file.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let items = test_items(&self.code).into_iter().map(|(from, to)| &self.code[from..to]);
        items
            .filter(|item| item.ends_with(';'))
            .filter_map(|item| words(item, "mod").first().map(|at| &item[at + 3..]))
            .map(|name| name.trim_end_matches(';').trim().to_owned())
            .collect()
    }
}

/// The line of a position, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Positions of `word` where it is not a part of a longer word.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let inside = |at: usize| bytes.get(at).is_some_and(|byte| is_word(*byte));
    let open_end = !word.as_bytes().last().copied().is_some_and(is_word);
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || !inside(at - 1))
        .filter(|at| open_end || !inside(at + word.len()))
        .collect()
}

/// Names that follow `root` (such as `std::`), the first level of a braced list included.
pub(crate) fn children(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, root) {
        let before = code[..at].strip_suffix("::").and_then(|path| path.bytes().last());
        if before.is_some_and(is_word) {
            continue; // The tail of a longer path, such as a climb that goes further up.
        }
        let from = at + root.len();
        let mut starts = vec![from];
        if code[from..].starts_with('{') {
            starts = list_starts(code, from);
        }
        for start in starts {
            let rest = code[start..].trim_start();
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.push((line_of(code, code.len() - rest.len()), name));
            }
        }
    }
    found
}

/// Where each entry of the braced list that opens at `open` begins.
fn list_starts(code: &str, open: usize) -> Vec<usize> {
    let mut starts = vec![open + 1];
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => break,
            b'}' => depth -= 1,
            b',' if depth == 1 => starts.push(offset + 1),
            _ => (),
        }
    }
    starts
}

fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let rest = code[at + 2..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let end = item_end(code, at);
        if !name.is_empty() && code[..end].ends_with('}') {
            let (line, last) = (line_of(code, at), line_of(code, end));
            found.push(Function { name, line, lines: last - line + 1 });
        }
    }
    found
}

/// The end of the item at `from`: behind its closing brace, or behind its semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b'{' => curly += 1,
            b'}' => curly -= 1,
            _ => (),
        }
        if curly < 0 {
            return at;
        }
        let closed = byte == b'}' && curly == 0 && round == 0;
        if closed || (byte == b';' && curly == 0 && round == 0) {
            return at + 1;
        }
    }
    code.len()
}

fn test_items(code: &str) -> Vec<(usize, usize)> {
    let marks = ["#[cfg(test)]", "#[cfg(all(test,"];
    let starts = marks.iter().flat_map(|mark| code.match_indices(mark));
    starts.map(|(from, _)| (from, item_end(code, from))).collect()
}

fn without_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (from, to) in test_items(code) {
        erase(&mut bytes[from..to]);
    }
    String::from_utf8(bytes).expect("items end at ASCII bytes")
}

/// The text with comments, strings and characters turned into spaces, line breaks kept.
fn blank(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = span_end(text.as_bytes(), at);
        erase(&mut bytes[at..end.unwrap_or(at)]);
        at = end.unwrap_or(at + 1);
    }
    String::from_utf8(bytes).expect("spans begin and end at ASCII bytes")
}

fn erase(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// The end of the comment, string or character that begins at `at`, if one does.
fn span_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let length = match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_length(rest),
        [b'"', ..] => quoted_length(rest, b'"'),
        [b'\'', b'\\', ..] => quoted_length(rest, b'\''),
        [b'\'', first, ..] => {
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .map_or_else(|error| error.valid_up_to(), str::len)
                .min(if first.is_ascii() { 1 } else { first.leading_ones() as usize });
            if rest.get(1 + width) != Some(&b'\'') {
                return None; // A lifetime.
            }
            width + 2
        }
        [b'r', b'"' | b'#', ..] if !joins_word(bytes, at) => raw_length(rest)?,
        _ => return None,
    };
    Some(at + length)
}

/// Whether an `r` at `at` only continues a word; `br` and `cr` begin one.
fn joins_word(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map_or(b' ', |index| bytes[index]);
    let is_prefix = matches!(before(1), b'b' | b'c') && !is_word(before(2));
    is_word(before(1)) && !is_prefix
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_length(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None; // A raw identifier.
    }
    let close = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
    let body = hashes + 2;
    let found = rest[body..].windows(close.len()).position(|window| window == close);
    Some(found.map_or(rest.len(), |offset| body + offset + close.len()))
}
