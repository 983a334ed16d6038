//! The kernel's door on this machine: one instruction, and the calls that are lowered to it.
//!
//! **Invariant:** core only, no thread-local (no `errno`), no panic: the stub is built from this
//! file too, and a child that shares its maker's memory goes through the same door.

#![expect(unsafe_code, reason = "the door to the kernel")]

use core::arch::asm;

use crate::sys::{Call, Errno, Live, Scratch, lower};

/// Asks the kernel.
///
/// # Safety
///
/// What the kernel does with these words must be sound: those that are addresses point to memory
/// of the right size that the kernel may read or write.
pub(crate) unsafe fn door(number: usize, words: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = words;
    let answer: usize;
    // SAFETY: the instruction changes rax, rcx and r11 and, by the caller's promise, no memory but
    // what the words name.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // The top 4095 numbers are errors, negated (syscall(2)).
    match u16::try_from(answer.wrapping_neg()) {
        Ok(errno @ 1..4096) => Err(Errno(errno)),
        Ok(_) | Err(_) => Ok(answer),
    }
}

/// Asks the kernel for a call that is lowered, and answers `ENOSYS` for one that is not.
pub(crate) fn ask(call: &Call<Live<'_>>) -> Result<u64, Errno> {
    let scratch = Scratch::new();
    let lowered = lower(call, &scratch).ok_or(Errno::ENOSYS)?;
    // SAFETY: `lower` makes addresses of live operands and of `scratch` only, with their lengths.
    let answer = unsafe { door(lowered.number, lowered.words) }? as u64;
    match call {
        Call::RecvFd { .. } => {
            let fd = scratch.received().map_or(u32::MAX, i32::cast_unsigned);
            Ok(u64::from(fd) << 32 | answer & u64::from(u32::MAX))
        }
        _ => Ok(answer),
    }
}
