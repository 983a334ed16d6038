//! Reads every source file in one pass and fails on what the house does not do.
//!
//! Each rule is a table or a constant in this file, with its reason, and each failure names file
//! and line. A rule that stands in the way of clear code is changed here and in ARCHITECTURE.md.

#[path = "tidy/source.rs"]
mod source;

use source::{Function, Source, children, line_of, words};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LINE_MAX: usize = 100;
const FUNCTION_MAX: usize = 60;
const FILE_MAX: usize = 500;

/// Files that may be longer than [`FILE_MAX`], each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Who may import whom inside the crate. Everybody may import himself; `*` is anything.
const EDGES: &[(&str, &[&str])] = &[
    ("state", &[]),
    ("spec", &[]),
    ("sys", &[]),
    ("plan", &["spec", "sys"]),
    ("stub", &["sys"]),
    // Beside a kernel, Linux has a compiler of filters: a description in, what `run` is handed out.
    ("backend", &["run", "spec", "sys"]),
    ("run", &["state", "plan", "spec", "sys"]),
    ("testing", &["backend", "lib", "spec", "sys"]),
    ("cli", &["*"]),
    ("bin", &["*"]),
    ("lib", &["*"]),
];

/// Where `unsafe` may stand, and how often the word does. Raising a number is a review event.
const UNSAFE: &[(&str, usize)] = &[("src/backend/linux", 12), ("src/stub", 31), ("src/bin", 1)];

/// Modules whose header must state their invariants.
const STATED: &[&str] = &[
    "src/state/mod.rs",
    "src/spec/mod.rs",
    "src/plan/mod.rs",
    "src/sys/mod.rs",
    "src/run/mod.rs",
    "src/backend/linux/mod.rs",
    "src/backend/fake/mod.rs",
    "src/testing/mod.rs",
];

/// Who touches the host: the real kernel, the freestanding child, and the commands.
const HOST: &[&str] = &["src/backend/linux", "src/stub", "src/cli", "src/bin"];
/// Those, and the clients of the fake: whether a client unwinds, only `std::thread` can tell.
const UNWINDING: &[&str] =
    &["src/backend/linux", "src/stub", "src/cli", "src/bin", "src/backend/fake/replay"];
/// Who talks to a person.
const SPEAKERS: &[&str] = &["src/cli", "src/bin"];

/// Children of `std::` that production code does without: name, who is exempt, reason.
const BANNED_STD: &[(&str, &[&str], &str)] = &[
    ("env", HOST, "the environment is the caller's: take what you need as an argument"),
    ("fs", HOST, "a file is reached through `Kernel`, so that the fake sees it too"),
    ("net", HOST, "a socket is reached through `Kernel`, so that the fake sees it too"),
    ("process", HOST, "a child is a `Program`; the caller's process is not ours to end"),
    ("thread", UNWINDING, "a guest in its caller's process starts no thread and never sleeps"),
];

/// Words that production code does without: word, who is exempt, reason.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("SystemTime", HOST, "time is asked of the kernel, so that the fake owns the clock"),
    ("Instant", HOST, "time is asked of the kernel, so that the fake owns the clock"),
    ("print!", SPEAKERS, "the library has no standard output"),
    ("println!", SPEAKERS, "the library has no standard output"),
    ("eprint!", SPEAKERS, "the library has no standard error"),
    ("eprintln!", SPEAKERS, "the library has no standard error"),
    ("dbg!", &[], "a debugging aid"),
];

/// Text that no Rust file has, tests included: text, reason.
const BANNED_EVERYWHERE: &[(&str, &str)] = &[
    ("#[allow", "use #[expect(.., reason = ..)]: it complains when it is no longer needed"),
    ("#![allow", "use #![expect(.., reason = ..)]: it complains when it is no longer needed"),
    ("#[ignore", "a test runs or is not there"),
    ("#[should_panic", "assert the value that is wrong, not that something somewhere panicked"),
];

/// Files that may discard a result by name: file, how often, reason.
const DISCARDS: &[(&str, usize, &str)] = &[
    ("src/backend/fake/child.rs", 3, "a step is taken for what it asks; a report may find nobody"),
    ("src/backend/fake/payload.rs", 3, "what a payload makes of an answer is its own affair"),
    ("src/backend/linux/born.rs", 1, "what fails there is told by the call after it"),
    ("src/stub.rs", 6, "the stub has nobody to tell, or tells by the call after it"),
    ("src/sys/fd.rs", 1, "close(2): the descriptor is gone whatever the answer"),
];

