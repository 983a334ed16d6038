//! The museum: every known bug of other runtimes is listed once, and what the list says is true.
//!
//! | says | means |
//! |---|---|
//! | `seeded` | a patch puts it into our code, and `ci/museum` tells which suite finds it |
//! | `ruled out by TEST: WHY` | there is no place for it, and that test holds the design to it |
//! | `waits for WHAT` | it cannot be told of yet |

#![expect(clippy::unwrap_used, reason = "a museum that cannot be read fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many bugs there are.
const BUGS: usize = 159;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What is said of each bug, in the order of the list.
fn catalogue() -> BTreeMap<String, String> {
    let text = fs::read_to_string(here("tests/museum/catalogue")).unwrap();
    let entries: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let listed = entries.len();
    let entries: BTreeMap<_, _> =
        entries.into_iter().map(|(id, what)| (id.to_owned(), what.to_owned())).collect();
    assert_eq!(entries.len(), listed, "a bug is listed twice");
    entries
}

fn patches() -> Vec<PathBuf> {
    let entries = fs::read_dir(here("tests/museum")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "patch")).collect()
}

/// Every line of Rust of the project.
fn sources() -> String {
    let mut all = String::new();
    let mut dirs: Vec<_> = ["src", "tests", "examples"].map(here).into();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                all += &fs::read_to_string(path).unwrap();
            }
        }
    }
    all
}

#[test]
fn every_bug_is_listed_once() {
    let expected: Vec<_> = (1..=BUGS).map(|number| format!("M{number:03}")).collect();
    let listed: Vec<_> = catalogue().into_keys().collect();
    assert_eq!(listed, expected);
}

#[test]
fn a_bug_is_seeded_if_and_only_if_it_has_a_patch() {
    let seeded = catalogue().into_iter().filter(|(_, what)| what == "seeded");
    let seeded: Vec<_> = seeded.map(|(id, _)| id).collect();
    let mut found: Vec<_> = patches()
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(seeded, found);
}

#[test]
fn a_bug_that_is_ruled_out_is_so_by_a_test_that_is_there() {
    let sources = sources();
    let mut ruled = 0;
    for (id, what) in catalogue() {
        let Some(rest) = what.strip_prefix("ruled out by ") else {
            assert!(what == "seeded" || what.starts_with("waits for "), "{id}: {what}");
            continue;
        };
        let (test, why) = rest.split_once(": ").unwrap();
        assert!(sources.contains(&format!("fn {test}(")), "{id}: there is no test {test}");
        assert!(!why.is_empty(), "{id}");
        ruled += 1;
    }
    println!("figure: museum: bugs listed, ruled out by the design | {BUGS}, {ruled}");
}

/// A patch that no longer applies tells of no bug any more.
#[test]
fn every_patch_applies_to_the_code_as_it_is() {
    for patch in patches() {
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(&patch).current_dir(here("."));
        assert!(git.status().unwrap().success(), "{}", patch.display());
    }
}
