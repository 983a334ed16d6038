//! The target `sync`, as libFuzzer runs it, or as a command that performs files.
#![cfg_attr(fuzzing, no_main)]

cofferdam_fuzz::target!(sync);