/// Words of unfinished work, in two halves each so that this file may name them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// What a merge leaves around what it could not decide (git-merge(1)).
const MERGES: [&str; 2] = ["<<<<<<< ", ">>>>>>> "];

/// Directories of some developer's machine, written likewise.
const MACHINE_PATHS: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/")];

/// What of the crate of fuzz targets is written by hand.
const FUZZ: [&str; 3] = ["fuzz/Cargo.toml", "fuzz/src", "fuzz/fuzz_targets"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("readable directory") {
            files_under(&entry.expect("readable entry").path(), found);
        }
    } else if path.is_file() {
        found.push(path.to_owned());
    }
}

fn relative(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("below the root");
    inside.to_string_lossy().replace('\\', "/")
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for top in ["build.rs", "src", "tests", "benches", "examples"].into_iter().chain(FUZZ) {
        files_under(&root().join(top), &mut paths);
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("UTF-8 source");
    paths.iter().map(|path| Source::new(&relative(path), read(path))).collect()
}

/// The sources that ship: under `src`, without files that only exist for tests.
fn production() -> Vec<Source> {
    let mut sources = sources();
    let mut tests = BTreeSet::new();
    for source in &sources {
        let path = source.path.trim_end_matches(".rs");
        let is_root = ["mod", "lib"].contains(&path.rsplit('/').next().unwrap_or(path));
        let home = if is_root { path.rsplit_once('/').map_or("", |pair| pair.0) } else { path };
        tests.extend(source.test_modules().into_iter().map(|name| format!("{home}/{name}")));
    }
    let is_test = |path: &str| {
        tests
            .iter()
            .any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")))
    };
    sources.retain(|source| source.path.starts_with("src/") && !is_test(&source.path));
    sources
}

/// Whether `path` is the file or lies in the directory that `place` names.
fn within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn report(rule: &str, failures: &[String]) {
    assert!(failures.is_empty(), "{rule}:\n  {}", failures.join("\n  "));
}

#[test]
fn every_module_opens_with_one_sentence() {
    let mut failures = Vec::new();
    for source in sources() {
        let first = source.text.lines().next().unwrap_or_default();
        let sentence = first.strip_prefix("//! ").unwrap_or_default();
        if !sentence.ends_with('.') || sentence.contains(". ") {
            failures.push(format!("{}:1: {first}", source.path));
        }
    }
    report("a module opens with `//!` and one sentence that ends in a full stop", &failures);
}

#[test]
fn every_large_module_states_its_invariants() {
    let mut failures = Vec::new();
    for source in sources().iter().filter(|source| STATED.contains(&source.path.as_str())) {
        let header: Vec<_> =
            source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let unwritten = header.first() == Some(&"//! To be written.");
        if !unwritten && !header.iter().any(|line| line.contains("**Invariant")) {
            failures.push(format!("{}:1", source.path));
        }
    }
    report("the header has at least one `**Invariant:**` line", &failures);
}

#[test]
fn lines_are_short_and_clean() {
    let mut failures = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            let faults = [
                (line.chars().count() > LINE_MAX, "longer than the limit"),
                (line.ends_with([' ', '\t', '\r']), "trailing white space"),
                (line.contains('\t'), "a tab"),
                (UNFINISHED.iter().any(|word| !words(line, word).is_empty()), "unfinished work"),
            ];
            let named = faults.iter().filter(|(wrong, _)| *wrong);
            failures
                .extend(named.map(|(_, what)| format!("{}:{}: {what}", source.path, index + 1)));
        }
    }
    report("lines", &failures);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut failures = Vec::new();
    for source in sources() {
        for Function { name, line, lines } in source.functions() {
            if lines > FUNCTION_MAX {
                failures.push(format!("{}:{line}: {name} has {lines} lines", source.path));
            }
        }
    }
    report("a function has at most 60 lines", &failures);
}

#[test]
fn files_fit_in_a_head() {
    let mut failures = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let listed = LONG_FILES.iter().any(|(path, _)| *path == source.path);
        if (lines > FILE_MAX) != listed {
            failures.push(format!("{}:{lines}: listed as long: {listed}", source.path));
        }
    }
    report("a file has at most 500 lines, or a reason, but not both", &failures);
}

