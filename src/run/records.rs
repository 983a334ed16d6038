//! The file of a container's records: a line of JSON each, and the last whole one counts.
//!
//! **Invariant:** readers see the record before or the record after, nothing between: a line that
//! is not whole is passed over.

use std::ffi::CStr;

use crate::state::Record;
use crate::sys::{Errno, Fd, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};
use super::store::Loaded;

/// Opens a file of records for writing.
pub(super) fn open<'k, K: Kernel>(
    kernel: &'k K,
    dir: i32,
    name: &CStr,
    how: u64,
    record: &Record,
) -> Result<Fd<'k, K>, Failure> {
    let flags = flags::O_WRONLY | flags::O_CREAT | flags::O_NOFOLLOW | how;
    kernel
        .open_with(dir, name, flags, 0o600)
        .doing(|| format!("write the record of {}", record.manifest.id))
}

/// Writes a record as the next line of a file.
///
/// That costs a quarter of what replacing the file does, which ext4 begins to write to the disk at
/// once.
///
/// # Errors
///
/// Fails where it cannot be written whole; readers pass over what was.
pub(super) fn write<K: Kernel>(
    kernel: &K,
    file: &Fd<'_, K>,
    record: &Record,
) -> Result<(), Failure> {
    let what = || format!("write the record of {}", record.manifest.id);
    let mut line = serde_json::to_vec(record)
        .map_err(|error| Failure::told(format!("{}: {error}", what()), Errno::EINVAL))?;
    line.push(b'\n');
    kernel.write_all(file.raw(), &line).doing(what)
}

/// Reads the lines of a file of records, the last one first: the first whole one counts.
pub(super) fn parse(text: &[u8], path: &str) -> Loaded {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut torn = None;
    for line in text.rsplit(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(record) => return Loaded::Record(Box::new(record)),
            // Cut off: being written, or what a full disk or a power cut has left, which may have
            // written the length of a file and not its bytes.
            Err(error) if error.is_eof() || line.contains(&0) => torn = torn.or(Some(error)),
            Err(error) => return Loaded::Foreign(format!("{path}: {error}")),
        }
    }
    let why = torn.map_or_else(String::new, |error| error.to_string());
    Loaded::Damaged(format!("{path}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Manifest, Stage};

    fn line(stage: Stage) -> Vec<u8> {
        let record = Record { stage, ..Record::new(Manifest::default()) };
        let mut line = serde_json::to_vec(&record).unwrap();
        line.push(b'\n');
        line
    }

    fn stage(text: &[u8]) -> Option<Stage> {
        match parse(text, "record.json") {
            Loaded::Record(record) => Some(record.stage),
            Loaded::Absent | Loaded::Damaged(_) | Loaded::Foreign(_) => None,
        }
    }

    #[test]
    fn the_last_whole_line_counts_wherever_the_next_one_is_cut_off() {
        let (first, second) = (line(Stage::Creating), line(Stage::Created));
        for len in 0..=first.len() + second.len() {
            let text = &[&*first, &*second].concat()[..len];
            // A line is whole as soon as its last brace is there.
            let expected = match len + 1 {
                len if len >= first.len() + second.len() => Some(Stage::Created),
                len if len >= first.len() => Some(Stage::Creating),
                _ => None,
            };
            assert_eq!(stage(text), expected, "of {len} bytes");
            if expected.is_none() {
                assert!(matches!(parse(text, "record.json"), Loaded::Damaged(_)), "{len} bytes");
            }
        }
    }

    #[test]
    fn bytes_that_never_came_to_the_disk_are_no_line() {
        let (first, second) = (line(Stage::Creating), line(Stage::Created));
        let lost = vec![0; second.len()];
        assert_eq!(stage(&[&*first, &lost].concat()), Some(Stage::Creating));
        assert_eq!(stage(&[&first, &second[..9], &lost[9..]].concat()), Some(Stage::Creating));
        assert!(matches!(parse(&lost, "record.json"), Loaded::Damaged(_)));
    }

    #[test]
    fn a_line_that_is_whole_and_no_record_is_somebody_elses() {
        for text in [&b"[]\n"[..], b"{\"stage\":1}", &[&line(Stage::Created), &b"{}"[..]].concat()]
        {
            assert!(matches!(parse(text, "record.json"), Loaded::Foreign(_)), "{text:?}");
        }
    }
}
