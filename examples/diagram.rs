//! Prints the diagram of the lifecycle, as ARCHITECTURE.md has it.

fn main() {
    println!("{}", cofferdam::state::diagram().trim_end());
}