#[test]
fn imports_follow_the_edges() {
    let sources = production();
    let parts: BTreeSet<&str> = sources.iter().map(Source::part).collect();
    let mut failures = Vec::new();
    for source in &sources {
        let Some((from, to)) = EDGES.iter().find(|(from, _)| *from == source.part()) else {
            failures.push(format!("{}:1: no row in EDGES", source.path));
            continue;
        };
        for (line, name) in source.roots() {
            // What is no module is an item of the root, which re-exports the paved path.
            let target = if parts.contains(name.as_str()) { name.as_str() } else { "lib" };
            if target != *from && !to.contains(&target) && *to != ["*"] {
                failures.push(format!("{}:{line}: {from} imports {name}", source.path));
            }
        }
    }
    report("who may import whom (EDGES)", &failures);
}

#[test]
fn unsafe_stands_where_it_may_as_often_as_pinned() {
    let mut counts: BTreeMap<&str, usize> = UNSAFE.iter().map(|(place, _)| (*place, 0)).collect();
    let mut failures = Vec::new();
    for source in sources() {
        let sites = words(&source.code, "unsafe");
        match UNSAFE.iter().find(|(place, _)| within(&source.path, place)) {
            Some((place, _)) => *counts.entry(place).or_default() += sites.len(),
            None => failures.extend(
                sites.iter().map(|at| format!("{}:{}", source.path, line_of(&source.code, *at))),
            ),
        }
    }
    for (place, pinned) in UNSAFE.iter().filter(|(place, pinned)| counts[place] != *pinned) {
        failures.push(format!("{place}: {} sites, {pinned} pinned", counts[place]));
    }
    report("`unsafe` is in the Linux backend and the stub only, and counted (UNSAFE)", &failures);
}

#[test]
fn the_library_does_not_touch_the_host() {
    let mut failures = Vec::new();
    for source in production() {
        let named = children(&source.production, "std::");
        for (name, exempt, reason) in BANNED_STD {
            if !exempt.iter().any(|place| within(&source.path, place)) {
                let hits = named.iter().filter(|(_, child)| child == name);
                let place = |line| format!("{}:{line}: std::{name}: {reason}", source.path);
                failures.extend(hits.map(|(line, _)| place(line)));
            }
        }
        for (word, exempt, reason) in BANNED {
            if !exempt.iter().any(|place| within(&source.path, place)) {
                let lines = words(&source.production, word);
                let lines = lines.into_iter().map(|at| line_of(&source.production, at));
                failures.extend(lines.map(|n| format!("{}:{n}: {word}: {reason}", source.path)));
            }
        }
    }
    report("banned calls (BANNED_STD, BANNED)", &failures);
}

#[test]
fn nothing_is_silenced() {
    let mut failures = Vec::new();
    for source in sources() {
        for (text, reason) in BANNED_EVERYWHERE {
            let lines = source.code.match_indices(text).map(|(at, _)| line_of(&source.code, at));
            failures.extend(lines.map(|n| format!("{}:{n}: {text}]: {reason}", source.path)));
        }
        let discards: Vec<_> = ["let _ =", "let _:"]
            .iter()
            .flat_map(|form| source.code.match_indices(form))
            .map(|(at, _)| line_of(&source.code, at))
            .collect();
        let listed = DISCARDS.iter().find(|(path, ..)| *path == source.path);
        if discards.len() != listed.map_or(0, |(_, count, _)| *count) {
            failures.push(format!("{}: `let _` at lines {discards:?}", source.path));
        }
    }
    report("nothing is silenced (BANNED_EVERYWHERE, DISCARDS)", &failures);
}

#[test]
fn no_file_knows_a_machine_or_half_a_merge() {
    let mut paths = Vec::new();
    let own = ["build.rs", "src", "benches", "examples", "ci", ".ci", ".cargo"];
    for top in own.into_iter().chain(FUZZ) {
        files_under(&root().join(top), &mut paths);
    }
    for entry in std::fs::read_dir(root()).expect("readable root") {
        let path = entry.expect("readable entry").path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if matches!(kind, Some("md" | "toml")) {
            paths.push(path);
        }
    }
    let mut failures = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("UTF-8 text");
        for (index, line) in text.lines().enumerate() {
            let unmerged = MERGES.iter().any(|mark| line.starts_with(mark));
            if unmerged || MACHINE_PATHS.iter().any(|place| line.contains(place)) {
                failures.push(format!("{}:{}: {line}", relative(&path), index + 1));
            }
        }
    }
    report("no path of a developer's machine, no mark of a merge", &failures);
}

