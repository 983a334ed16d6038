//! The step of start: the gate is opened, and what became of init is read back from it.
//!
//! Init holds the fifo open for reading and writing until its execve closes it. `start` opens the
//! end for writing, which succeeds only while init is there, writes one byte, and waits until
//! nobody reads any more. What is then left in the fifo tells what happened:
//!
//! | left | init |
//! |---|---|
//! | nothing | has become its program |
//! | the byte | died before it read it |
//! | six bytes | has failed, and says where |

use crate::plan;
use crate::sys::{Errno, Kernel, Syscalls};

use super::error::{Doing, Failure};
use super::hooks;
use super::operation::Operation;

/// Lets init go on to its program.
pub(super) fn open<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let kernel = op.kernel;
    let what = || "open the gate";
    let gate = match op.home.gate(kernel) {
        Err(Errno::ENXIO | Errno::ENOENT) => return Err(died()),
        gate => gate.doing(what)?,
    };
    // Init may be gone when they are wanted; that they cannot be had is no reason not to start.
    let output = hooks::listen(op).unwrap_or(None);
    // A reader of our own for a moment: an init that dies just now is no signal to the caller.
    let reader = op.home.gate_reader(kernel).doing(what)?;
    kernel.write_all(gate.raw(), b"S").doing(what)?;
    drop(reader);
    loop {
        // POLLERR is told without being asked for: nobody reads any more.
        match kernel.poll([(gate.raw(), 0)], -1) {
            Ok([0]) | Err(Errno::EINTR) => (),
            Ok([_]) => break,
            Err(errno) => return Err(Failure::new(what(), errno)),
        }
    }
    let reader = op.home.gate_reader(kernel).doing(what)?;
    let mut block = [0; 16];
    match kernel.read(reader.raw(), &mut block) {
        Err(Errno::EAGAIN) | Ok([]) => Ok(()),
        // A hook that could not be run has said so before the program did.
        Ok([kind @ (b'E' | b'F'), _, a, b, c, d, ..]) => {
            let (at, number) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
            let about = about(op, at);
            Err(match kind {
                b'E' => {
                    let said = output.and_then(|files| hooks::said(kernel, &files, number).ok());
                    let said = said.unwrap_or_else(|| plan::ending(number));
                    Failure::told(format!("{about}: {said}"), Errno::EPROTO)
                }
                // What took too long says so itself.
                _ if Errno(number) == Errno::ETIMEDOUT => Failure::told(about, Errno(number)),
                _ => Failure::new(about, Errno(number)),
            })
        }
        Ok(_) => Err(died()),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

fn died() -> Failure {
    Failure::told("the container's init died before it was started".to_owned(), Errno::ESRCH)
}

/// Says what init could not do, in the words that were kept when its program was compiled.
fn about<K: Kernel>(op: &Operation<'_, '_, K>, at: u16) -> String {
    let told = op.record.manifest.extra.get("late").and_then(|json| {
        let late: Vec<(u16, String)> = serde_json::from_str(json).ok()?;
        late.into_iter().rev().find(|(from, _)| *from <= at).map(|(_, about)| about)
    });
    told.unwrap_or_else(|| format!("operation {at} of init"))
}
