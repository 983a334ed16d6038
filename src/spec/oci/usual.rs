//! A container in memory to start from: the example without its terminal.

use super::super::Spec;
use super::example::{Example, example};
use super::read;

impl Spec {
    /// Returns a container that runs a program in a root file system, confined as is customary.
    ///
    /// It is what [`example`] describes, without a terminal; change what should be different.
    ///
    /// # Panics
    ///
    /// Never: a test reads the example.
    #[must_use]
    pub fn usual<'a>(rootfs: &str, args: impl IntoIterator<Item = &'a str>) -> Self {
        let read = read(example(Example::default()).as_bytes());
        let mut spec = read.expect("the example is read").value;
        rootfs.clone_into(&mut spec.rootfs.path);
        if let Some(process) = &mut spec.process {
            process.args = args.into_iter().map(str::to_owned).collect();
            process.terminal = false;
        }
        spec
    }
}