/// Prints what a newcomer has to read; `ci/figures` runs this test with `--nocapture`.
#[test]
fn production_lines_are_printed_by_module() {
    let mut modules: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for source in production() {
        let folder = Path::new(&source.path).parent().map(relative_to_src).unwrap_or_default();
        let name = if folder.starts_with("backend") { &folder } else { source.part() };
        let lines = source.production.lines().filter(|line| !line.trim().is_empty()).count();
        let entry = modules.entry(name.to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1 + lines);
    }
    for (name, (files, lines)) in &modules {
        println!("tidy: module {name} files {files} lines {lines}");
    }
    let sources = production();
    let file = sources.iter().map(|source| (source.text.lines().count(), source.path.as_str()));
    let function = sources.iter().flat_map(|source| {
        source.functions().into_iter().map(|function| (function.lines, function.name))
    });
    if let (Some((lines, path)), Some((length, name))) = (file.max(), function.max()) {
        println!("tidy: longest file {lines} lines, {path}");
        println!("tidy: longest function {length} lines, {name}");
    }
    assert!(modules.contains_key("lib"), "the library's root was not read");
}

/// `src/backend/linux/fs` becomes `backend/linux`: two levels name a module.
fn relative_to_src(folder: &Path) -> String {
    let parts: Vec<_> = folder.iter().skip(1).take(2).map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

mod scanner {
    use super::Source;

    fn source(text: &str) -> Source {
        Source::new("src/sys/mod.rs", text.to_owned())
    }

    fn lengths(text: &str) -> Vec<(String, usize, usize)> {
        let functions = source(text).functions().into_iter();
        functions.map(|function| (function.name, function.line, function.lines)).collect()
    }

    #[test]
    fn a_function_is_counted_from_its_line_to_its_brace() {
        let text = "/// Doc.\npub fn one() {}\n\nfn three(a: [u8; 4]) -> u8\n{\n}\n";
        assert_eq!(lengths(text), [("one".into(), 2, 1), ("three".into(), 4, 3)]);
    }

    #[test]
    fn braces_in_strings_comments_and_characters_do_not_count() {
        let text = "fn f<'a>() {\n  let a = \"}\\\"}\"; // }\n  /* } /* } */ } */\n  \
                    let b = ('}', b'{', '\\'', 'é', r#\"}\"}\"#, br\"}\");\n}\nfn g() {}\n";
        assert_eq!(lengths(text), [("f".into(), 1, 5), ("g".into(), 6, 1)]);
    }

    #[test]
    fn declarations_and_pointers_are_not_functions() {
        let text = "trait T { fn declared(&self) -> [u8; 2]; }\ntype P = fn(u8) -> u8;\n\
                    struct S { r#fn: fn() }\nfn real() {\n fn inner() {\n }\n}\n";
        assert_eq!(lengths(text), [("real".into(), 4, 4), ("inner".into(), 5, 2)]);
    }

    #[test]
    fn paths_are_found_in_lists_and_through_super() {
        let text = "use crate::{plan::x, run,\n  state::{a, b}};\nuse super::spec;\n\
                    fn f() { crate::cli::go(); super::super::no(); mycrate::no() }\n";
        let found = source(text).roots();
        let names: Vec<_> = found.iter().map(|(line, name)| (*line, name.as_str())).collect();
        let expected =
            [(1, "plan"), (1, "run"), (2, "state"), (4, "cli"), (3, "spec"), (4, "super")];
        assert_eq!(names, expected);
    }

    #[test]
    fn tests_are_no_production_code() {
        let text = "use std::fmt;\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n\
                    #[cfg(test)]\nmod laws;\nfn kept() {}\n";
        let source = source(text);
        assert!(!source.production.contains("fs") && source.production.contains("kept"));
        assert_eq!(source.test_modules(), ["laws"]);
        assert_eq!(source.code.len(), text.len());
    }
}
