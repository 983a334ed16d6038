//! What the kernel asks of a program for devices before it takes it; what it says is not modelled.
//!
//! **Invariant:** it refuses no more than the kernel's verifier does: the shape of the code, not
//! what is in its registers.

use crate::sys::Errno;

const ALWAYS: u8 = 0x05;
const EXIT: u8 = 0x95;
/// The part of a code that tells its class, and the classes of jumps.
const CLASS: u8 = 0x07;
const JUMPS: [u8; 2] = [0x05, 0x06];

/// Checks that every instruction is reached and the last one is not left behind.
pub(super) fn verify(program: &[u8]) -> Result<(), Errno> {
    let code = program.as_chunks::<8>().0;
    if code.is_empty() {
        return Err(Errno::E2BIG);
    }
    let mut reached = vec![false; code.len()];
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        let instruction = code.get(at).ok_or(Errno::EINVAL)?;
        if std::mem::replace(&mut reached[at], true) || instruction[0] == EXIT {
            continue;
        }
        if instruction[0] != ALWAYS {
            open.push(at + 1);
        }
        if JUMPS.contains(&(instruction[0] & CLASS)) {
            let offset = i16::from_le_bytes([instruction[2], instruction[3]]);
            open.push((at + 1).checked_add_signed(offset.into()).ok_or(Errno::EINVAL)?);
        }
    }
    if reached.contains(&false) { Err(Errno::EINVAL) } else { Ok(()) }
}
