//! A kernel that says yes as the usual host and image would, and counts what it is asked.

use std::cell::Cell;

use cofferdam::sys::{Call, Cursor, Errno, Kernel, Live, Program, Turn};

/// Ends of paths of the usual mask that the usual kernel has as directories.
const DIRECTORIES: [&str; 5] =
    ["/acpi", "/asound", "/scsi", "/devices/virtual/powercap", "/firmware"];
/// Ends of paths of the usual mask that the usual kernel lacks.
const ABSENT: [&str; 4] = ["/asound", "/latency_stats", "/sched_debug", "/timer_stats"];

#[derive(Default)]
struct Counting {
    calls: Cell<u64>,
    directory_next: Cell<bool>,
}

/// Returns how many calls the program makes before it becomes its program.
pub(crate) fn calls(program: &Program) -> u64 {
    let kernel = Counting::default();
    let mut cursor = Cursor::new(program.code(), &[3, 4, 5, 6, 7, 8]);
    loop {
        match cursor.step(program.code(), &kernel) {
            Turn::Going => (),
            Turn::Over => return kernel.calls.get(),
            // The end that a counted program has: nothing behind a successful execve.
            Turn::Failed { errno: Errno::ETXTBSY, .. } => return kernel.calls.get(),
            Turn::Ended { op, status } => panic!("op {op}: {status:#x}\n{program}"),
            Turn::Failed { op, errno } => panic!("op {op}: {errno:?}\n{program}"),
        }
    }
}

impl Kernel for Counting {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        self.calls.set(self.calls.get() + 1);
        match call {
            Call::Read { buf, .. } => Ok(buf.len() as u64),
            Call::Write { bytes, .. } => Ok(bytes.len() as u64),
            Call::Faccessat2 { path, .. } => match path.to_bytes() {
                b"/bin/sh" | b"/proc/kcore" => Ok(0),
                b"/bin/sh/" => Err(Errno::ENOTDIR),
                _ => Err(Errno::ENOENT),
            },
            Call::MoveMount { to_path, .. } => self.mask(to_path.to_str().unwrap_or_default()),
            Call::Execve { path, .. } if path.to_bytes() == b"/bin/sh" => Err(Errno::ETXTBSY),
            Call::Execve { .. } => Err(Errno::ENOENT),
            _ => Ok(9),
        }
    }
}

impl Counting {
    /// A file does not cover a directory; the cover that does comes next.
    fn mask(&self, path: &str) -> Result<u64, Errno> {
        let ends = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
        if ends(&ABSENT) {
            return Err(Errno::ENOENT);
        }
        let second = self.directory_next.replace(false);
        if ends(&DIRECTORIES) && !second {
            self.directory_next.set(true);
            return Err(Errno::EINVAL);
        }
        Ok(0)
    }
}
