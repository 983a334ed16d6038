//! System call filters, compiled once and kept in the state directory.
//!
//! ```text
//! ROOT/~filters/HASH   a line: the compiler
//!                      a line: the description, as JSON
//!                      a line: the length of the code
//!                      the code
//! ```
//!
//! **Invariant:** the hash only finds a file. What is in it is taken where compiler and description
//! are the same byte for byte, and the code is whole.
//!
//! **Invariant:** a cache that cannot be read or written costs time and changes nothing.

use crate::run::Filter;
use crate::spec::Seccomp;

use super::problem::Problem;
use super::session::Session;

#[cfg(feature = "seccomp")]
pub(super) use with::{compiled, kept, library};
#[cfg(not(feature = "seccomp"))]
pub(super) use without::{compiled, kept, library};

/// A build that cannot compile filters.
#[cfg(not(feature = "seccomp"))]
mod without {
    use super::{Filter, Problem, Seccomp, Session};

    pub(in crate::cli) fn library() -> Option<String> {
        None
    }

    pub(in crate::cli) fn compiled(_: &Seccomp) -> Result<Filter, Problem> {
        Err(Problem::new("/linux/seccomp: this build has no libseccomp"))
    }

    pub(in crate::cli) fn kept(
        _: &Session<'_>,
        seccomp: Option<&Seccomp>,
    ) -> Result<Option<Filter>, Problem> {
        seccomp.map(compiled).transpose()
    }
}

#[cfg(feature = "seccomp")]
mod with {
    use std::fs::{self, DirBuilder, OpenOptions};
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::io::{self, Write};
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    use crate::backend::linux::filter;

    use super::super::problem::regardless;
    use super::{Filter, Problem, Seccomp, Session};

    /// Which way filters are made of a description: counted up whenever that changes.
    const MAKE: u32 = 2;

    /// The size of one instruction, a `struct sock_filter`.
    const INSTRUCTION: usize = 8;

    /// How many filters are kept.
    const KEPT: usize = 64;

    /// The version of the library that compiles filters.
    pub(in crate::cli) fn library() -> Option<String> {
        Some(filter::version())
    }

    /// Compiles a filter.
    pub(in crate::cli) fn compiled(seccomp: &Seccomp) -> Result<Filter, Problem> {
        filter::compile(seccomp).map_err(Problem::new)
    }

    /// Finds a filter compiled, or compiles and keeps it.
    pub(in crate::cli) fn kept(
        session: &Session<'_>,
        seccomp: Option<&Seccomp>,
    ) -> Result<Option<Filter>, Problem> {
        let Some(seccomp) = seccomp else { return Ok(None) };
        let head = head(seccomp);
        let path = path(&session.root, &head);
        if let Some(code) = fs::read(&path).ok().and_then(|kept| code(&kept, &head)) {
            return Ok(Some(Filter { code, flags: filter::installed(seccomp.flags) }));
        }
        let filter = compiled(seccomp)?;
        if let Err(error) = keep(session, &path, &[&head, &tail(&filter.code)[..]].concat()) {
            session.log.debug(|| format!("keep {path}: {error}"));
        }
        Ok(Some(filter))
    }

    /// What a kept filter must begin with.
    fn head(seccomp: &Seccomp) -> Vec<u8> {
        let json = serde_json::to_string(seccomp).unwrap_or_default();
        let (version, machine) = (filter::version(), std::env::consts::ARCH);
        format!("libseccomp {version} {machine} {MAKE}\n{json}\n").into()
    }

    fn tail(code: &[u8]) -> Vec<u8> {
        [format!("{}\n", code.len()).as_bytes(), code].concat()
    }

    fn path(root: &str, head: &[u8]) -> String {
        let mut hasher = DefaultHasher::new();
        head.hash(&mut hasher);
        format!("{root}/~filters/{:016x}", hasher.finish())
    }

    /// Takes the code out of what was kept, if that is what is sought, and whole.
    fn code(kept: &[u8], head: &[u8]) -> Option<Vec<u8>> {
        let tail = kept.strip_prefix(head)?;
        let end = tail.iter().position(|byte| *byte == b'\n')?;
        let length: usize = std::str::from_utf8(tail.get(..end)?).ok()?.parse().ok()?;
        let code = tail.get(end + 1..)?;
        let whole = code.len() == length && length.is_multiple_of(INSTRUCTION) && 0 < length;
        whole.then(|| code.to_vec())
    }

    /// Keeps a filter: readers see the whole file or none.
    fn keep(session: &Session<'_>, path: &str, bytes: &[u8]) -> io::Result<()> {
        let dir = format!("{}/~filters", session.root);
        DirBuilder::new().recursive(true).mode(0o711).create(&session.root)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let new = format!("{path}.{}", std::process::id());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let moved = file.write_all(bytes).and_then(|()| fs::rename(&new, path));
        if moved.is_err() {
            fs::remove_file(&new)?;
        }
        moved.and_then(|()| thin(&dir))
    }

    /// Removes all but the newest filters, and what died half written with the oldest. Whoever
    /// reads one has it open, or compiles it again.
    fn thin(dir: &str) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // One that somebody else has removed meanwhile is gone as it should.
            if let Ok(made) = entry.metadata().and_then(|found| found.modified()) {
                kept.push((made, entry.path()));
            }
        }
        kept.sort();
        let gone = kept.len().saturating_sub(KEPT);
        kept.iter().take(gone).for_each(|(_, path)| regardless(fs::remove_file(path)));
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_a_whole_filter_of_the_same_description_is_taken() {
            let whole = [b"head\n".as_slice(), &tail(&[7; 16])].concat();
            assert_eq!(code(&whole, b"head\n"), Some(vec![7; 16]));
            assert_eq!(code(&whole, b"other\n"), None);
            for length in 0..whole.len() {
                assert_eq!(code(&whole[..length], b"head\n"), None, "cut at {length}");
            }
            assert_eq!(code(b"head\n7\n1234567", b"head\n"), None, "no whole instruction");
            assert_eq!(code(b"head\n0\n", b"head\n"), None, "nothing");
        }
    }
}
