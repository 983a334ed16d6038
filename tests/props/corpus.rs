//! What the fuzzers have found worth keeping is performed again.

use std::fs;
use std::path::Path;

/// Performs each file of each target's corpus; a failure names the file.
#[test]
fn the_corpus_is_performed() {
    for (name, target) in cofferdam_fuzz::TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in &paths {
            println!(
                "cargo run --manifest-path fuzz/Cargo.toml --bin {name} -- {}",
                path.display()
            );
            target(&fs::read(path).expect("a readable file"));
        }
        assert!(!paths.is_empty(), "{name} has no corpus");
        println!("figure: fuzz corpus of {name} | {} inputs performed", paths.len());
    }
}
